"""Diagrams of clouds that can be worked out by hand; the distance against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from scipy.stats import wasserstein_distance

from biodata.errors import ConfigError
from bioeval.metrics.persistence import PersistentHomology, persistence_diagrams, sliced_wasserstein
from bioeval.metrics.sequence_set import SequenceSet


def some(seed: int, number: int, length: int = 300, letters: str = "ACGT") -> SequenceSet:
    rng = np.random.default_rng(seed)
    return SequenceSet.from_strings(["".join(rng.choice(list(letters), length)) for _ in range(number)])


def by_definition(first: np.ndarray, second: np.ndarray, directions: int) -> float:
    """Mean over directions of the 1-D Wasserstein cost of the two measures with added projections."""
    total = 0.0
    for step in range(directions):
        angle = -np.pi / 2 + np.pi * step / directions
        line = np.array([np.cos(angle), np.sin(angle)])
        halves = [np.stack([d.mean(axis=1)] * 2, axis=1) for d in (first, second)]
        left = np.concatenate([first @ line, halves[1] @ line])
        right = np.concatenate([second @ line, halves[0] @ line])
        total += len(left) * wasserstein_distance(left, right)
    return total / directions


def test_polygons() -> None:
    square = persistence_diagrams(np.array([[0, 0], [0, 1], [1, 1], [1, 0.0]]))
    assert square[0].tolist() == pytest.approx(np.array([[0, 0.5]] * 3))
    assert square[1] == pytest.approx(np.array([[0.5, np.sqrt(0.5)]]))
    angles = 2 * np.pi * np.arange(12) / 12
    ring = persistence_diagrams(np.stack([np.cos(angles), np.sin(angles)], axis=1))[1]
    assert ring[np.argmax(ring[:, 1] - ring[:, 0])] == pytest.approx([np.sin(np.pi / 12), 1.0])


def test_components_are_merged_as_the_minimum_spanning_tree_says() -> None:
    """H0 of the alpha complex, a radius, is half of that of Vietoris-Rips (ripser's), a diameter."""
    rng = np.random.default_rng(4)
    for dimensions in (2, 3):
        cloud = rng.random((80, dimensions))
        tree = minimum_spanning_tree(squareform(pdist(cloud))).toarray()
        merged = np.sort(tree[tree > 0]) / 2
        assert np.sort(persistence_diagrams(cloud)[0][:, 1]) == pytest.approx(merged, rel=1e-6)


def test_repeated_points_do_no_harm() -> None:
    square = np.array([[0, 0], [0, 1], [1, 1], [1, 0.0]])
    found = persistence_diagrams(np.concatenate([square, square]), seed=1)
    assert found[1].max() == pytest.approx(np.sqrt(0.5), abs=1e-5)
    assert np.array_equal(found[1], persistence_diagrams(np.concatenate([square, square]), seed=1)[1])


def test_sliced_wasserstein_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.sort(rng.random((n, 2)), axis=1) for n in (17, 9))
    assert sliced_wasserstein(first, second) == pytest.approx(by_definition(first, second, 50))
    assert sliced_wasserstein(first, second) == pytest.approx(sliced_wasserstein(second, first))
    assert sliced_wasserstein(first, first) == 0


def test_sliced_wasserstein_of_repeated_points() -> None:
    """The diagonal's points are merged, not sorted, in every direction; ties must not disturb that."""
    rng = np.random.default_rng(2)
    first, second = (np.sort(rng.integers(0, 4, (n, 2)) / 4, axis=1) for n in (70, 90))
    for directions in (1, 4, 33):
        expected = by_definition(first, second, directions)
        assert sliced_wasserstein(first, second, directions=directions) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("block", [1, 60, 1 << 20])
def test_sliced_wasserstein_takes_directions_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioeval.metrics.diagrams._BLOCK", block)
    rng = np.random.default_rng(1)
    first, second = (np.sort(rng.random((n, 2)), axis=1) for n in (12, 8))
    assert sliced_wasserstein(first, second, directions=7) == pytest.approx(by_definition(first, second, 7))


def test_empty_diagram_costs_the_way_to_the_diagonal() -> None:
    one = np.array([[0.0, 1.0]])
    assert sliced_wasserstein(one, np.zeros((0, 2))) == pytest.approx(
        by_definition(one, np.zeros((0, 2)), 50)
    )
    assert sliced_wasserstein(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_equal_sets_have_distance_zero_and_others_have_not() -> None:
    metric = PersistentHomology(points=400, resamples=3)
    first, second = metric.features(some(0, 6)), metric.features(some(0, 6, letters="ACG"))
    everything = np.ones((1, 6), dtype=bool)
    assert metric.compare(first, first, rows=everything, others=everything).tolist() == [[0.0, 0.0]]
    assert (metric.compare(first, second, rows=everything, others=everything) > 0).all()


def test_complement_is_invisible_and_both_strands_hide_the_reverse_complement() -> None:
    texts = some(3, 4).strings()
    swapped = [t.translate(str.maketrans("ACGT", "TGCA")) for t in texts]
    everything = np.ones((1, 4), dtype=bool)
    metric = PersistentHomology(points=300)
    first, second = (
        metric.features(SequenceSet.from_strings(texts)),
        metric.features(SequenceSet.from_strings(swapped)),
    )
    assert metric.compare(first, second, rows=everything, others=everything) == pytest.approx(0, abs=1e-9)
    both = PersistentHomology(points=10_000, both_strands=True)
    turned = both.features(SequenceSet.from_strings(texts).reverse_complement())
    same = both.compare(
        both.features(SequenceSet.from_strings(texts)), turned, rows=everything, others=everything
    )
    assert same == pytest.approx(0, abs=1e-4)  # first letters repeat points, which are displaced


def test_only_so_many_subsets_are_judged() -> None:
    metric = PersistentHomology(points=50, resamples=2)
    features, rows = metric.features(some(1, 4)), np.ones((5, 4), dtype=bool)
    assert metric.compare(features, features, rows=rows, others=rows).shape == (2, 2)


def test_too_few_points_are_not_defined_and_wrong_settings_quoted() -> None:
    metric = PersistentHomology()
    features = metric.features(SequenceSet.from_strings(["A", "N"]))
    rows = np.ones((1, 2), dtype=bool)
    assert np.isnan(metric.compare(features, features, rows=rows, others=rows)).all()
    with pytest.raises(ConfigError, match="points = 3"):
        PersistentHomology(points=3)
