"""Chaos-game images, integer chaos game, colour squares, Wen's method against slow or hand-made versions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError, DataError
from bioeval.metrics.c4dr import TETRAHEDRON, C4drHomology, c4dr_points
from bioeval.metrics.color_square import ColorSquareDistance
from bioeval.metrics.diagrams import bottleneck, persistence_diagrams, wasserstein
from bioeval.metrics.fcgr import FcgrDistance, structural_similarity
from bioeval.metrics.icgr import YIN, IntegerPoint, decode, encode
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.wen import masses, moments

DNA = st.text("ACGT", max_size=80)


def some(seed: int, number: int, length: int, letters: str = "ACGT") -> SequenceSet:
    rng = np.random.default_rng(seed)
    return SequenceSet.from_strings(["".join(rng.choice(list(letters), length)) for _ in range(number)])


@settings(max_examples=60, deadline=None)
@given(DNA)
def test_integers_are_yins_recursion_and_come_back(text: str) -> None:
    x = y = 0
    for i, letter in enumerate(text):
        x, y = x + 2**i * YIN[letter][0], y + 2**i * YIN[letter][1]
    assert encode(text) == IntegerPoint(len(text), x, y)
    assert decode(encode(text)) == text


def test_integers_of_a_long_sequence_are_exact_in_other_corners_too() -> None:
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 50_000))
    corners = {"A": (-1, -1), "C": (-1, 1), "G": (1, 1), "T": (1, -1)}
    assert decode(encode(text, corners=corners), corners=corners) == text
    assert decode(encode(text, corners=corners)) != text
    assert decode(encode("acgu")) == "ACGT"


def test_wrong_letters_corners_and_points_are_one_line() -> None:
    with pytest.raises(DataError, match="letter 'N' at position 3"):
        encode("ACN")
    with pytest.raises(ConfigError, match="corners"):
        encode("AC", corners={"A": (1, 1), "C": (1, 1), "G": (-1, 1), "T": (1, -1)})
    with pytest.raises(DataError, match="no coordinate of 2 letters"):
        decode(IntegerPoint(2, 0, 1))


def slow_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Every window by itself, mirrored at the borders."""
    offsets = np.arange(-5, 6)
    weight = np.exp(-(offsets**2) / (2 * 1.5**2))
    weight = np.outer(weight, weight) / weight.sum() ** 2
    top = max(first.max(), second.max())
    one, two = (0.01 * top) ** 2, (0.03 * top) ** 2
    x, y = (np.pad(image, 5, mode="symmetric") for image in (first, second))
    total = 0.0
    for i, j in product(range(first.shape[0]), range(first.shape[1])):
        a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
        ma, mb = (weight * a).sum(), (weight * b).sum()
        va, vb = (weight * (a - ma) ** 2).sum(), (weight * (b - mb) ** 2).sum()
        covariance = (weight * (a - ma) * (b - mb)).sum()
        total += (2 * ma * mb + one) * (2 * covariance + two) / ((ma**2 + mb**2 + one) * (va + vb + two))
    return total / first.size


def test_similarity_is_its_definition_window_by_window() -> None:
    first, second = np.random.default_rng(1).random((2, 16, 16))
    assert structural_similarity(first, second) == pytest.approx(slow_ssim(first, second), abs=1e-9)
    both = structural_similarity(np.stack([first, second]), np.stack([second, second]))
    assert both == pytest.approx([slow_ssim(first, second), 1.0], abs=1e-9)


def test_image_correlation_is_pearsons_and_unlike_sources_are_farther() -> None:
    metric = FcgrDistance(k=3)
    sets = some(0, 20, 300, "AAACGT"), some(1, 20, 300, "AAACGT"), some(2, 20, 300, "ACGTTT")
    a, b, c = (metric.features(s) for s in sets)
    every = np.ones((1, 20), bool)
    near, far = (metric.compare(a, other, rows=every, others=every)[0] for other in (b, c))
    assert near[1] == pytest.approx(1 - np.corrcoef(a.sum(axis=0), b.sum(axis=0))[0, 1])
    assert (far > near).all()


def test_squares_differ_where_letters_of_a_place_do() -> None:
    metric = ColorSquareDistance(side=2)
    first = metric.features(SequenceSet.from_strings(["ACG", "ACG"]))
    second = metric.features(SequenceSet.from_strings(["ACT", "TCT"]))
    every = np.ones((1, 2), bool)
    # of the three places in use the first differs by half, the second not, the third wholly
    assert metric.compare(first, second, rows=every, others=every)[0, 0] == pytest.approx(0.5)
    longer = metric.features(SequenceSet.from_strings(["ACGT", "ACGT"]))
    assert metric.compare(first, longer, rows=every, others=every)[0, 0] == pytest.approx(0.25)


def literal(text: str) -> list[float]:
    """dvq's form step by step: masses by rank of occurrence, the point less itself times its mass."""
    table = {"0100": 1, "0101": 2, "1100": 3, "0110": 3, "1101": 4, "1110": 5, "0111": 5, "1111": 6}
    weights = [0.0] * len(text)
    for i in range(1, len(text) - 2):
        alike = [text[i - 1] == text[i], True, text[i + 1] == text[i], text[i + 2] == text[i]]
        weights[i] = table.get("".join(str(int(a)) for a in alike), 0) / 6
    found = []
    for letter in "ACGT":
        places = [i for i, other in enumerate(text) if other == letter]
        total = 0.0
        for rank, place in enumerate(places):
            theta = 2 * np.pi * place / (len(text) - 1)
            x, y, m = np.sqrt(theta) * np.cos(theta), np.sqrt(theta) * np.sin(theta), weights[rank]
            total += m * ((x - x * m) ** 2 + (y - y * m) ** 2)
        found.append(np.sqrt(total / sum(weights)))
    return found


def codes_of(text: str) -> np.ndarray:
    return SequenceSet.from_strings([text]).row_codes(0)


def test_wens_method_as_dvq_has_it() -> None:
    text = "".join(np.random.default_rng(3).choice(list("ACGT"), 400))
    assert moments(codes_of(text)) == pytest.approx(literal(text))


def test_wens_method_as_in_textbooks() -> None:
    codes = codes_of("".join(np.random.default_rng(4).choice(list("ACGT"), 300)))
    mass = masses(codes)
    theta = 2 * np.pi * np.arange(300) / 299
    points = np.sqrt(theta) * np.exp(1j * theta)
    for letter, found in enumerate(moments(codes, variant="textbook")):
        own = np.where(codes == letter, mass, 0)
        centre = (own * points).sum() / own.sum()
        # the mean of squares less the square of the mean, another way to the same radius
        spread = (own * np.abs(points) ** 2).sum() / own.sum() - np.abs(centre) ** 2
        assert found == pytest.approx(np.sqrt(spread))


def test_masses_far_out_are_small() -> None:
    mass = masses(np.zeros(5100, dtype=np.uint8))
    assert mass[5000] == 1 and mass[5001] == pytest.approx(0.0375)


def test_space_has_the_distances_of_four_dimensions() -> None:
    codes = codes_of("".join(np.random.default_rng(5).choice(list("ACGT"), 60)))
    walk, at = [], np.eye(4)[codes[0]]
    for code in codes:
        at = (at + np.eye(4)[code]) / 2
        walk.append(at)
    flat, solid = np.array(walk), c4dr_points(codes)
    for i, j in ((0, 59), (3, 17), (20, 21)):
        assert np.linalg.norm(solid[i] - solid[j]) == pytest.approx(np.linalg.norm(flat[i] - flat[j]))
    np.testing.assert_allclose(solid, flat @ TETRAHEDRON, atol=1e-12)


def test_an_octahedron_has_one_hollow() -> None:
    points = np.concatenate([np.eye(3), -np.eye(3)])
    found = persistence_diagrams(points)
    # edges sqrt 2: joined at half of it, triangles filled at sqrt 2/3, the hollow at radius 1
    assert found[0] == pytest.approx(np.array([[0, np.sqrt(0.5)]] * 5))
    assert found[2] == pytest.approx(np.array([[np.sqrt(2 / 3), 1.0]]))


def test_distances_of_diagrams_by_hand() -> None:
    first, second = np.array([[0, 1.0], [0, 0.2]]), np.array([[0, 0.9]])
    # (0, 1) moves 0.1 to (0, 0.9), (0, 0.2) 0.1 to the diagonal
    assert wasserstein(first, second) == pytest.approx(0.2, rel=2e-3)
    assert bottleneck(first, second) == pytest.approx(0.1)


@pytest.mark.parametrize("distance", ["sliced", "wasserstein", "bottleneck"])
def test_homology_in_space_sees_another_source(distance) -> None:
    metric = C4drHomology(points=150, resamples=1, distance=distance)
    sets = some(0, 6, 200), some(1, 6, 200), some(2, 6, 200, "AAACGTTT")
    a, b, c = (metric.features(s) for s in sets)
    every = np.ones((1, 6), bool)
    near, far = (metric.compare(a, other, rows=every, others=every)[0, 0] for other in (b, c))
    assert 0 < near < far
