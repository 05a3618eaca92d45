"""Long sequences are taken in pieces: the same values in any, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioeval.metrics import wen
from bioeval.metrics.counting import kmer_matrix, kmer_table, letter_table
from bioeval.metrics.entropy import linguistic_complexity
from bioeval.metrics.genes import _covered
from bioeval.metrics.long_repeats import longest_repeat, repeated_windows
from bioeval.metrics.repeats import longest_repeats, repeat_shares
from bioeval.metrics.sequence_set import RESIDUES, SequenceSet
from bioeval.metrics.wen import moments
from tests.bioeval.test_metrics_images import literal

MODULES = ("counting", "repeats")


def text_with_repeats(seed: int, letters: int) -> str:
    """Random letters, some unknown, of which stretches stand again."""
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("ACGTN"), letters, p=[0.3, 0.25, 0.2, 0.24, 0.01]))
    for length in rng.integers(5, letters // 8, 3):
        start, place = rng.integers(0, letters - length, 2)
        text = text[:place] + text[start : start + length] + text[place + length :]
    return text


def longest_by_sets(text: str) -> int:
    """Lengths one by one, each with a set of all windows."""
    for length in range(1, len(text)):
        windows = [text[i : i + length] for i in range(len(text) - length + 1)]
        known = [window for window in windows if "N" not in window]
        if len(set(known)) == len(known):
            return length - 1
    return max(len(text) - 1, 0)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_counts_of_pieces_are_those_of_a_loop(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(f"bioeval.metrics.{module}.BLOCK", block)
    texts = ["ACGTA", "", text_with_repeats(block, 300), "AC", "A" * 70, ""]
    sequences = SequenceSet.from_strings(texts)
    for k in (1, 2, 3):
        words = ["".join(word) for word in product("ACGT", repeat=k)]
        found = [Counter(text[i : i + k] for i in range(len(text) - k + 1)) for text in texts]
        expected = [[row[word] for word in words] for row in found]
        assert kmer_table(sequences, k).tolist() == expected
        assert kmer_matrix(sequences, k).toarray().tolist() == expected
    assert letter_table(sequences).tolist() == [[text.count(letter) for letter in "ACGT"] for text in texts]
    both = kmer_matrix(sequences, 2, both_strands=True).toarray().tolist()
    assert both == kmer_table(sequences, 2, both_strands=True).tolist()
    proteins = SequenceSet.from_strings(["ACDXYW" * 20, "MK"], letters=RESIDUES)
    assert kmer_matrix(proteins, 2).toarray().tolist() == kmer_table(proteins, 2).tolist()
    assert kmer_table(proteins, 2).sum(axis=1).tolist() == [79, 1]


@pytest.mark.parametrize("seed", range(4))
def test_repeats_of_long_sequences_in_any_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text_with_repeats(seed, 700), "ACGT" * 40, "N" * 90]
    sequences = SequenceSet.from_strings(texts)
    whole = repeat_shares(sequences, 4), longest_repeats(sequences)
    assert whole[1].tolist() == [longest_by_sets(texts[0]), 156, 0]
    for block in (33, 256):
        for module in MODULES:
            monkeypatch.setattr(f"bioeval.metrics.{module}.BLOCK", block)
        assert repeat_shares(sequences, 4).tolist()[:2] == whole[0].tolist()[:2]
        assert longest_repeats(sequences).tolist() == whole[1].tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("ACGTN", min_size=1, max_size=40), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=2, max_size=8), st.integers(1, 60),
)  # fmt: skip
def test_the_longest_repeat_is_that_of_all_windows(parts: list[str], order: list[int], at_once: int) -> None:
    """Texts that are put together of few parts, each maybe several times."""
    text = "".join(parts[i % len(parts)] for i in order)
    found = longest_repeat(SequenceSet.from_strings([text]).row_codes(0), at_once=at_once)
    windows = Counter(text[i : i + 16] for i in range(len(text) - 15))
    repeated = sum(n for window, n in windows.items() if n > 1 and "N" not in window)
    assert found == (None if 2 * repeated > len(text) else longest_by_sets(text))


def test_windows_that_are_repeated_are_told_with_their_partners() -> None:
    text = text_with_repeats(9, 400)
    found = repeated_windows(SequenceSet.from_strings([text]).row_codes(0), 5, at_once=20)
    windows = {i: text[i : i + 5] for i in range(len(text) - 4) if "N" not in text[i : i + 5]}
    often = Counter(windows.values())
    assert found.places.tolist() == [i for i, window in windows.items() if often[window] > 1]
    pairs = {(group, windows[place]) for group, place in zip(found.groups.tolist(), found.places.tolist())}
    assert len(pairs) == len({group for group, _ in pairs}) == len({window for _, window in pairs})


def test_what_is_mostly_repeats_is_sorted_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubling would keep every window of such a sequence at every length."""
    monkeypatch.setattr("bioeval.metrics.repeats.BLOCK", 10)
    assert longest_repeat(np.zeros(100, dtype=np.uint8), at_once=10) is None
    assert longest_repeats(SequenceSet.from_strings(["A" * 100])).tolist() == [99]


@pytest.mark.parametrize("block", [5, 64])
def test_spiral_moments_of_any_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(np.random.default_rng(3).choice(list("ACGT"), 400)) + "AAAA"
    codes = SequenceSet.from_strings([text + "GATTTTACA" * 700]).row_codes(0)  # beyond letter 5,000
    whole = {variant: moments(codes, variant=variant) for variant in get_args(wen.Variant)}
    monkeypatch.setattr(wen, "_BLOCK", block)
    for variant, values in whole.items():
        assert moments(codes, variant=variant) == pytest.approx(values, rel=1e-12)
    assert moments(codes[: len(text)]) == pytest.approx(literal(text))
    pieces = [wen.masses(codes, start, start + block) for start in range(0, 6000, block)]
    assert np.concatenate(pieces).tolist() == wen.masses(codes, 0, len(pieces) * block).tolist()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8))
def test_letters_under_genes_count_once(genes: list[tuple[int, int]]) -> None:
    places = [(begin, begin + length) for begin, length in genes]
    assert _covered(places) == len({i for begin, end in places for i in range(begin, end)})


@pytest.mark.parametrize(
    "features",
    [
        letter_table,
        lambda s: kmer_table(s, 6, both_strands=True),
        lambda s: kmer_matrix(s, 7),
        linguistic_complexity,
        lambda s: moments(s.row_codes(0)),
        lambda s: moments(s.row_codes(0), variant="textbook"),
        lambda s: repeat_shares(s, 8),
        longest_repeats,
    ],
)
def test_memory_does_not_grow_with_the_longest_sequence(
    features: Callable[[SequenceSet], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of these took 8 to 100 bytes a letter; what is left of complexity is 0.5 (32 a stretch of 100)."""
    for module in MODULES:
        monkeypatch.setattr(f"bioeval.metrics.{module}.BLOCK", 1 << 14)
    for name, most in (("wen._BLOCK", 1 << 14), ("word_counts._CHUNK", 1 << 14), ("entropy._BLOCK", 256)):
        monkeypatch.setattr(f"bioeval.metrics.{name}", most)
    codes, peaks = np.random.default_rng(0).integers(0, 4, 600_000).astype(np.uint8), []
    for letters in (100_000, 600_000):
        codes[letters - 1] = 4
        sequences = SequenceSet(("g",), codes[:letters], np.array([0]), np.array([letters - 1]))
        features(sequences)  # what is imported and kept once does not count
        tracemalloc.start()
        features(sequences)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000, peaks
