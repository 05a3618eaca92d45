"""The longest exact repeat of one long sequence, in memory that grows with its repeats, not with its letters.

Windows of 16 letters that occur twice are found by sorting all windows, a range of them at a time. A window
of 2 w letters is repeated only where both its halves are, so the repeated windows of 32, 64, ... letters come
from those before (the doubling of Karp, Miller and Rosenberg 1972, doi:10.1145/800152.804905) until there are
none; then the longest of them are prolonged by half of their length, a quarter, and so on to one letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import OTHER, kmer_codes

_FIRST = 16  # letters that 32 bits hold
_PREFIX = 6  # letters that windows are parted by
_MOST_PASSES = 64


@dataclass(frozen=True, slots=True)
class Repeated:
    """The places at which windows stand that stand elsewhere, too.

    Attributes:
        letters: of a window.
        places: int64, in order.
        groups: int64, a number for each place, equal for equal windows.
    """

    letters: int
    places: np.ndarray
    groups: np.ndarray


def longest_repeat(codes: np.ndarray, *, at_once: int) -> int | None:
    """Letters of the longest piece that occurs twice (overlaps count); None where half of all are repeated.

    Args:
        codes: uint8 of one sequence, A 0, C 1, G 2, T 3; what is none of them is in no repeat.
        at_once: letters, and windows, held at a time (of very long sequences a 64th of all).

    >>> letters = np.random.default_rng(0).integers(0, 4, 500).astype(np.uint8)
    >>> longest_repeat(np.concatenate([letters, [4], letters[100:177]]).astype(np.uint8), at_once=50)
    77
    """
    levels = [repeated_windows(codes, _FIRST, at_once=at_once)]
    if 2 * len(levels[0].places) > len(codes):
        return None
    if not len(levels[0].places):
        return _below_first(codes, at_once)
    while len((longer := _doubled(levels[-1])).places):
        levels.append(longer)
    return _prolonged(codes, levels)


def repeated_windows(codes: np.ndarray, k: int, *, at_once: int) -> Repeated:
    """The windows of k letters that occur twice or more.

    Args:
        codes: see `longest_repeat`.
        k: 1 to 16.
        at_once: see `longest_repeat`.

    >>> found = repeated_windows(np.array([0, 1, 2, 0, 1, 4, 2], dtype=np.uint8), 2, at_once=3)
    >>> found.places.tolist(), len(set(found.groups.tolist()))
    ([0, 3], 1)
    """
    pieces, found = max(at_once, len(codes) // _MOST_PASSES), []
    for low, high in _ranges(codes, k, at_once, pieces):
        places, numbers = [], []
        for start, number, valid in _windows(codes, k, at_once):
            chosen = np.flatnonzero(valid & (number >= low) & (number <= high))
            places.append(start + chosen)
            numbers.append(number[chosen])
        if places:
            found.append(_tied(np.concatenate(places), np.concatenate(numbers)))
    empty = np.zeros(0, dtype=np.int64)
    places = np.concatenate([empty, *(place for place, _ in found)])
    sizes = np.cumsum([0, *(int(group.max(initial=-1)) + 1 for _, group in found)])
    groups = np.concatenate([empty, *(group + before for (_, group), before in zip(found, sizes))])
    order = np.argsort(places, kind="stable")
    return Repeated(k, places[order], groups[order])


def _windows(codes: np.ndarray, k: int, at_once: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Numbers of the windows from each block of places, and whether they are some."""
    for start in range(0, len(codes) - k + 1, at_once):
        yield start, *kmer_codes(codes[start : start + at_once + k - 1], k)


def _ranges(codes: np.ndarray, k: int, at_once: int, most: int) -> list[tuple[int, int]]:
    """Ranges of window numbers, first and last, with at most so many windows in each where that can be."""
    rest = 2 * max(k - _PREFIX, 0)
    counts = np.zeros(4 ** min(k, _PREFIX), dtype=np.int64)
    for _, number, valid in _windows(codes, k, at_once):
        counts += np.bincount(number[valid] >> rest, minlength=len(counts))
    ranges, first, total = [], 0, 0
    for prefix, count in enumerate(counts.tolist()):
        if total and total + count > most:
            ranges.append((first << rest, (prefix << rest) - 1))
            first, total = prefix, 0
        total += count
    return [*ranges, (first << rest, (len(counts) << rest) - 1)]


def _tied(places: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places whose key another place has, and the groups of equal keys, in order of the keys."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    tied, fresh = np.zeros(len(order), dtype=bool), np.ones(len(order), dtype=bool)
    tied[:-1] |= same
    tied[1:] |= same
    fresh[1:] = ~same
    return places[order[tied]], np.cumsum(fresh[tied]) - 1


def _doubled(level: Repeated) -> Repeated:
    return _joined(level.letters, level.places, level.groups, level)


def _joined(letters: int, places: np.ndarray, groups: np.ndarray, then: Repeated) -> Repeated:
    """Of windows those that are followed by a repeated one and still occur twice, so much longer."""
    at = np.searchsorted(then.places, places + letters)
    behind = np.minimum(at, max(len(then.places) - 1, 0))
    known = then.places[behind] == places + letters if len(then.places) else np.zeros(len(places), dtype=bool)
    keys = groups[known] * (int(then.groups.max(initial=0)) + 1) + then.groups[behind[known]]
    left, joined = _tied(places[known], keys)
    order = np.argsort(left, kind="stable")
    return Repeated(letters + then.letters, left[order], joined[order])


def _prolonged(codes: np.ndarray, levels: list[Repeated]) -> int:
    """The length of the longest repeat; none is twice as long as the windows of the last level."""
    best, step = levels[-1], levels[-1].letters // 2
    by_length = {level.letters: level for level in levels}
    while step:
        then = by_length.get(step) or _short(codes, best.places + best.letters, step)
        longer = _joined(best.letters, best.places, best.groups, then)
        best, step = longer if len(longer.places) else best, step // 2
    return best.letters


def _short(codes: np.ndarray, places: np.ndarray, k: int) -> Repeated:
    """The windows of few letters at some places in order, whether repeated or not."""
    places = places[places + k <= len(codes)]
    numbers, valid = np.zeros(len(places), dtype=np.int64), np.ones(len(places), dtype=bool)
    for offset in range(k):
        letters = codes[places + offset]
        numbers = 4 * numbers + letters
        valid &= letters < OTHER
    return Repeated(k, places[valid], numbers[valid])


def _below_first(codes: np.ndarray, at_once: int) -> int:
    """The same where no window of 16 letters is repeated."""
    least, beyond = 0, _FIRST
    while beyond - least > 1:
        middle = (least + beyond) // 2
        if len(repeated_windows(codes, middle, at_once=at_once).places):
            least = middle
        else:
            beyond = middle
    return least
