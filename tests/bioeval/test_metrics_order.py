"""Entropies, skew, period three, repeats, mutual information, against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from biodata.errors import ConfigError
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits
from bioeval.metrics.composition import gc_content
from bioeval.metrics.entropy import Entropy, linguistic_complexity, shannon_entropy
from bioeval.metrics.kmer import KmerDivergence, kmer_table
from bioeval.metrics.mutual_information import MutualInformation, mutual_information, pair_counts
from bioeval.metrics.periodicity import period_three
from bioeval.metrics.repeats import longest_repeats, repeat_shares
from bioeval.metrics.sequence_set import CHARACTERS, RESIDUES, SequenceSet
from bioeval.metrics.skew import cumulative_skew, skews

TEXTS = st.lists(st.text("ACGTN", max_size=50), min_size=1, max_size=4)


def some(seed: int, number: int, length: int, letters: str = "ACGT") -> SequenceSet:
    rng = np.random.default_rng(seed)
    return SequenceSet.from_strings(["".join(rng.choice(list(letters), length)) for _ in range(number)])


def test_entropy_is_scipys() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (3, 16))
    expected = [scipy_entropy(row, base=2) for row in counts]
    assert shannon_entropy(counts) == pytest.approx(expected)


def test_entropies_of_known_sources() -> None:
    metric, every = Entropy(), np.ones((1, 8), bool)
    names = [m.name for m in metric.measures]
    free, periodic = (
        metric.features(s) for s in (some(0, 8, 5000), SequenceSet.from_strings(["ACG" * 99] * 8))
    )
    of_free, of_periodic = (metric.compare(f, f, rows=every, others=every)[0] for f in (free, periodic))
    values = dict(zip(names, of_free))
    assert values["entropy_k1"] == pytest.approx(2, abs=0.01) and values["entropy_rate"] > 1.98
    # three k-mers, equally often: log2 3 bits whatever k, and nothing new with each letter
    assert dict(zip(names, of_periodic))["entropy_k3"] == pytest.approx(np.log2(3), abs=1e-3)
    assert dict(zip(names, of_periodic))["entropy_rate"] == pytest.approx(0, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_complexity_is_counted_by_hand(texts: list[str]) -> None:
    found = linguistic_complexity(SequenceSet.from_strings(texts))
    for text, value in zip(texts, found):
        if not text:
            assert np.isnan(value)
            continue
        kinds = most = 0
        for k in range(1, 7):
            windows = {text[i : i + k] for i in range(len(text) - k + 1)}
            kinds += sum("N" not in window for window in windows)
            most += min(4**k, max(len(text) - k + 1, 0))
        assert value == pytest.approx(kinds / most)


def test_complexity_takes_stretches_of_a_hundred() -> None:
    varied, flat = some(0, 1, 100).sequence(0), "A" * 100
    alone = linguistic_complexity(SequenceSet.from_strings([varied, flat]))
    whole = linguistic_complexity(SequenceSet.from_strings([varied + flat + "C" * 19]))
    assert whole[0] == pytest.approx(alone.mean())


def test_skew_and_where_replication_turns() -> None:
    assert skews(SequenceSet.from_strings(["GGGCAATN"])).tolist() == [[50.0, pytest.approx(100 / 3)]]
    codes = SequenceSet.from_strings(["G" * 40 + "C" * 70]).row_codes(0)
    places, sums = cumulative_skew(codes, points=110)
    assert places[sums.argmax()] == 40 and sums[-1] == -30


@pytest.mark.parametrize("seed", range(3))
def test_period_three_is_the_spectrum_of_the_whole_transform(seed: int) -> None:
    text = some(seed, 1, 120, "ACGTN").sequence(0)
    power = sum(np.abs(np.fft.fft([letter == b for letter in text])) ** 2 for b in "ACGT")
    expected = power[40] / power[1:].mean()
    assert period_three(SequenceSet.from_strings([text + "A"]))[0] == pytest.approx(expected)


def test_genes_have_a_frame_and_noise_has_none() -> None:
    rng = np.random.default_rng(0)
    genes = ["".join(rng.choice(["GCA", "GCC", "GAA", "GTG", "GGT"], 100)) for _ in range(20)]
    assert np.median(period_three(SequenceSet.from_strings(genes))) > 4
    assert np.mean(period_three(some(1, 200, 300))) == pytest.approx(1, abs=0.15)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 4), st.sampled_from([10, 1 << 20]))
def test_repeats_are_those_that_a_loop_finds(texts: list[str], k: int, block: int) -> None:
    sequences = SequenceSet.from_strings(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bioeval.metrics.repeats.BLOCK", block)
        patch.setattr("bioeval.metrics.suffixes._PAIRS", block)
        shares, longest = repeat_shares(sequences, k), longest_repeats(sequences)
    other = str.maketrans("ACGT", "TGCA")
    for text, share, most in zip(texts, shares, longest):
        windows = [text[i : i + k] for i in range(len(text) - k + 1)]
        windows = [w for w in windows if "N" not in w]
        if windows:
            again = sum(windows.count(w) > 1 for w in windows) / len(windows)
            inverted = sum(w.translate(other)[::-1] in windows for w in windows) / len(windows)
            assert share.tolist() == pytest.approx([again, inverted])
        best = 0
        for i in range(len(text)):
            for j in range(i + 1, len(text)):
                n = 0
                while j + n < len(text) and text[i + n] == text[j + n] != "N":
                    n += 1
                best = max(best, n)
        assert most == best


def test_long_sequences_are_blocks_of_their_own() -> None:
    sequences = SequenceSet.from_strings(["ACGTA", "", "CAGNT" * 9, "AC", "A" * 20, ""])
    blocks = list(sequences.blocks(10))
    assert [(rows.start, rows.stop) for rows, _ in blocks] == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert [text for _, block in blocks for text in block.strings()] == sequences.strings()


@pytest.mark.parametrize("block", [1, 10, 70])
def test_blocks_leave_features_as_they_are(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = SequenceSet.from_strings(["ACGTA", "", "CAGNT" * 15, "AC", "A" * 70, ""])

    def features() -> list[list[float]]:
        arrays = [pair_counts(sequences, (1, 3)), kmer_table(sequences, 2), period_three(sequences),
                   skews(sequences), gc_content(sequences)]  # fmt: skip
        return [np.nan_to_num(array, nan=-1).tolist() for array in arrays]

    whole = features()
    for module in ("mutual_information", "counting", "periodicity"):
        monkeypatch.setattr(f"bioeval.metrics.{module}.BLOCK", block)
    assert features() == whole


def test_information_of_pairs_by_hand() -> None:
    text = "ACCAGTAAC"
    counts = pair_counts(SequenceSet.from_strings([text]), (2,))[0].reshape(4, 4)
    for a, b in np.ndindex(4, 4):
        pairs = [text[i] == "ACGT"[a] and text[i + 2] == "ACGT"[b] for i in range(len(text) - 2)]
        assert counts[a, b] == sum(pairs)
    p = counts / counts.sum()
    plain = sum(
        p[a, b] * np.log2(p[a, b] / (p[a].sum() * p[:, b].sum())) for a, b in np.ndindex(4, 4) if p[a, b]
    )
    assert mutual_information(counts.reshape(16)) == pytest.approx(plain - 9 / (2 * np.log(2) * counts.sum()))


def test_independent_letters_have_no_information_and_a_period_is_seen_far_off() -> None:
    metric, every = MutualInformation(distances=(1, 30, 31)), np.ones((1, 20), bool)
    noise = metric.features(some(0, 20, 5000))
    assert metric.compare(noise, noise, rows=every, others=every)[0, 0] == pytest.approx(0, abs=0.15)
    codons = np.random.default_rng(1).choice(["GCA", "GCC", "GAT", "GTG"], (20, 400))
    genes = metric.features(SequenceSet.from_strings(["".join(row) for row in codons]))
    profile = metric.profiles(genes, every)[0]
    assert profile[1] > 0.4 and metric.compare(genes, noise, rows=every, others=every)[0, 1] > 100


@pytest.mark.parametrize("k", [7, 8])
def test_sparse_counts_give_the_divergences_of_dense_ones(k: int) -> None:
    metric = KmerDivergence(k=k, both_strands=True)
    sets = [some(seed, 6, 400) for seed in (0, 1)]
    rows = np.random.default_rng(0).random((5, 6)) < 0.6
    sparse = metric.compare(*(metric.features(s) for s in sets), rows=rows, others=~rows)
    dense = []
    for mask, other in zip(rows, ~rows):
        p, q = (np.asarray(metric.features(s).toarray())[m].sum(axis=0) for s, m in zip(sets, (mask, other)))
        p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
        middle = (p + q) / 2
        jsd = (scipy_entropy(p, middle, base=2) + scipy_entropy(q, middle, base=2)) / 2
        dense.append([jsd, scipy_entropy(p, q, base=2)])
    np.testing.assert_allclose(sparse, dense, atol=1e-9)


def test_proteins_and_smiles_have_metrics_too() -> None:
    proteins = SequenceSet.from_strings(["MKVLAAX", "mkvl"], letters=RESIDUES)
    assert proteins.sequence(0) == "MKVLAAX" and proteins.sequence(1) == "MKVL"
    counts = KmerDivergence(k=2, letters=RESIDUES).features(proteins)
    assert counts.sum(axis=1).tolist() == [5, 3]
    smiles = SequenceSet.from_strings(["CC(=O)Nc1ccc(O)cc1"], letters=CHARACTERS)
    assert smiles.sequence(0) == "CC(=O)Nc1ccc(O)cc1"
    assert repeat_shares(SequenceSet.from_strings(["AKLAKL"], letters=RESIDUES), 3)[0].tolist() == [0.5, 0]


def test_calibration_of_a_share_metric() -> None:
    metric = Entropy(largest=3)
    natural, made = some(0, 40, 200), some(1, 20, 200, "AAAC")
    features = FeatureSets(*(metric.features(s) for s in (made, natural, natural.shuffled(0))))
    found = calibrate(metric, features, sizes=(20, 40), splits=random_splits(40, 20, resamples=30, seed=0))
    assert not any(row["within_null"] for row in found)


def test_a_letter_never_adds_less_than_nothing() -> None:
    """Sequences as short as a word have windows of three letters and hardly one of four."""
    metric, every = Entropy(largest=4), np.ones((1, 3), dtype=bool)
    place = [m.name for m in metric.measures].index("entropy_rate")
    for texts, rate in (
        (["ACGT", "GGC", "TTA"], 0.0),
        (["ACGT", "ACGA", "CC"], 1.0),
        (["AC", "GGC", ""], None),
    ):
        found = metric.features(SequenceSet.from_strings(texts))
        value = metric.compare(found, found, rows=every, others=every)[0, place]
        assert np.isnan(value) if rate is None else value == pytest.approx(rate)


@pytest.mark.parametrize("wrong", [0, 16])
def test_wrong_windows_are_quoted(wrong: int) -> None:
    with pytest.raises(ConfigError, match=f"k = {wrong}"):
        repeat_shares(some(0, 1, 30), wrong)
