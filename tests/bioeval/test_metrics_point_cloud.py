"""Points made from the letters before them are those of the whole walk; memory does not grow with the set."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bioeval.metrics.c4dr import TETRAHEDRON, C4drHomology, c4dr_points
from bioeval.metrics.cgr import cgr_points
from bioeval.metrics.mutual_information import pair_counts
from bioeval.metrics.periodicity import period_three
from bioeval.metrics.persistence import PersistentHomology
from bioeval.metrics.point_cloud import PointCloud
from bioeval.metrics.sequence_set import SequenceSet


def some(letters: str = "ACGTN") -> SequenceSet:
    """Sequences of 0 to 700 letters, one of them without a nucleotide."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(letters), n)) for n in (700, 0, 1, 65, 300, 2)]
    return SequenceSet.from_strings([*texts, "NN", "A" * 200])


def walked(sequences: SequenceSet, points_of, both: bool) -> np.ndarray:
    """All points by the walks of `bioeval.metrics.cgr`, sequence by sequence, each with its other strand."""
    found = []
    for text in sequences.strings():
        one = SequenceSet.from_strings([text])
        found += [points_of(one.codes)] + ([points_of(one.reverse_complement().codes)] if both else [])
    return np.concatenate(found)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("block", [1, 7, 64, 1 << 18])
def test_points_are_those_of_the_walks(both: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioeval.metrics.point_cloud._BLOCK", block)
    monkeypatch.setattr("bioeval.metrics.point_cloud._PIECE", min(block, 1 << 12))
    sequences = some()
    for metric, points_of in ((PersistentHomology(both_strands=both), cgr_points),
                              (C4drHomology(both_strands=both), c4dr_points)):  # fmt: skip
        cloud, expected = metric.features(sequences), walked(sequences, points_of, both)
        assert cloud.counts.sum() == len(expected)
        every = cloud.sample(np.ones(len(sequences), dtype=bool), len(expected), seed=0)
        np.testing.assert_allclose(every, expected, rtol=0, atol=1e-15)


def test_chosen_sequences_alone_are_drawn_from() -> None:
    sequences, rows = some("ACGT"), np.array([True, True, False, True, False, False, True, True])
    cloud = PersistentHomology().features(sequences)
    expected = walked(sequences.take(np.flatnonzero(rows)), cgr_points, False)
    assert cloud.counts[rows].sum() == len(expected)
    np.testing.assert_allclose(cloud.sample(rows, len(expected), seed=0), expected, rtol=0, atol=1e-15)
    few = {tuple(point) for point in cloud.sample(rows, 30, seed=1).round(12)}
    assert few <= {tuple(point) for point in expected.round(12)}
    assert np.array_equal(cloud.sample(rows, 30, seed=1), cloud.sample(rows, 30, seed=1))


@pytest.mark.parametrize("both", [False, True])
def test_memory_does_not_grow_with_the_genome(both: bool) -> None:
    """All points of 4 million letters take 64 MB in the plane, 96 MB in space, of both strands twice that."""
    codes = np.random.default_rng(0).integers(0, 4, 4_000_000).astype(np.uint8)
    codes[::50_000] = codes[-1] = 4
    for corners, centre in ((np.eye(4)[:, :2], np.zeros(2)), (TETRAHEDRON, None)):
        peaks = []
        for letters in (500_000, 4_000_000):
            sequences = SequenceSet(("g",), codes[:letters], np.array([0]), np.array([letters - 1]))
            tracemalloc.start()
            cloud = PointCloud.of(sequences, corners, centre=centre, both_strands=both)
            cloud.sample(np.ones(1, dtype=bool), 2000, seed=0)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.1 * peaks[0] < 3e6, peaks


@pytest.mark.parametrize("features", [period_three, lambda s: pair_counts(s, (1, 9600))])
def test_memory_does_not_grow_with_the_longest_sequence(features, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("periodicity", "mutual_information"):
        monkeypatch.setattr(f"bioeval.metrics.{module}.BLOCK", 1 << 16)
    codes, peaks = np.random.default_rng(0).integers(0, 4, 1_500_000).astype(np.uint8), []
    for letters in (150_000, 1_500_000):
        codes[letters - 1] = 4
        sequences = SequenceSet(("g",), codes[:letters], np.array([0]), np.array([letters - 1]))
        tracemalloc.start()
        features(sequences)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0], peaks
