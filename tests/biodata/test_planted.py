"""The audit's own recall: near-copies of real sequences planted across a split."""

import gzip
import random
from pathlib import Path

import edlib
import numpy as np
import pyarrow as pa
import pytest

from biodata.alphabet import reverse_complement
from biodata.mmseqs import normalised
from biodata.splits.audit import AuditSettings, audit

LEVELS = (0.90, 0.92, 0.95, 0.99)
FILES = {
    "dna": "cds/calm_validation_athaliana.fasta.gz",
    "protein": "protein/mmseqs2_regression_query.fasta.gz",
}


def real(path: Path, count: int, rng: random.Random, *, cut: slice = slice(None)) -> list[str]:
    with gzip.open(path, "rt") as handle:
        texts = ["".join(part.split("\n")[1:]).upper() for part in handle.read().split(">")[1:]]
    return rng.sample([text[cut] for text in texts if 120 <= len(text[cut]) <= 900], count)


def changed(text: str, edits: int, letters: str, rng: random.Random) -> str:
    new = list(text)
    for at in rng.sample(range(len(text)), edits):
        new[at] = rng.choice(letters.replace(new[at], ""))
    return "".join(new)


@pytest.mark.parametrize("alphabet", ["dna", "protein"])
def test_planted_copies_of_real_sequences_are_all_found(
    alphabet: str, real_data: Path, tmp_path: Path
) -> None:
    rng = random.Random(11)
    letters = "ACGT" if alphabet == "dna" else "ACDEFGHIKLMNPQRSTVWY"
    base = real(real_data / FILES[alphabet], 48, rng)
    copies = []
    for at, text in enumerate(base):
        copy = changed(text, int((1 - LEVELS[at % 4]) * len(text) + 1e-9), letters, rng)
        copies.append(reverse_complement(copy) if alphabet == "dna" and at // 4 % 2 else copy)
    column = normalised(pa.array(base + copies), alphabet=alphabet)
    split = np.array([0] * 48 + [1, 2] * 24, np.int8)
    found = audit(
        column, split, alphabet=alphabet, settings=AuditSettings(effort=3, threads=1), workdir=tmp_path
    )
    assert set(range(48, 96)) <= set(found.leaking_rows.tolist())  # at 90, 92, 95 and 99 %
    assert found.exact["complete"] and found.exact["recall_of_search"] > 0.9
    # the sampled exact check agrees with edlib alone
    for row, text in enumerate(copies[:8]):
        strands = (text, reverse_complement(text)) if alphabet == "dna" else (text,)
        edits = min(edlib.align(strand, base[row])["editDistance"] for strand in strands)
        pair = (found.leaks.query == row) & (found.leaks.target == row + 48)
        assert found.leaks.identity[pair][0] >= 1 - edits / len(text) - 0.01


def test_planted_copies_of_short_sequences_are_all_found(real_data: Path, tmp_path: Path) -> None:
    rng = random.Random(12)
    base = real(real_data / FILES["dna"], 40, rng, cut=slice(30, 300))
    base = [text[:60] for text in base]
    copies = [changed(text, (6, 4, 3, 0)[at % 4], "ACGT", rng) for at, text in enumerate(base)]
    copies = [reverse_complement(text) if at % 2 else text for at, text in enumerate(copies)]
    column = normalised(pa.array(base + copies), alphabet="dna")
    split = np.array([0] * 40 + [2] * 40, np.int8)
    found = audit(
        column, split, alphabet="dna", settings=AuditSettings(effort=0, threads=1), workdir=tmp_path
    )
    assert set(range(40, 80)) <= set(found.leaking_rows.tolist())
