"""Temperature sampling, caps and near duplicates against plain statements of what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biodata.curate.near_duplicates import kept_by
from biodata.curate.sampling import capped, group_codes, sample_sizes, sampled
from biodata.errors import ConfigError
from biodata.schema import BioSequence, table_from_records
from biodata.similarity.search import Hits

SIZES = st.lists(st.integers(1, 1000), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 5000), st.sampled_from([0, 1, 1.5, 3, 100]))
def test_samples_are_exact_and_never_take_a_row_twice(
    sizes: list[int], rows: int, temperature: float
) -> None:
    given_sizes = np.array(sizes)
    taken = sample_sizes(given_sizes, rows, temperature)
    assert taken.sum() == min(rows, sum(sizes)) and (taken <= given_sizes).all() and (taken >= 0).all()
    # groups that were not used up have shares in proportion to n^(1/T), up to rounding
    left = taken < given_sizes
    if left.sum() > 1:
        weights = np.ones(len(sizes)) if temperature == 0 else given_sizes ** (1 / temperature)
        rate = taken[left].sum() / weights[left].sum()
        assert np.abs(taken[left] - rate * weights[left]).max() < 2


def test_temperatures_by_hand() -> None:
    sizes = np.array([9000, 900, 90])
    np.testing.assert_array_equal(sample_sizes(sizes, 999, 1), [900, 90, 9])
    np.testing.assert_array_equal(sample_sizes(sizes, 270, 0), [90, 90, 90])
    np.testing.assert_array_equal(sample_sizes(sizes, 330, 0), [120, 120, 90])  # the smallest is used up
    root = sizes**0.5 / (sizes**0.5).sum() * 100
    np.testing.assert_allclose(sample_sizes(sizes, 100, 2), root, atol=1)


def test_rows_are_chosen_by_the_seed() -> None:
    groups = np.repeat([0, 1, 2], [500, 50, 5])
    keep = sampled(groups, 60, temperature=0, seed=1)
    assert np.bincount(groups[keep]).tolist() == [28, 27, 5] or np.bincount(groups[keep]).tolist() == [
        27,
        28,
        5,
    ]
    assert (sampled(groups, 60, temperature=0, seed=1) == keep).all()
    assert (sampled(groups, 60, temperature=0, seed=2) != keep).any()
    assert np.bincount(groups[capped(groups, 10, seed=0)]).tolist() == [10, 10, 5]
    assert capped(np.zeros(0, np.int64), 3, seed=0).tolist() == []


def test_groups_by_column_label_and_lineage() -> None:
    def row(id: str, organism: str | None, **labels: str | float) -> BioSequence:
        return BioSequence(id=id, sequence="ACGT", alphabet="dna", organism=organism, labels=labels)

    table = table_from_records([
        row("a", "x", lineage="Bacteria; P; Q", year=2001), row("b", None, year=2002),
        row("c", "y", lineage="Bacteria; P; R"), row("d", "x", lineage="Bacteria; S", year=2001),
    ])  # fmt: skip
    table = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert [group_codes(table, "organism")[1][g] for g in group_codes(table, "organism")[0]] == [
        "x",
        "(none)",
        "y",
        "x",
    ]
    codes, names = group_codes(table, "lineage:2")
    assert [names[g] for g in codes] == ["Bacteria; P", "(none)", "Bacteria; P", "Bacteria; S"]
    codes, names = group_codes(table, "year")
    assert [names[g] for g in codes] == ["2001", "2002", "(none)", "2001"]
    with pytest.raises(ConfigError, match="sample_by is 'tissue', which no row has"):
        group_codes(table, "tissue")


@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40),
    st.sampled_from(["first", "longest"]),
)
def test_what_stays_is_unlike_and_what_goes_is_alike(pairs: list[tuple[int, int]], keep: Any) -> None:
    edges = {(min(p), max(p)) for p in pairs if p[0] != p[1]}
    hits = Hits(
        np.array([a for a, _ in edges], np.int64),
        np.array([b for _, b in edges], np.int64),
        np.ones(len(edges)),
    )
    lengths = np.array([7, 3, 9, 9, 1, 4, 4, 8, 2, 6, 5, 5, 3, 9, 7])
    stands = kept_by(hits, lengths, keep=keep)
    stay = {i for i in range(15) if stands[i] == i}
    assert not any(a in stay and b in stay for a, b in edges)
    for row in set(range(15)) - stay:
        other = int(stands[row])
        assert other in stay and (min(row, other), max(row, other)) in edges
        assert lengths[other] >= lengths[row] if keep == "longest" else other < row
