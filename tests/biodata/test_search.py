import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from biodata.mmseqs import normalised
from biodata.similarity.search import (
    Hits,
    SearchSettings,
    audit_settings,
    merge_hits,
    repair_settings,
    search,
)


def planted(seed: int, letters: str, *, count: int, length: int, share: float) -> tuple[list[str], list[str]]:
    """Random sequences, and copies with this share of letters substituted."""
    rng = random.Random(seed)
    base = ["".join(rng.choices(letters, k=length)) for _ in range(count)]
    copies = []
    for text in base:
        new = list(text)
        for at in rng.sample(range(length), round(share * length)):
            new[at] = rng.choice(letters.replace(new[at], ""))
        copies.append("".join(new))
    return base, copies


def found_copies(
    base: list[str], copies: list[str], how: SearchSettings, alphabet: str, workdir: Path
) -> set[int]:
    column = normalised(pa.array(base + copies), alphabet=alphabet)
    rows = np.arange(len(column))
    hits, _ = search(column, how, alphabet=alphabet, queries=rows[len(base) :], targets=rows[: len(base)],
                     workdir=workdir, threads=2)  # fmt: skip
    own = (hits.query == hits.target + len(base)) & (hits.identity >= how.identity - 1e-9)
    return set(hits.target[own].tolist())


@pytest.mark.parametrize("identity", [0.92, 0.95, 0.99])
def test_planted_copies_of_genes_are_found_on_both_strands(identity: float, tmp_path: Path) -> None:
    base, copies = planted(1, "ACGT", count=100, length=400, share=1 - identity)
    copies = [reverse_complement(text) if at % 2 else text for at, text in enumerate(copies)]
    for settings in (repair_settings, audit_settings):
        how = settings(alphabet="dna", identity=0.9, coverage=0.8)
        assert len(found_copies(base, copies, how, "dna", tmp_path)) == 100
    assert not list(tmp_path.iterdir())


def test_planted_copies_at_the_threshold_are_nearly_all_found(tmp_path: Path) -> None:
    # At exactly 90 % a local alignment may end before a mismatch or open a gap, which changes its identity;
    # that is why the audit has a second method.
    base, copies = planted(2, "ACGT", count=100, length=400, share=0.1)
    how = audit_settings(alphabet="dna", identity=0.9, coverage=0.8)
    assert len(found_copies(base, copies, how, "dna", tmp_path)) >= 90


def test_planted_copies_of_proteins_are_found(tmp_path: Path) -> None:
    base, copies = planted(3, "ACDEFGHIKLMNPQRSTVWY", count=60, length=150, share=0.07)
    how = audit_settings(alphabet="protein", identity=0.9, coverage=0.8)
    assert len(found_copies(base, copies, how, "protein", tmp_path)) == 60


def test_rna_is_compared_on_its_own_strand_only(tmp_path: Path) -> None:
    base, copies = planted(4, "ACGT", count=20, length=300, share=0.02)
    how = audit_settings(alphabet="rna", identity=0.9, coverage=0.8)
    assert len(found_copies(base, copies, how, "rna", tmp_path)) == 20
    assert not found_copies(base, [reverse_complement(text) for text in copies], how, "rna", tmp_path)


def test_coverage_counts_both_sequences(tmp_path: Path) -> None:
    base, _ = planted(5, "ACGT", count=20, length=400, share=0)
    how = audit_settings(alphabet="dna", identity=0.9, coverage=0.8)
    assert len(found_copies(base, [text[:330] for text in base], how, "dna", tmp_path)) == 20
    assert not found_copies(base, [text[:310] for text in base], how, "dna", tmp_path)


def test_low_complexity_is_not_overlooked(tmp_path: Path) -> None:
    how = audit_settings(alphabet="dna", identity=0.9, coverage=0.8)
    assert found_copies(["ACG" * 60, "AT" * 90], ["ACG" * 60, "AT" * 90], how, "dna", tmp_path) == {0, 1}


def test_searching_nothing_and_wrong_settings(tmp_path: Path) -> None:
    column = normalised(pa.array(["ACGT" * 20]), alphabet="dna")
    how = repair_settings(alphabet="dna", identity=0.9, coverage=0.8)
    hits, command = search(column, how, alphabet="dna", queries=np.arange(1), targets=np.arange(0),
                           workdir=tmp_path)  # fmt: skip
    assert not len(hits.query) and command == ""
    with pytest.raises(ConfigError, match="coverage is 0"):
        SearchSettings(identity=0.9, coverage=0)


@pytest.mark.parametrize("alphabet", ["dna", "rna"])
def test_nucleotides_are_searched_by_k_mers_whose_index_is_small(alphabet: str, tmp_path: Path) -> None:
    """The index of MMseqs2's own choice, 15, takes 8 GB; that of 11 takes 50 MB, of 12 three times that."""
    column = normalised(pa.array(["ACGTTGCA" * 20] * 2), alphabet=alphabet)
    for settings in (repair_settings, audit_settings):
        how = settings(alphabet=alphabet, identity=0.9, coverage=0.8)
        _, command = search(column, how, alphabet=alphabet, queries=np.arange(1), targets=np.arange(1, 2),
                            workdir=tmp_path, threads=1)  # fmt: skip
        assert " -k 12 " in command if settings is repair_settings else " -k 11 " in command


def test_merge_hits_keeps_the_best_of_a_pair() -> None:
    a = Hits(np.array([3, 1]), np.array([1, 2]), np.array([0.9, 0.95]))
    b = Hits(np.array([1]), np.array([3]), np.array([0.97]))
    merged = merge_hits(a, b)
    assert list(zip(*(part.tolist() for part in merged))) == [(1, 2, 0.95), (1, 3, 0.97)]
