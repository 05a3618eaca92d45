"""Nearest-training identity: exact against a plain table, candidates on planted copies."""

from __future__ import annotations

import numpy as np
import pytest

from biodata.errors import ConfigError
from bioeval.metrics.nearest import (
    NearestIdentity,
    copied_share,
    identity,
    nearest_identities,
    nearest_method,
)
from bioeval.metrics.sequence_set import SequenceSet


def random_text(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list("ACGT"), length))


def mutated(rng: np.random.Generator, text: str, changes: int) -> str:
    letters = list(text)
    for place in rng.choice(len(text), changes, replace=False):
        letters[place] = {"A": "C", "C": "G", "G": "T", "T": "A"}[letters[place]]
    return "".join(letters)


def edit_distance(first: str, second: str) -> int:
    """Levenshtein's recursion, row by row."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def test_identity_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        first, second = random_text(rng, rng.integers(1, 40)), random_text(rng, rng.integers(1, 40))
        expected = 1 - edit_distance(first, second) / max(len(first), len(second))
        assert identity(first, second) == pytest.approx(expected)
        assert identity(first, second, at_least=0.4) == pytest.approx(max(expected, 0.4))
    assert identity("", "ACGT") == 0 and identity("", "") == 1


def test_all_pairs_give_the_true_maximum() -> None:
    rng = np.random.default_rng(1)
    queries, targets = ([random_text(rng, rng.integers(20, 60)) for _ in range(n)] for n in (8, 40))
    found, which = nearest_identities(
        SequenceSet.from_strings(queries), SequenceSet.from_strings(targets), candidates=4
    )
    for row, query in enumerate(queries):
        expected = [1 - edit_distance(query, t) / max(len(query), len(t)) for t in targets]
        assert found[row] == pytest.approx(max(expected))
        assert expected[which[row]] == pytest.approx(max(expected))


def test_candidates_find_planted_copies() -> None:
    rng = np.random.default_rng(2)
    targets = [random_text(rng, 300) for _ in range(3000)]  # more than one block of targets
    queries = [mutated(rng, targets[i], 30) for i in (0, 1500, 2999)]
    sets = SequenceSet.from_strings(queries), SequenceSet.from_strings(targets)
    found, which = nearest_identities(*sets, candidates=5, exact_cells=0)
    assert which.tolist() == [0, 1500, 2999]
    assert (found >= 0.9 - 1e-9).all()
    metric = NearestIdentity(train=sets[1], candidates=5, exact_cells=0)
    assert nearest_method(sets[0], metric) == "best of the 5 that share most 8-mers"
    assert nearest_method(sets[0], NearestIdentity(train=sets[1])) == "exact"


def test_pieces_copied_into_something_new_are_seen() -> None:
    rng = np.random.default_rng(3)
    source = random_text(rng, 400)
    patchwork = random_text(rng, 200) + source[100:200] + random_text(rng, 200)
    train = SequenceSet.from_strings([source, random_text(rng, 300)])
    share = copied_share(SequenceSet.from_strings([patchwork, random_text(rng, 300), source, "ACGT"]), train)
    assert share[:3] == pytest.approx([70 / 470, 0, 1], abs=0.003)
    assert np.isnan(share[3])


def test_the_measures_summarise_the_subset() -> None:
    train = SequenceSet.from_strings(["A" * 40, "C" * 40])
    metric = NearestIdentity(train=train)
    features = metric.features(SequenceSet.from_strings(["A" * 40, "A" * 20 + "G" * 20, "A" * 30 + "G" * 10]))
    rows = np.array([[True, True, True], [False, True, False]])
    values = metric.compare(features, features, rows=rows, others=rows)
    assert values[0, [0, 2]] == pytest.approx([0.75, 1.0])
    assert values[1, 0] == pytest.approx(0.5)


def test_settings() -> None:
    with pytest.raises(ConfigError, match="0 training sequences"):
        NearestIdentity(train=SequenceSet.from_strings([]))
