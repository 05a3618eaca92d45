"""The second opinion: edit-distance alignment of held-out rows with all rows of the other splits.

No seeds that a similar pair may lack: every pair in the length window is decided, by alignment or by the
q-gram lemma (Ukkonen 1992, doi:10.1016/0304-3975(92)90143-4: e edits destroy at most e * q of a sequence's
q-grams, so a pair that shares too few cannot be alike). Small sets are compared whole, of larger ones
a seeded sample of the held-out rows, until a stated effort is spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from biodata.alphabet import reverse_complement
from biodata.similarity.pairwise import EPSILON, best_identity, most_edits
from biodata.similarity.search import Hits

_BUCKETS = 4096
_QUERIES = 64
_TARGETS = 2048
# Nominal seconds of one pair: a dot product of 4096, and an alignment of `columns` with `edits` allowed.
_DOT_SECONDS = 2e-7
_ALIGN_SECONDS = 2e-6
_COLUMN_SECONDS = 8e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSettings:
    """What counts as alike, and how much is compared.

    Attributes:
        effort: nominal seconds of one core; decides how many rows are sampled, whatever the machine's speed;
            infinite for all.
    """

    identity: float
    coverage: float
    both_strands: bool
    q: int
    effort: float = 20.0
    seed: int = 0


class ExactResult(NamedTuple):
    """Pairs that are alike (held-out row first), the rows compared, the pairs decided."""

    hits: Hits
    queries: np.ndarray
    pairs: int
    complete: bool


def exact_check(texts: list[str], split: np.ndarray, settings: ExactSettings) -> ExactResult:
    """All pairs that are alike between a (sampled) held-out row and a row of an earlier split.

    Args:
        texts: normalised sequences.
        split: 0 train, 1 validation, 2 test, of each row; a row is compared with rows of lower numbers.
    """
    held_out = np.flatnonzero(split > 0)
    order = np.random.default_rng(settings.seed).permutation(held_out)
    lengths = np.array([len(text) for text in texts], np.int64)
    if math.isinf(settings.effort):  # no sample: rows of one length need the same few targets
        order = held_out[np.argsort(lengths[held_out], kind="stable")]
    by_length = np.argsort(lengths, kind="stable")
    found: list[tuple[int, int, float]] = []
    pairs, spent, done = 0, 0.0, 0
    while done < len(order) and spent < settings.effort:
        block = order[done : done + _QUERIES]
        done += len(block)
        for queries, targets in _blocks(block, lengths, by_length, settings):
            allowed = _in_window(lengths[queries], lengths[targets], settings)
            allowed &= split[targets][None, :] < split[queries][:, None]
            allowed &= split[targets][None, :] >= 0
            pairs += int(allowed.sum())
            spent += allowed.size * _DOT_SECONDS * (1 + settings.both_strands)
            left, right = np.nonzero(allowed & _possible(texts, queries, targets, settings))
            a, b = queries[left], targets[right]
            spent += _alignment_seconds(lengths[a], lengths[b], settings)
            for x, y in zip(a.tolist(), b.tolist()):
                value = best_identity(texts[x], texts[y], identity=settings.identity,
                                      coverage=settings.coverage,
                                      both_strands=settings.both_strands)  # fmt: skip
                if value:
                    found.append((x, y, value))
    columns = list(zip(*found)) or [(), (), ()]
    hits = Hits(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], float))
    return ExactResult(hits, np.sort(order[:done]), pairs, done == len(order))


def _blocks(queries: np.ndarray, lengths: np.ndarray, by_length: np.ndarray, settings: ExactSettings):
    """Query block with blocks of the targets that lie in the length window of any of its rows."""
    factor = settings.identity * settings.coverage
    low = lengths[queries].min() * factor - 1
    high = lengths[queries].max() / factor + 1
    sorted_lengths = lengths[by_length]
    start, stop = np.searchsorted(sorted_lengths, [low, high])
    for at in range(int(start), int(stop), _TARGETS):
        yield queries, by_length[at : min(at + _TARGETS, int(stop))]


def _in_window(query: np.ndarray, target: np.ndarray, settings: ExactSettings) -> np.ndarray:
    short = np.minimum(query[:, None], target[None, :])
    long = np.maximum(query[:, None], target[None, :])
    edits = np.floor((1 - settings.identity) / settings.identity * short + EPSILON)
    return short + edits >= settings.coverage * long - EPSILON


def _possible(
    texts: list[str], queries: np.ndarray, targets: np.ndarray, settings: ExactSettings
) -> np.ndarray:
    """Pairs that the q-gram lemma does not rule out, on either strand."""
    right = _presence([texts[row] for row in targets], settings.q)
    strands = [[texts[row] for row in queries]]
    if settings.both_strands:
        strands.append([reverse_complement(text) for text in strands[0]])
    possible = np.zeros((len(queries), len(targets)), bool)
    longest = np.array([len(texts[row]) for row in targets])
    for strand in strands:
        left = _presence(strand, settings.q)
        shared = left @ right.T
        query_edits = np.array([most_edits(len(text), settings.identity) for text in strand])
        target_edits = np.array([most_edits(n, settings.identity) for n in longest.tolist()])
        lost_query = left.sum(1)[:, None] - shared <= settings.q * query_edits[:, None]
        lost_target = right.sum(1)[None, :] - shared <= settings.q * target_edits[None, :]
        shorter = np.array([len(text) for text in strand])[:, None] <= longest[None, :]
        possible |= np.where(shorter, lost_query, lost_target)
    return possible


def _presence(texts: list[str], q: int) -> np.ndarray:
    """Which hashed q-grams each text has, float32 (so that counting shared ones is a matrix product)."""
    presence = np.zeros((len(texts), _BUCKETS), np.float32)
    for row, text in enumerate(texts):
        data = np.frombuffer(text.encode("latin-1"), np.uint8).astype(np.uint32)
        if len(data) < q:
            continue
        code = np.zeros(len(data) - q + 1, np.uint32)
        for letter in range(q):
            code = code * np.uint32(0x01000193) + data[letter : letter + len(code)]
        presence[row, (code * np.uint32(0x9E3779B1)) >> np.uint32(20)] = 1
    return presence


def _alignment_seconds(a: np.ndarray, b: np.ndarray, settings: ExactSettings) -> float:
    short, long = np.minimum(a, b), np.maximum(a, b)
    edits = (1 - settings.identity) / settings.identity * short
    seconds = _ALIGN_SECONDS + long * (edits / 64 + 1) * _COLUMN_SECONDS
    return float(seconds.sum()) * (1 + settings.both_strands)
