"""Metrics of whole sets: Frechet, energy, diversity, CAI, classifier, memory, genes; references apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from biodata.codon import CODONS
from biodata.errors import ConfigError, DataError
from bioeval.metrics.cai import adaptation_index, relative_adaptiveness
from bioeval.metrics.discriminator import Discriminator
from bioeval.metrics.diversity import Diversity
from bioeval.metrics.energy import energy_distances
from bioeval.metrics.frechet import FrechetDistance, frechet_distance
from bioeval.metrics.genes import Genes, find_genes
from bioeval.metrics.longest_match import LongestMatch, chance_length
from bioeval.metrics.nearest import NearestIdentity, identity
from bioeval.metrics.sequence_set import RESIDUES, SequenceSet
from bioeval.metrics.suffixes import longest_matches, longest_of_rows
from bioeval.sequences.canaries import find_canaries
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences


def some(seed: int, number: int, length: int, letters: str = "ACGT") -> SequenceSet:
    rng = np.random.default_rng(seed)
    return SequenceSet.from_strings(["".join(rng.choice(list(letters), length)) for _ in range(number)])


def test_frechet_is_the_formula_with_scipys_root() -> None:
    rng = np.random.default_rng(0)
    spreads = [a @ a.T for a in rng.normal(size=(2, 4, 4))]
    means = rng.normal(size=(2, 4))
    root = sqrtm(spreads[0] @ spreads[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert frechet_distance(means[0], spreads[0], means[1], spreads[1]) == pytest.approx(expected)


def test_frechet_with_a_model_and_without() -> None:
    def embed(texts):
        return np.array([[t.count("A"), t.count("C"), len(t)] for t in texts], dtype=float)

    every = np.ones((1, 30), bool)
    for metric in (FrechetDistance(embed=embed, components=2), FrechetDistance()):
        a, b, c = (metric.features(s) for s in (some(0, 30, 90), some(1, 30, 90), some(2, 30, 90, "AAAACG")))
        near, far = (metric.compare(x, a, rows=every, others=every)[0, 0] for x in (b, c))
        assert metric.compare(a, a, rows=every, others=every)[0, 0] == 0 < near < far / 3
    with pytest.raises(DataError, match="shape"):
        FrechetDistance(embed=lambda texts: np.zeros(3)).features(some(0, 3, 9))


def test_energy_distance_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 0.5
    rows, others = rng.random((4, 20)) < 0.5, rng.random((4, 15)) < 0.5
    found = energy_distances(x, y, rows=rows, others=others)
    for value, a, b in zip(found, rows, others):
        p, q = x[a], y[b]
        expected = np.sqrt(2 * cdist(p, q).mean() - cdist(p, p).mean() - cdist(q, q).mean())
        assert value == pytest.approx(expected)
    assert energy_distances(x, x, rows=rows, others=rows).tolist() == [0] * 4


def test_diversity_sees_one_sequence_many_times() -> None:
    varied, same = some(0, 30, 60), SequenceSet.from_strings([some(0, 1, 60).sequence(0)] * 30)
    metric, every = Diversity(), np.ones((1, 30), bool)
    a, b = (metric.features(s) for s in (varied, same))
    assert metric.compare(a, a, rows=every, others=every)[0].tolist() == [100, pytest.approx(0.55, abs=0.06)]
    assert metric.compare(b, a, rows=every, others=every)[0].tolist() == [0, 0]


def test_diversity_of_a_small_set_is_the_mean_of_all_pairs() -> None:
    few = some(1, 9, 40)
    pairs = [1 - identity(a, b) for i, a in enumerate(few.strings()) for b in few.strings()[:i]]
    features = Diversity().features(few)
    whole, one = np.ones((1, 9), bool), np.eye(1, 9, dtype=bool)
    assert Diversity().compare(features, features, rows=whole, others=whole)[0, 1] == pytest.approx(
        np.mean(pairs)
    )
    assert np.isnan(Diversity().compare(features, features, rows=one, others=one)[0, 1])
    alone = Diversity().features(some(1, 1, 40))
    assert np.isnan(Diversity().compare(alone, alone, rows=one[:, :1], others=one[:, :1])[0, 1])


def test_adaptation_index_by_hand() -> None:
    counts = np.zeros(64)
    for codon, n in (("TTT", 6), ("TTC", 3), ("AAA", 1), ("AAG", 4), ("ATG", 9), ("TAA", 2)):
        counts[CODONS.index(codon)] = n
    gene = np.zeros((1, 64))
    for codon, n in (("TTC", 2), ("AAG", 1), ("ATG", 1), ("TAA", 1)):
        gene[0, CODONS.index(codon)] = n
    weights = relative_adaptiveness(counts)
    # TTC 3/6 twice, AAG 4/4; Met and stop do not count
    assert adaptation_index(gene, weights)[0] == pytest.approx((0.5 * 0.5 * 1.0) ** (1 / 3))


def test_classifier_is_at_chance_on_like_and_sure_on_unlike() -> None:
    metric = Discriminator(resamples=2, stretches=((0, 60), (60, 120)))
    natural, alike, unlike = some(0, 60, 150), some(1, 60, 150), some(2, 60, 150, "AACGTT")
    drifts = SequenceSet.from_strings([a[:60] + b[60:] for a, b in zip(alike.strings(), unlike.strings())])
    n, a, u, d = (metric.features(s) for s in (natural, alike, unlike, drifts))
    every = np.ones((1, 60), bool)
    assert metric.compare(a, n, rows=every, others=every)[0, 0] == pytest.approx(0.5, abs=0.13)
    assert metric.compare(u, n, rows=every, others=every)[0, 0] > 0.9
    start, end = metric.compare(d, n, rows=every, others=every)[0, 1:]
    assert start < 0.66 and end > 0.8
    # copies of what is in the other set are never seen before: no better than chance, not worse by much
    assert 0.3 < metric.compare(n, n, rows=every, others=every)[0, 0] < 0.7


def test_longest_matches_are_those_that_a_loop_finds() -> None:
    rng = np.random.default_rng(0)
    for letters in ("ACGN", "AC"):
        texts = [
            ["".join(rng.choice(list(letters), rng.integers(0, 30))) for _ in range(3)] for _ in range(2)
        ]
        queries, targets = (SequenceSet.from_strings(t) for t in texts)
        found = longest_matches(queries, targets)
        for row, text in enumerate(texts[0]):
            for i in range(len(text)):
                n = 0
                while (
                    i + n < len(text)
                    and text[i + n] != "N"
                    and any(text[i : i + n + 1] in t for t in texts[1])
                ):
                    n += 1
                assert found[queries.starts[row] + i] == n


def test_memory_is_flagged_and_chance_is_not() -> None:
    train, fresh = some(0, 50, 400), some(1, 10, 400)
    copied = SequenceSet.from_strings(
        [f[:150] + t[100:200] + f[150:] for f, t in zip(fresh.strings(), train.strings())]
    )
    metric, every = LongestMatch(train=train), np.ones((1, 10), bool)
    a, b = (metric.compare(f, f, rows=every, others=every)[0] for f in map(metric.features, (fresh, copied)))
    assert a[2] == 0 and b.tolist()[0] >= 100 and b[2] == 100
    longest = longest_of_rows(fresh, longest_matches(fresh, train))
    assert np.mean(longest) == pytest.approx(float(chance_length(fresh, train).mean()), abs=1.5)


def test_longest_matches_of_proteins() -> None:
    a, b = (SequenceSet.from_strings([t], letters=RESIDUES) for t in ("MKVLWAALLVTFLAG", "GGWAALLVXFLAG"))
    assert longest_of_rows(a, longest_matches(a, b)).tolist() == [6]


def test_canaries(tmp_path: Path) -> None:
    canaries = some(7, 3, 80).strings()
    (tmp_path / "c.fa").write_text("".join(f">canary{i}\n{t}\n" for i, t in enumerate(canaries)))
    noise = some(8, 3, 300).strings()
    made = SequenceSet.from_strings([noise[0] + canaries[0] + noise[1], noise[2] + canaries[1][10:60]])
    found = find_canaries(tmp_path / "c.fa", made)
    assert (found["n"], found["repeated"], found["whole"]) == (3, 2, 1)
    assert [row["longest"] >= n for row, n in zip(found["canaries"], (80, 50, 0))] == [True] * 3
    assert found["canaries"][2]["longest"] < 16


def test_canaries_are_looked_for_in_every_generated_sequence(tmp_path: Path) -> None:
    """Also in those that are not drawn for the metrics: here one of forty repeats a canary."""
    canary, noise = some(7, 1, 80).sequence(0), some(8, 40, 120).strings()
    (tmp_path / "c.fa").write_text(f">canary\n{canary}\n")
    natural = "".join(f">{i}\n{text}\n" for i, text in enumerate(noise))
    (tmp_path / "n.fa").write_text(natural)
    for place in (0, 20, 39):
        made = [noise[i] if i != place else noise[i] + canary for i in range(40)]
        (tmp_path / "g.fa").write_text("".join(f">{i}\n{text}\n" for i, text in enumerate(made)))
        config = SequencesConfig(
            generated=tmp_path / "g.fa", reference=tmp_path / "n.fa", canaries=tmp_path / "c.fa",
            out=tmp_path / str(place), metrics=("composition",), max_sequences=5, resamples=20,
        )  # fmt: skip
        found = evaluate_sequences(config)["canaries"]
        assert (found["n"], found["whole"]) == (1, 1)


def test_novelty_is_the_share_without_a_near_training_sequence() -> None:
    train = some(0, 5, 100)
    made = SequenceSet.from_strings(
        [train.sequence(0), train.sequence(1)[:95] + "AAAAA", *some(1, 2, 100).strings()]
    )
    metric, every = NearestIdentity(train=train), np.ones((1, 4), bool)
    values = metric.compare(metric.features(made), None, rows=every, others=every)[0]
    assert values[[m.name for m in metric.measures].index("novelty")] == 0.5


def test_a_real_plasmid_is_mostly_genes(real_data: Path) -> None:
    lines = (real_data / "genome" / "NC_002127.1.fna").read_text().splitlines()
    plasmid = SequenceSet.from_strings(["".join(lines[1:])])
    letters, coding, genes = find_genes(plasmid)[0]
    assert (letters, genes) == (3306, 3) and coding > 0.4 * letters  # RefSeq has three proteins
    metric, every = Genes(), np.ones((1, 1), bool)
    shuffled = metric.compare(metric.features(plasmid.shuffled(0)), None, rows=every, others=every)[0]
    assert shuffled[0] < 100 * coding / letters


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Diversity(partners=0), "partners = 0"),
        (lambda: FrechetDistance(components=0), "components = 0"),
        (lambda: Discriminator(k=7), "k = 7"),
        (lambda: LongestMatch(train=SequenceSet.from_strings([])), "0 training sequences"),
    ],
)
def test_wrong_settings_are_quoted(build, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()
