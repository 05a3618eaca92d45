"""Low complexity against naive implementations of the published definitions."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import entropy

from biodata.curate.complexity import ambiguous_parts, filter_complexity, low_complexity, window_entropies
from biodata.curate.complexity_policy import ComplexityPolicy
from biodata.curate.rules import RuleLog


def dust_score(text: str) -> float:
    """Equation 1 of Morgulis et al. 2006: sum over triplets of c (c - 1) / 2, over the triplets less one."""
    triplets = [text[i : i + 3] for i in range(len(text) - 2)]
    return sum(n * (n - 1) / 2 for n in Counter(triplets).values()) / max(len(triplets) - 1, 1)


def perfect_letters(text: str, window: int = 64, threshold: float = 2.0) -> set[int]:
    """Letters of all perfect intervals: above the threshold, and no part of them scores higher."""
    scores = {(i, j): dust_score(text[i:j]) for i in range(len(text))
              for j in range(i + 4, min(i + window, len(text)) + 1)}  # fmt: skip
    masked: set[int] = set()
    for (i, j), score in scores.items():
        if score > threshold and all(scores[a, b] <= score for a in range(i, j) for b in range(a + 4, j + 1)):
            masked |= set(range(i, j))
    return masked


@pytest.mark.parametrize("seed", range(4))
def test_dust_is_the_published_score(seed: int) -> None:
    rng = random.Random(seed)
    text = (
        "".join(rng.choices("ACGT", k=20))
        + rng.choice(["CA", "A", "CAG"]) * 12
        + "".join(rng.choices("ACGT", k=20))
    )
    found = {at for start, end in low_complexity(text, "dna") for at in range(start, end)}
    assert found == perfect_letters(text)


def test_rna_and_short_sequences() -> None:
    assert low_complexity("U" * 30, "rna") == low_complexity("T" * 30, "dna") == [(0, 30)]
    assert (
        low_complexity("AAA", "dna")
        == low_complexity("", "protein")
        == low_complexity("QQQ", "protein")
        == []
    )


def test_entropies_are_shannons() -> None:
    rng = random.Random(1)
    protein = "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=80)) + "Q" * 20
    expected = [
        entropy(list(Counter(protein[i : i + 12]).values()), base=2) for i in range(len(protein) - 11)
    ]
    np.testing.assert_allclose(window_entropies(protein), expected, atol=1e-12)


def test_huntingtin_is_of_low_complexity_where_its_repeats_are() -> None:
    # first residues of HUMAN_HD (P42858) with 23 Q: polyglutamine at 17..40, then polyproline
    huntingtin = (
        "MATLEKLMKAFESLKSFQQQQQQQQQQQQQQQQQQQQQQQPPPPPPPPPPPQLPQPPPQAQPLLPQPQPPPPPPPPPPGPAVAEEPLHRP"
        "KKELSATKKDRVNHCLTICENIVAQSVRNSPEFQKLLGIAMELFLLCSDDAESDVRMVADECLNKVIKALMDSNLPRLQLELYKEIKKNG"
    )
    (start, end), *rest = low_complexity(huntingtin, "protein")
    assert 8 <= start <= 17 and 75 <= end <= 92
    assert all(b - a < 20 for a, b in rest)


def batch(*texts: str) -> pa.RecordBatch:
    ids = [f"r{i}" for i in range(len(texts))]
    lines = pa.array(range(1, len(texts) + 1), pa.int64())
    return pa.record_batch({"id": ids, "line": lines, "sequence": pa.array(texts, pa.large_string())})


def test_rows_are_dropped_or_masked_and_counted() -> None:
    rng = random.Random(2)
    plain = "".join(rng.choices("ACGT", k=200))
    rows = batch(plain, "A" * 100 + plain[:50], plain[:80] + "CA" * 20)
    log = RuleLog(file="x")
    dropped = filter_complexity(rows, policy=ComplexityPolicy(low_complexity="drop"), alphabet="dna", log=log)
    assert dropped["id"].to_pylist() == ["r0", "r2"]
    assert log.as_dict() == {"dropped": {"low-complexity": 1}, "changed": {}}
    log = RuleLog(file="x")
    masked = filter_complexity(rows, policy=ComplexityPolicy(low_complexity="mask"), alphabet="dna", log=log)
    texts = masked["sequence"].to_pylist()
    assert texts[0] == plain and texts[1].startswith("N" * 100) and texts[1][102:] == plain[2:50]
    assert [len(t) for t in texts] == [200, 150, 120] and texts[2].endswith("N" * 40)
    assert log.as_dict()["changed"] == {"low-complexity-masked": 2}
    proteins = batch("MKVLITGAGSGIGLELARQFAQDGWRVIATDI" + "S" * 30)
    masked = filter_complexity(
        proteins, policy=ComplexityPolicy(low_complexity="mask"), alphabet="protein", log=log
    )
    assert masked["sequence"][0].as_py().endswith("X" * 30)


def test_unknown_letters() -> None:
    rows = batch("ACGT" + "N" * 4, "ACGTN", "", "RYKM")
    np.testing.assert_allclose(ambiguous_parts(rows["sequence"], "dna"), [0.5, 0.2, 0, 1])
    log = RuleLog(file="x")
    kept = filter_complexity(rows, policy=ComplexityPolicy(max_ambiguous=0.3), alphabet="dna", log=log)
    assert kept["id"].to_pylist() == ["r1", "r2"] and log.as_dict()["dropped"] == {"too-ambiguous": 2}
    assert ambiguous_parts(pa.array(["MXU*B"]), "protein").tolist() == [pytest.approx(0.4)]
