"""Which candidate pairs are alike: by alignment, and by sketches where a row is too long for that.

On the side of caution: pairs count from `MARGIN` below the threshold on, and the whole of the shorter row or
any of three stretches of it is aligned. So what is not alike here is hardly alike in a local alignment by
another program, such as that of the audit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import edlib
import numpy as np

from biodata.alphabet import reverse_complement
from biodata.engine import in_order
from biodata.large.letters import Letters, open_letters
from biodata.progress import progress
from biodata.similarity.pairwise import EPSILON, alignment_identity, most_edits
from biodata.similarity.search import LONG, Hits
from biodata.similarity.sketch import MARGIN, SketchSettings, bottom_sketch, estimated_identity

_TASK = 20_000  # pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What counts as alike.

    Attributes:
        letters: folder of the sequences.
        sketch: the comparison of rows above `LONG`; its identity and coverage are those of alignments too.
    """

    letters: Path
    alphabet: str
    sketch: SketchSettings


@dataclass(frozen=True, slots=True)
class _Pairs:
    by: Likeness
    query: np.ndarray
    target: np.ndarray


def verified(
    query: np.ndarray, target: np.ndarray, by: Likeness, *, executor: Executor | None = None, what: str
) -> Hits:
    """The pairs that are alike, in the order given.

    Args:
        query: int64 rows.
        target: int64 rows; pairs with equal ones should follow each other.
        what: the label of the progress bar.
    """
    starts = range(0, len(query), _TASK)
    tasks = [_Pairs(by, query[at : at + _TASK], target[at : at + _TASK]) for at in starts]
    found = [np.zeros(0)]
    with progress(what, len(tasks)) as advance:
        for values in in_order(executor, _identities, tasks):
            found.append(values)
            advance(1)
    identity = np.concatenate(found)
    alike = identity > 0
    return Hits(query[alike], target[alike], identity[alike])


def _identities(pairs: _Pairs) -> np.ndarray:
    """Identity of each pair, 0 where it is not alike."""
    by, letters = pairs.by, open_letters(pairs.by.letters)
    sketch = lru_cache(maxsize=64)(lambda row: bottom_sketch(letters.piece(*_place(letters, row)), by.sketch))
    lengths = letters.lengths
    rows = np.maximum(lengths[pairs.query], lengths[pairs.target])
    with letters.rows() as read:
        text = lru_cache(maxsize=64)(read)
        values = [
            _estimated(sketch(a), sketch(b), by.sketch) if longest > LONG else _aligned(text, a, b, by)
            for a, b, longest in zip(pairs.query.tolist(), pairs.target.tolist(), rows.tolist())
        ]
    return np.array(values, np.float64)


def _place(letters: Letters, row: int) -> tuple[int, int]:
    return int(letters.offsets[row]), int(letters.offsets[row + 1])


def _estimated(a: np.ndarray, b: np.ndarray, how: SketchSettings) -> float:
    value = estimated_identity(a, b, how)
    return value if value >= how.least else 0.0


def _aligned(text: Callable[[int], bytes], a: int, b: int, by: Likeness) -> float:
    left, right = text(a), text(b)
    least = by.sketch.identity - MARGIN
    if len(left) == len(right):
        # without gaps: a lower bound of the identity, and alike is alike
        equal = np.count_nonzero(np.frombuffer(left, np.uint8) == np.frombuffer(right, np.uint8))
        if equal >= (least - EPSILON) * len(left):
            return equal / len(left)
    short, long = sorted((left.decode("latin-1"), right.decode("latin-1")), key=lambda x: (len(x), x))
    strands = [short, reverse_complement(short)] if by.alphabet == "dna" else [short]
    return best_stretch(strands, long, identity=least, coverage=by.sketch.coverage)


def best_stretch(strands: Sequence[str], long: str, *, identity: float, coverage: float) -> float:
    """Identity of the better strand of the shorter row in the longer one, whole or by a stretch of it.

    A local alignment may leave out an end of the shorter row, so if the whole is not alike three stretches
    are tried that an alignment must nearly cover. All have the middle in common: where that has more edits
    than the whole may have, nothing else is alike, and most pairs that share a k-mer by chance end there.

    Args:
        strands: the shorter row as it stands, and its reverse complement if both count.
        long: the longer row.
        identity: alignments below it are not looked for, above 0, at most 1.
        coverage: least fraction of either row in an alignment, above 0, at most 1.

    Returns:
        Identity, 0 to 1; 0 when it or the coverage is too small.
    """
    length = len(strands[0])
    size = math.ceil(coverage * length)
    spare = length - size
    most = most_edits(length, identity)
    if spare < size:
        strands = [text for text in strands if _is_inside(text[spare:size], long, most)]
    limits = {"identity": identity, "coverage": coverage}
    value = max((alignment_identity(text, long, **limits) for text in strands), default=0.0)
    if value or coverage >= 1:
        return value
    limits["coverage"] = max(0.0, coverage - 2 * MARGIN) * size / length
    stretches = [text[at : at + size] for text in strands for at in (0, spare // 2, spare)]
    return max((alignment_identity(text, long, **limits) for text in stretches), default=0.0)


def _is_inside(text: str, long: str, edits: int) -> bool:
    return edlib.align(text, long, mode="HW", task="distance", k=edits)["editDistance"] >= 0
