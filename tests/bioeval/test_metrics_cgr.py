"""The chaos game against its loop, its frequency matrix against k-mer counts."""

from __future__ import annotations

import numpy as np
import pytest

from biodata.chaos_game import JEFFREY, fcgr
from biodata.errors import ConfigError
from bioeval.metrics.cgr import cgr_points
from bioeval.metrics.kmer import kmer_counts
from bioeval.metrics.sequence_set import SequenceSet

CENTRED = {"A": (1, 1), "C": (-1, 1), "G": (-1, -1), "T": (1, -1)}


def loop(text: str, corners=JEFFREY) -> np.ndarray:
    """Jeffrey's definition, letter by letter."""
    start = np.mean([corners[c] for c in "ACGT"], axis=0)
    place, points = start, []
    for letter in text:
        if letter not in corners:
            place = start
            continue
        place = (place + np.array(corners[letter], dtype=float)) / 2
        points.append(place)
    return np.array(points).reshape(-1, 2)


@pytest.mark.parametrize("corners", [JEFFREY, CENTRED])
@pytest.mark.parametrize("length", [0, 1, 2, 700])
def test_points_are_bit_identical_to_the_loop(length: int, corners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioeval.metrics.cgr._BLOCK", 64)  # walks go on from block to block
    rng = np.random.default_rng(length)
    text = "".join(rng.choice(list("ACGTN"), length, p=[0.3, 0.2, 0.2, 0.29, 0.01]))
    found = cgr_points(SequenceSet.from_strings([text]).row_codes(0), corners=corners)
    assert np.array_equal(found, loop(text, corners))


def test_homopolymer_saturates_as_the_loop_does() -> None:
    found = cgr_points(np.full(60, 2, dtype=np.uint8))
    assert np.array_equal(found, loop("G" * 60))
    assert found[-1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_binned_points_are_the_frequency_matrix(k: int) -> None:
    rng = np.random.default_rng(k)
    texts = ["".join(rng.choice(list("ACGT"), 400)) for _ in range(3)]
    matrix = fcgr(kmer_counts(SequenceSet.from_strings(texts), k))
    expected = np.zeros((2**k, 2**k), dtype=int)
    for text in texts:
        for x, y in loop(text)[k - 1 :]:
            expected[2**k - 1 - int(y * 2**k), int(x * 2**k)] += 1
    assert np.array_equal(matrix, expected)
    assert matrix.dtype == np.int64


def test_corners_of_one_letter() -> None:
    assert fcgr(np.array([1, 2, 3, 4])).tolist() == [[2, 3], [1, 4]]  # C G above A T


def test_complement_is_a_mirror_image() -> None:
    text = "ACGGTTACGATCCAGT"
    complement = text.translate(str.maketrans("ACGT", "TGCA"))
    points, mirrored = (cgr_points(SequenceSet.from_strings([t]).codes) for t in (text, complement))
    assert np.allclose(points[:, 0], 1 - mirrored[:, 0]) and np.allclose(points[:, 1], mirrored[:, 1])


def test_sequences_do_not_run_into_each_other() -> None:
    points = cgr_points(SequenceSet.from_strings(["ACG", "", "NTN", "GT"]).codes)
    assert np.array_equal(points, np.concatenate([loop("ACG"), loop("T"), loop("GT")]))


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="10 counts"):
        fcgr(np.zeros(10))
    with pytest.raises(ConfigError, match="A, C, G"):
        cgr_points(np.zeros(1, dtype=np.uint8), corners={"A": (0, 0), "C": (0, 1), "G": (1, 1)})
    with pytest.raises(ConfigError, match="unit square"):
        fcgr(np.zeros(4), corners=CENTRED)
