"""Learning byte-pair merges with arrays: the merges of `tokenizers`' trainer, in a fraction of its time.

All pieces lie end to end in one array; a token stands at its first letter and again at its last. Where a pair
may begin is kept from the moment it came up; places it has lost since are noticed when it is merged. A merge
costs as much as the pair occurs, so that all of them together cost about as much as the text is long.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from biodata.errors import ConfigError, DataError

MOST_TOKENS = 1 << 14
"""Tokens at most: counts of pairs are kept in a square of them, 1 GB if all of it is touched."""

_BREAK, _INSIDE = 0, 0xFFFF
"""Stand between pieces and inside of tokens; tokens are counted from 1."""


_Made: TypeAlias = "list[list[tuple[np.ndarray, np.ndarray]]]"


def learn_merges(pieces: Iterable[str], *, letters: str, merges: int) -> list[tuple[str, str]]:
    """The pairs that byte-pair encoding (Sennrich et al. 2016, doi:10.18653/v1/P16-1162) joins, in order.

    Each time the pair that stands side by side most often (overlaps counted) is joined, from left to right;
    of equally frequent ones the pair whose first token was learnt first, then the second. Where a token has
    been made of two others before, it is the same token.

    Args:
        pieces: pieces of sequences; no pair reaches over their ends.
        letters: all letters, in the order of their ids.
        merges: new tokens at most; the data may give fewer.

    Raises:
        ConfigError: more than `MOST_TOKENS` tokens.
        DataError: a letter that is not among `letters`.

    >>> learn_merges(["ATGATG", "ATC"], letters="ACGT", merges=2)
    [('A', 'T'), ('AT', 'G')]
    """
    tokens = 1 + len(letters) + merges
    if tokens > MOST_TOKENS:
        raise ConfigError(f"{merges} merges, allowed: {MOST_TOKENS - 1 - len(letters)}")
    return _Learner(_joined(pieces, letters), letters, tokens=tokens).learn()


def _joined(pieces: Iterable[str], letters: str) -> np.ndarray:
    table = np.full(256, 255, np.uint8)
    table[np.frombuffer(letters.encode("ascii"), np.uint8)] = np.arange(1, len(letters) + 1)
    table[ord("\n")] = _BREAK
    text = ("\n" + "\n".join(pieces) + "\n").encode("ascii")
    found = table[np.frombuffer(text, np.uint8)]
    if (found == 255).any():
        raise DataError(
            f"letter {chr(text[int(np.argmax(found == 255))])!r} to learn from, allowed: {letters}"
        )
    return found.astype(np.uint16)


class _Learner:
    """The text, the pairs in it and how often each occurs.

    Attributes:
        head: token that begins at a place, `_INSIDE` where none does.
        tail: token that ends at a place; means nothing where none does.
        width: letters of each token.
        count: occurrences of each pair of tokens.
        made: for each token the pairs that came with it: (its partners in order, places of the pairs), apart
            for pairs it begins and pairs it ends. Some of them may have been joined to something else since.
        queue: pairs that occur at least `least` times; an entry may be out of date, then it is put back.
    """

    def __init__(self, text: np.ndarray, letters: str, *, tokens: int) -> None:
        self.head, self.tail = text, text.copy()
        self.tokens = ["", *letters]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self.width = np.ones(tokens, np.int32)
        self.count = np.zeros((tokens, tokens), np.int32)
        self.made: tuple[_Made, _Made] = ([[] for _ in range(tokens)], [[] for _ in range(tokens)])
        self.queue: list[tuple[int, int, int]] = []
        self.least = len(text)
        for letter in range(1, len(letters) + 1):
            at = np.flatnonzero(text[:-1] == letter).astype(np.int32)
            self._add(at, letter, text[at + 1], first=True)

    def learn(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while len(self.tokens) < len(self.width) and (pair := self._most_frequent()) is not None:
            first, second = pair
            found.append((self.tokens[first], self.tokens[second]))
            self._merge(first, second, self._token(first, second))
        return list(dict.fromkeys(found))

    def _most_frequent(self) -> tuple[int, int] | None:
        while True:
            while self.queue:
                negative, first, second = heapq.heappop(self.queue)
                now = int(self.count[first, second])
                if now == -negative:
                    return first, second
                if now >= self.least:
                    heapq.heappush(self.queue, (-now, first, second))
            if self.least == 1:
                return None
            count = self.count[: len(self.tokens), : len(self.tokens)]
            self.least = max(1, min(self.least, int(count.max())) // 2)
            seen = np.argwhere(count >= self.least).tolist()
            self.queue = [(-int(self.count[a, b]), a, b) for a, b in seen]
            heapq.heapify(self.queue)

    def _token(self, first: int, second: int) -> int:
        token = self.tokens[first] + self.tokens[second]
        if token not in self.ids:
            self.ids[token] = len(self.tokens)
            self.width[len(self.tokens)] = len(token)
            self.tokens.append(token)
        return self.ids[token]

    def _merge(self, first: int, second: int, token: int) -> None:
        at = self._standing(first, second)
        after = at + self.width[first] + self.width[second]
        # Where the same pair stands right before, what is lost and won there is the pair of both.
        follows = np.zeros(len(at), bool)
        follows[1:] = at[1:] == after[:-1]
        self._lose(self.tail[at[~follows] - 1], self.count[:, first])
        self._lose(self.head[after], self.count[second])
        self.count[first, second] = 0
        self.head[at + self.width[first]] = _INSIDE
        self.head[at] = token
        self.tail[after - 1] = token
        before = self.tail[at[~follows] - 1]
        self._add(at[~follows] - self.width[before], token, before, first=False)
        self._add(at, token, self.head[after], first=True)

    def _standing(self, first: int, second: int) -> np.ndarray:
        """Where the pair stands now, from left to right, without those that overlap one further left."""
        parts = [np.empty(0, np.int32)]
        for made, partner in ((self.made[0][first], second), (self.made[1][second], first)):
            for partners, places in made:
                low, high = np.searchsorted(partners, (partner, partner + 1))
                parts.append(places[low:high])
        at = np.sort(np.concatenate(parts))
        at = at[(self.head[at] == first) & (self.head[at + self.width[first]] == second)]
        at = at[np.diff(at, prepend=-1) > 0]
        if first == second and len(at):
            begins = np.diff(at, prepend=-1 - self.width[first]) != self.width[first]
            start = np.maximum.accumulate(np.where(begins, np.arange(len(at)), 0))
            at = at[(np.arange(len(at)) - start) % 2 == 0]
        return at

    def _lose(self, others: np.ndarray, counts: np.ndarray) -> None:
        found = np.bincount(others)
        found[_BREAK] = 0
        counts[: len(found)] -= found.astype(np.int32)

    def _add(self, at: np.ndarray, token: int, others: np.ndarray, *, first: bool) -> None:
        order = np.argsort(others, kind="stable")
        ranked = others[order]
        inside = int(np.searchsorted(ranked, _BREAK + 1))
        self.made[0 if first else 1][token].append((ranked[inside:], at[order[inside:]]))
        found = np.bincount(ranked[inside:])
        counts = (self.count[token] if first else self.count[:, token])[: len(found)]
        counts += found.astype(np.int32)
        for other in np.flatnonzero((counts >= self.least) & (found > 0)).tolist():
            one, two = (token, other) if first else (other, token)
            heapq.heappush(self.queue, (-int(counts[other]), one, two))
