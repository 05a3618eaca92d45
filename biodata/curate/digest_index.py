"""Numbers for 128-bit digests: equal digests get the number of the first one, in bounded memory.

A hash table in memory (open addressing, linear probing; the digests are uniform, so their first bits are the
address) takes digests until it is full. Then it is written as a sorted file, and a bitmap remembers
which leading bits occur in any file: at 16 bits a digest (that is up to 67 million), 94 of 100 new digests
need no look at a file; beyond that it stays at 128 MB and gets less sharp.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

_MOST_FILTER_BITS = 30


class DigestIndex:
    """Gives each digest a number, 0, 1, 2, ... in the order of first appearance.

    Args:
        workdir: an existing folder for sorted files.
        memory_rows: digests held in memory, at least 1 and below 2^31 (16 to 56 bytes each, and up to
            128 MB for the bitmap once there are files).
    """

    def __init__(self, workdir: Path, *, memory_rows: int) -> None:
        if not 1 <= memory_rows < 1 << 31:
            raise ValueError(f"memory_rows is {memory_rows}, allowed: 1 to 2^31 - 1")
        self._workdir = workdir
        self._limit = memory_rows
        self._table = _Table(memory_rows)
        self._files: list[Path] = []
        self._filter = _Filter()
        self._start = 0  # number of the first digest in memory

    def number(self, digests: npt.NDArray[np.uint8]) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """The number of every digest, and whether it is the first of its kind.

        Args:
            digests: array [n, 16].
        """
        keys = np.ascontiguousarray(digests).view(">u8").astype(np.uint64).reshape(-1, 2)
        numbers = np.empty(len(keys), np.int64)
        fresh = np.empty(len(keys), np.bool_)
        for start in range(0, len(keys), self._limit):
            part = slice(start, start + self._limit)
            numbers[part], fresh[part] = self._number(keys[part])
        return numbers, fresh

    def _number(self, keys: Keys) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        if self._table.count + len(keys) > self._limit:
            self._spill()
        numbers = self._numbers_on_disk(keys)
        unseen = np.flatnonzero(numbers < 0)
        in_memory, first = self._table.find_or_add(keys.take(unseen, axis=0))
        numbers[unseen] = in_memory + self._start
        fresh = np.zeros(len(keys), np.bool_)
        fresh[unseen] = first
        return numbers, fresh

    def _spill(self) -> None:
        keys = self._table.keys[: self._table.count]
        order = np.argsort(keys[:, 0])  # the second half may stand in any order
        path = self._workdir / f"dedupe-{len(self._files):05d}.npy"
        columns = (keys[order, 0], keys[order, 1], (order + self._start).astype(np.uint64))
        np.save(path, np.stack(columns))
        self._files.append(path)
        self._start += self._table.count
        self._table = _Table(self._limit)
        self._filter.add(self._files, self._start)

    def _numbers_on_disk(self, keys: Keys) -> Int64s:
        """Numbers of digests that are in a file, -1 for the others."""
        numbers = np.full(len(keys), -1, np.int64)
        if not self._files:
            return numbers
        candidates = self._filter.candidates(keys)
        candidates = candidates[np.argsort(keys[candidates, 0])]  # neighbours in the file follow each other
        for path in self._files:
            # mapped anew each time: pages that were touched do not pile up in this process
            high, low, number = np.load(path, mmap_mode="r")
            at = np.searchsorted(high, keys[candidates, 0])
            wanted = candidates
            while len(wanted):
                inside = at < len(high)
                wanted, at = wanted[inside], at[inside]
                near = high[at] == keys[wanted, 0]
                wanted, at = wanted[near], at[near]
                equal = low[at] == keys[wanted, 1]
                numbers[wanted[equal]] = number[at[equal]].astype(np.int64)
                wanted, at = wanted[~equal], at[~equal] + 1
        return numbers

    def close(self) -> None:
        """Removes the sorted files."""
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()


class _Filter:
    """Which leading bits occur in the files: about 16 bits a digest, up to 128 MB."""

    def __init__(self) -> None:
        self._log_bits = 0
        self._bytes = np.empty(0, np.uint8)

    def add(self, files: list[Path], count: int) -> None:
        """Takes over the last file; all of them once more when `count` digests need a longer bitmap."""
        log_bits = min((16 * count - 1).bit_length(), _MOST_FILTER_BITS)
        if log_bits != self._log_bits:
            self._log_bits, self._bytes = log_bits, np.zeros((1 << log_bits) // 8, np.uint8)
        else:
            files = files[-1:]
        for path in files:
            byte, bit = self._address(np.load(path, mmap_mode="r")[0])
            first = np.flatnonzero(np.diff(byte, prepend=-1))  # the file is sorted
            self._bytes[byte[first]] |= np.bitwise_or.reduceat(bit, first)

    def candidates(self, keys: Keys) -> Int64s:
        """The keys that may be in a file."""
        byte, bit = self._address(keys[:, 0])
        return np.flatnonzero(self._bytes[byte] & bit)

    def _address(self, high: Keys) -> tuple[Int64s, npt.NDArray[np.uint8]]:
        leading = (high >> np.uint64(64 - self._log_bits)).astype(np.int64)
        return leading >> 3, np.left_shift(1, leading & 7).astype(np.uint8)


class _Table:
    """A hash table of digests, worked on by whole batches.

    Rows of digests are picked by `take`: indexing does the same 20 times as slowly.
    """

    def __init__(self, limit: int) -> None:
        self.keys = np.empty((limit, 2), np.uint64)  # pages that are not used cost nothing
        self.count = 0
        self._bits = 21  # 8 MB, so that a million digests are placed once instead of at every doubling
        self._slots = np.zeros(1 << self._bits, np.int32)  # 1 + position; zeros take no memory yet

    def find_or_add(self, keys: Keys) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Position in `self.keys` of every key, and whether it was added; keys are added in their order."""
        n = len(keys)
        self._make_room(self.count + n)
        self.keys[self.count : self.count + n] = keys  # all of them for now
        mine = np.arange(self.count, self.count + n)
        found, slots = self._place(mine)
        fresh = found == mine
        position = np.cumsum(fresh) - 1 + self.count
        added = int(fresh.sum())
        if added < n:
            self.keys[self.count : self.count + added] = keys.compress(fresh, axis=0)
            self._slots[slots[fresh]] = position[fresh] + 1
            old = found < self.count
            position = np.where(old, found, position[np.where(old, 0, found - self.count)])
        self.count += added
        return position, fresh

    def _place(self, mine: Int64s) -> tuple[Int64s, Int64s]:
        """First equal key of each of `self.keys[mine]`, and its slot; the first of a kind takes one."""
        high, low = self.keys.take(mine, axis=0).T
        at = (high >> np.uint64(64 - self._bits)).astype(np.int64)
        found, slots = np.empty(len(mine), np.int64), np.empty(len(mine), np.int64)
        rows, entries = np.arange(len(mine)), mine.astype(np.int32) + 1
        while len(rows):  # most keys find their place at once: what is left gets short
            free = np.flatnonzero(self._slots.take(at) == 0)[::-1]
            self._slots[at[free]] = entries[free]  # of several, the last assignment stays: the first row
            holder = self._slots.take(at) - 1
            held = self.keys.take(holder, axis=0)
            same = (held[:, 0] == high) & (held[:, 1] == low)
            found[rows[same]], slots[rows[same]] = holder[same], at[same]
            left = np.flatnonzero(~same)
            rows, entries, high, low = rows[left], entries[left], high[left], low[left]
            at = (at[left] + 1) & (len(self._slots) - 1)
        return found, slots

    def _make_room(self, count: int) -> None:
        """Keeps the table at most two thirds full; it grows fourfold, so that moving costs little in all."""
        if 3 * count <= 2 * len(self._slots):
            return
        self._bits = (4 * count - 1).bit_length()
        self._slots = np.zeros(1 << self._bits, np.int32)
        for start in range(0, self.count, 1 << 16):
            self._place(np.arange(start, min(start + (1 << 16), self.count)))
