"""Codon usage, reading frames and composition, against Biopython and by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from Bio.Seq import Seq
from Bio.SeqUtils import gc_fraction
from scipy.spatial.distance import jensenshannon

from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError
from bioeval.metrics.codon_usage import CodonUsage, codon_table, rscu, synonymous_groups
from bioeval.metrics.composition import Composition, gc_content
from bioeval.metrics.orf import CHECKS, OrfValidity, orf_checks
from bioeval.metrics.sequence_set import SequenceSet


def random_texts(seed: int, number: int = 12) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        "".join(rng.choice(list("ACGTN"), rng.integers(0, 200), p=[0.3, 0.2, 0.2, 0.25, 0.05]))
        for _ in range(number)
    ]


def test_codons_equal_a_plain_loop() -> None:
    texts = random_texts(0)
    for row, text in zip(codon_table(SequenceSet.from_strings(texts)), texts):
        counts = Counter(text[i : i + 3] for i in range(0, len(text) - 2, 3))
        assert row.tolist() == [counts[c] for c in CODONS]


def test_rscu_adds_up_to_the_number_of_synonyms() -> None:
    counts = np.random.default_rng(0).integers(1, 100, 64)
    values = rscu(counts)
    for members in synonymous_groups(1).values():
        assert values[members].sum() == pytest.approx(len(members))
    assert np.isnan(rscu(np.zeros(64))).all()


def test_table_changes_the_groups() -> None:
    assert len(synonymous_groups(1)["W"]) == 1
    assert [CODONS[i] for i in synonymous_groups(4)["W"]] == ["TGA", "TGG"]
    with pytest.raises(ConfigError, match="unknown NCBI translation table 99"):
        CodonUsage(table=99)


def test_codon_usage_divergence_and_its_synonymous_part() -> None:
    metric = CodonUsage(alpha=1e-9)
    first, second = (metric.features(SequenceSet.from_strings([t])) for t in ("TTTTTCTTT", "TTCTTCTTTAAA"))
    everything = np.ones((1, 1), dtype=bool)
    value, synonymous = metric.compare(first, second, rows=everything, others=everything)[0]
    assert value == pytest.approx(jensenshannon([2, 1, 0], [1, 2, 1], base=2) ** 2, abs=1e-6)
    phenylalanine = 3 / 4  # the smaller of its frequencies; lysine is in one set only
    assert synonymous == pytest.approx(phenylalanine * jensenshannon([2, 1], [1, 2], base=2) ** 2, abs=1e-6)


def test_other_proteins_with_the_same_preferences_are_synonymous_equals() -> None:
    metric = CodonUsage(alpha=1e-9)
    first, second = (
        metric.features(SequenceSet.from_strings([t]))
        for t in ("TTTTTC" * 9 + "AAAAAG", "TTTTTC" + "AAAAAG" * 9)
    )
    everything = np.ones((1, 1), dtype=bool)
    value, synonymous = metric.compare(first, second, rows=everything, others=everything)[0]
    assert value > 0.1 and synonymous == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("table", [1, 4, 11])
def test_reading_frames_agree_with_biopython(table: int) -> None:
    rng = np.random.default_rng(table)
    codons = list(CODONS)
    texts = ["".join(rng.choice(codons, 8)) + "ACG"[: rng.integers(0, 3)] for _ in range(200)]
    texts += ["ATG" + "GCA" * 5 + "TAA", "TTGAAATGA", "ATGTAATAA", "", "AT", "ATGNNNTAA"]
    found = orf_checks(SequenceSet.from_strings(texts), table=table)
    from biodata.codon import start_codons

    for row, text in zip(found, texts):
        protein = str(Seq(text[: len(text) // 3 * 3]).translate(table=table))
        start, stop = text[:3] in start_codons(table), protein.endswith("*")
        inner, whole = "*" not in protein[:-1], len(text) % 3 == 0 and len(text) > 0
        assert row.tolist() == [start and stop and inner and whole, start, stop, inner, whole], text


def test_orf_shares_are_percent_of_the_subset() -> None:
    metric = OrfValidity()
    features = metric.features(SequenceSet.from_strings(["ATGTAA", "ATG", "CCCTAA"]))
    rows = np.array([[True, True, True], [True, False, False]])
    values = metric.compare(features, features, rows=rows, others=rows)
    assert values[:, 0] == pytest.approx([100 / 3, 100])
    assert [m.name for m in metric.measures] == [f"orf_{check}" for check in CHECKS]


def test_gc_equals_biopython_without_ambiguity_codes() -> None:
    texts = [t for t in random_texts(2) if t.strip("N")]
    expected = [100 * gc_fraction(t.replace("N", "")) for t in texts]
    assert gc_content(SequenceSet.from_strings(texts)) == pytest.approx(expected)


def test_distances_of_composition_by_hand() -> None:
    metric = Composition()
    first = metric.features(SequenceSet.from_strings(["GGGG", "GGAA"]))
    second = metric.features(SequenceSet.from_strings(["AAAAAAAA", "GGAA"]))
    everything = np.ones((1, 2), dtype=bool)
    assert metric.compare(first, second, rows=everything, others=everything)[0].tolist() == [
        75.0,
        50.0,
        4.0,
        2.0,
    ]
    assert metric.compare(first, first, rows=everything, others=everything)[0].tolist() == [
        75.0,
        0.0,
        4.0,
        0.0,
    ]


def test_the_reference_codes_are_ncbis() -> None:
    assert genetic_code(11)["TGA"] == "*"
