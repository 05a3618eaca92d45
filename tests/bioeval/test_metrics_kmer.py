"""k-mer counts against a plain loop and Biopython, divergences against scipy, the null against theory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import wrap

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from biodata.errors import ConfigError, DataError
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits
from bioeval.metrics.fasta_counts import count_fasta
from bioeval.metrics.kmer import (
    KmerDivergence,
    expected_kl,
    js_divergence,
    kl_divergence,
    kmer_codes,
    kmer_counts,
    kmer_table,
)
from bioeval.metrics.sequence_set import SequenceSet

SEQUENCES = st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=6)


def plain_counts(sequences: list[str], k: int) -> list[int]:
    """The slow way: every window of every sequence, those with another letter skipped."""
    windows = Counter(s[i : i + k] for s in sequences for i in range(len(s) - k + 1))
    return [windows["".join("ACGT"[(code >> 2 * (k - 1 - i)) & 3] for i in range(k))] for code in range(4**k)]


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, st.integers(1, 5))
def test_counts_equal_a_plain_loop(sequences: list[str], k: int) -> None:
    found = SequenceSet.from_strings(sequences)
    assert kmer_counts(found, k).tolist() == plain_counts(sequences, k)
    assert kmer_table(found, k).sum(axis=0).tolist() == plain_counts(sequences, k)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_both_strands_add_biopythons_reverse_complement(k: int) -> None:
    text = "ACGTTGCANNACCGGTTTAGACGATCGATTTAACG"
    other = str(Seq(text).reverse_complement())
    both = kmer_counts(SequenceSet.from_strings([text]), k, both_strands=True)
    assert both.tolist() == plain_counts([text, other], k)


def test_pieces_of_the_buffer_join_without_loss() -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("ACGT"), 150_000))
    counts = kmer_counts(SequenceSet.from_strings([text]), 6)
    assert counts.sum() == 150_000 - 5
    assert counts.tolist() == plain_counts([text], 6)


@settings(max_examples=60, deadline=None)
@given(SEQUENCES, st.integers(1, 7), st.integers(1, 40), st.sampled_from([0, 5, 1 << 31]))
def test_pieces_of_any_size_join_without_loss(sequences: list[str], k: int, chunk: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bioeval.metrics.word_counts._CHUNK", chunk)
        patch.setattr("bioeval.metrics.word_counts._MOST", most)
        counts = kmer_counts(SequenceSet.from_strings(sequences), k)
    assert counts.tolist() == plain_counts(sequences, k)


@pytest.mark.parametrize("k", [9, 17, 31])
def test_long_windows_have_their_rank(k: int) -> None:
    numbers, valid = kmer_codes(np.array([3] * k + [0], dtype=np.uint8), k)
    assert [int(n) for n in numbers] == [4**k - 1, 4**k - 4]
    assert valid.all()


@settings(max_examples=40, deadline=None)
@given(SEQUENCES, st.integers(1, 7), st.integers(1, 30), st.sampled_from(["\n", "\r\n"]))
def test_a_file_is_counted_as_its_records_are(
    tmp_path_factory: pytest.TempPathFactory, sequences: list[str], k: int, block: int, end: str
) -> None:
    path = tmp_path_factory.mktemp("f") / "x.fa"
    lines = [f">r{i} ACGT > more{end}{end.join(wrap(s, 7))}{end}" for i, s in enumerate(sequences)]
    path.write_bytes("".join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bioeval.metrics.fasta_counts._BLOCK", block)
        counts = count_fasta(path, k, both_strands=True)
    expected = kmer_counts(SequenceSet.from_strings(sequences), k, both_strands=True)
    assert counts.tolist() == expected.tolist()


def test_a_wrong_letter_of_a_file_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\nAC!T\n")
    with pytest.raises(DataError, match=r"x.fa:3: '!' is no nucleotide letter"):
        count_fasta(tmp_path / "x.fa", 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bioeval.metrics.fasta_counts._BLOCK", 6)  # the letter is in a later block
        with pytest.raises(DataError, match=r"x.fa:3: '!' is no nucleotide letter"):
            count_fasta(tmp_path / "x.fa", 2)
    (tmp_path / "y.fa").write_text("ACGT\n")
    with pytest.raises(DataError, match="no '>' at its beginning"):
        count_fasta(tmp_path / "y.fa", 2)


def test_divergences_equal_scipy() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(1, 50, 64), rng.integers(1, 50, 64)
    p, q = first + 0.5, second + 0.5
    assert kl_divergence(first, second) == pytest.approx(entropy(p / p.sum(), q / q.sum(), base=2), abs=1e-12)
    # scipy gives the square root of the divergence
    assert js_divergence(first, second) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=16, max_size=16),
    st.lists(st.integers(0, 1000), min_size=16, max_size=16),
)
def test_ranges(first: list[int], second: list[int]) -> None:
    a, b = np.array(first), np.array(second)
    assert kl_divergence(a, b) >= 0
    assert 0 <= js_divergence(a, b) <= 1
    assert js_divergence(a, b) == pytest.approx(js_divergence(b, a), abs=1e-12)
    assert kl_divergence(a, a) == 0 == js_divergence(a, a)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_homopolymers_are_far_apart(k: int) -> None:
    a, c = (kmer_counts(SequenceSet.from_strings([letter * 1000]), k) for letter in "AC")
    assert kl_divergence(a, c) > 1


@pytest.mark.parametrize("k", [3, 4])
def test_split_half_null_is_the_theory_for_independent_letters(k: int) -> None:
    metric, values = KmerDivergence(k=k), []
    splits, windows = random_splits(60, 60, resamples=1, seed=0), 30 * (2000 - k + 1)
    # fresh sequences every time: splits of one set share its windows, so their mean keeps its noise
    for repeat in range(500):
        rng = np.random.default_rng([k, repeat])
        features = metric.features(SequenceSet.from_strings([_random(rng, 2000) for _ in range(60)]))
        values.append(metric.compare(features, features, rows=splits.half, others=splits.rest)[0])
    jsd, kl = np.mean(values, axis=0)
    assert kl == pytest.approx(expected_kl(k, windows, windows), rel=0.05)
    assert jsd == pytest.approx(expected_kl(k, windows, windows) / 4, rel=0.05)


def _random(rng: np.random.Generator, length: int) -> str:
    return np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, length)].tobytes().decode()


def test_calibration_tells_like_from_unlike() -> None:
    rng = np.random.default_rng(5)
    natural = SequenceSet.from_strings([_random(rng, 900) for _ in range(40)])
    alike = SequenceSet.from_strings([_random(rng, 900) for _ in range(20)])
    skewed = SequenceSet.from_strings(
        ["".join(rng.choice(list("ACGT"), 900, p=[0.4, 0.1, 0.1, 0.4])) for _ in range(20)]
    )
    metric = KmerDivergence(k=3)
    reference, shuffled = metric.features(natural), metric.features(natural.shuffled(0))
    splits = random_splits(40, 20, resamples=50, seed=0)
    outcomes = []
    for other in (alike, skewed):
        sets = FeatureSets(metric.features(other), reference, shuffled)
        outcomes.append(calibrate(metric, sets, sizes=(20, 40), splits=splits)[0])
    assert [o["within_null"] for o in outcomes] == [True, False]
    assert outcomes[1]["value"] > outcomes[1]["null_hi"] > outcomes[1]["null_lo"] > 0
    assert set(outcomes[0]["scale"]) == {"half_vs_half", "shuffled", "generated"}


def test_relatives_never_stand_on_both_sides() -> None:
    families = np.repeat(np.arange(12), np.arange(1, 13))
    splits = random_splits(len(families), 30, resamples=40, seed=1, families=families)
    for half, rest in zip(splits.half, splits.rest):
        assert not set(families[half]) & set(families[rest])
        assert half.sum() == 30 >= rest.sum() >= 30 - 12
    assert len({half.tobytes() for half in splits.half}) > 30


def test_new_families_of_one_source_pass_only_beside_a_null_of_families() -> None:
    rng = np.random.default_rng(11)

    def relatives() -> list[str]:
        return [
            _random(rng, 5) + ancestor
            for ancestor in [_random(rng, 400) for _ in range(12)]
            for _ in range(5)
        ]

    metric, families = KmerDivergence(k=3), np.repeat(range(12), 5)
    natural, other = SequenceSet.from_strings(relatives()), SequenceSet.from_strings(relatives())
    sets = FeatureSets(*(metric.features(s) for s in (other, natural, natural.shuffled(0))))

    def judged(known: np.ndarray | None) -> dict:
        splits = random_splits(60, 60, resamples=60, seed=0, families=known)
        return calibrate(metric, sets, sizes=(60, 60), splits=splits)[0]

    assert not judged(None)["within_null"]
    found = judged(families)
    assert found["within_null"] and not found["tells"]  # letters of equal odds: shuffling changes nothing


def test_a_family_too_large_to_be_split_whole_is_split() -> None:
    families = np.array([0] * 9 + [1, 2, 3])
    splits = random_splits(12, 6, resamples=5, seed=0, families=families)
    assert splits.half.sum(axis=1).tolist() == splits.rest.sum(axis=1).tolist() == [6] * 5


def test_families_widen_the_null() -> None:
    rng = np.random.default_rng(9)
    ancestors = [_random(rng, 300) for _ in range(10)]
    sequences = [_random(rng, 6) + ancestor for ancestor in ancestors for _ in range(6)]
    features, families = (
        KmerDivergence(k=4).features(SequenceSet.from_strings(sequences)),
        np.repeat(range(10), 6),
    )

    def null(known: np.ndarray | None) -> float:
        splits = random_splits(60, 60, resamples=30, seed=0, families=known)
        return float(
            KmerDivergence(k=4).compare(features, features, rows=splits.half, others=splits.rest)[:, 0].mean()
        )

    assert null(families) > 2 * null(None)


def test_a_set_against_itself_has_distance_zero() -> None:
    metric = KmerDivergence(k=2)
    features = metric.features(SequenceSet.from_strings(["ACGTACGATT", "GGCA"]))
    everything = np.ones((1, 2), dtype=bool)
    assert metric.compare(features, features, rows=everything, others=everything).tolist() == [[0.0, 0.0]]


def test_wrong_values_are_quoted() -> None:
    with pytest.raises(ConfigError, match="k = 13"):
        KmerDivergence(k=13)
    with pytest.raises(ConfigError, match=r"alpha = 0\.0"):
        KmerDivergence(alpha=0.0)
    with pytest.raises(DataError, match="record 'b' has 'E'"):
        SequenceSet.from_strings(["ACGT", "MEEPQ"], ["a", "b"])
