"""Letters made valid by stated rules, every changed or dropped row counted.

A column of sequences is one contiguous buffer in Arrow. On clean input one pass deletes the clean letters
from slices of that buffer and finds that nothing is left; only rows in slices where something is left are
looked at one by one. Rows are written piece by piece, so that a chromosome is held twice, not more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.arrays import distinct
from biodata.curate.letter_rules import (
    BLANK,
    EMPTY,
    END,
    EXCHANGE,
    GAP,
    INVALID,
    LOWER,
    STOP,
    LetterPolicy,
    LetterRules,
    letter_rules,
)
from biodata.curate.rules import RuleLog
from biodata.errors import DataError

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)
Int64s = npt.NDArray[np.int64]

_PIECE = 1 << 18  # bytes; small enough to stay in the cache
_SHOWN = 5  # distinct letters that a message names


def clean_letters(rows: Rows, *, alphabet: str, policy: LetterPolicy, log: RuleLog) -> Rows:
    """The rows whose letters are valid, or could be made valid, in their order.

    Args:
        rows: a table or batch with the columns `id` and `sequence` (large_string) and, where known, `line`.
        alphabet: `dna`, `rna` or `protein`.
        policy: what to do with other letters.
        log: takes the counts; its `file` names the input in messages.

    Raises:
        ConfigError: another alphabet.
        DataError: a letter for which the policy says `error`, naming file, line, record and letters.

    >>> batch = pa.record_batch({"id": ["a", "b", "c"], "sequence": pa.array(["acguN", "AC!", "ACGT"],
    ...                          pa.large_string())})
    >>> log = RuleLog(file="x.fa")
    >>> clean_letters(batch, alphabet="dna", policy=LetterPolicy(), log=log)["sequence"].to_pylist()
    ['ACGTN', 'ACGT']
    >>> log.as_dict()
    {'dropped': {'invalid-letter': 1}, 'changed': {'ambiguous-kept': 1, 'u-to-t': 1, 'upper-cased': 1}}
    """
    rules = letter_rules(alphabet, policy)
    if isinstance(rows, pa.RecordBatch):
        return _clean_batch(rows, rules, log)
    batches = [_clean_batch(batch, rules, log) for batch in rows.to_batches()]
    return pa.Table.from_batches(batches, schema=rows.schema)


def _clean_batch(batch: pa.RecordBatch, rules: LetterRules, log: RuleLog) -> pa.RecordBatch:
    column = batch["sequence"].cast(pa.large_string())
    n = len(column)
    offsets = np.frombuffer(column.buffers()[1] or b"", np.int64)[column.offset : column.offset + n + 1]
    data = memoryview(column.buffers()[2] or b"").cast("B")
    flags = _row_flags(data, offsets, rules)
    if not flags:
        return batch
    reasons: dict[int, str] = {}
    dropped: dict[str, list[int]] = defaultdict(list)
    kept: Counter[int] = Counter()
    for row, found in flags.items():
        if found not in reasons:
            reasons[found] = _reason(found, rules, lambda at=row: _record(batch, at, log))
        if reasons[found]:
            dropped[reasons[found]].append(row)
        else:
            kept[found] += 1
    for flag, _, _, rule in rules.actions:
        if times := sum(n for found, n in kept.items() if flag & found):
            log.change(rule, times)
    _log_drops(batch, dropped, rules, log)
    gone = {row for rows in dropped.values() for row in rows}
    return _rewritten(batch, data, offsets, _Plan(flags, gone, rules))


def _reason(found: int, rules: LetterRules, record: Callable[[], tuple[str, str, str]]) -> str:
    """Why a row is dropped, or an empty text; raises where the policy says so."""
    for flag, action, reason, _ in rules.actions:
        if flag & found and action == "drop":
            return reason
        if flag & found and action == "error":
            name, text, file = record()
            hint = "see the letter policy to change or drop such rows"
            raise DataError(
                f"record {name!r} has {reason}: {_found(text, flag, rules)}", where=file, hint=hint
            )
    return ""


def _record(batch: pa.RecordBatch, row: int, log: RuleLog) -> tuple[str, str, str]:
    line = batch["line"][row].as_py() if "line" in batch.schema.names else None
    where = f"{log.file}:{line}" if line is not None else log.file
    return batch["id"][row].as_py(), batch["sequence"][row].as_py(), where


def _log_drops(
    batch: pa.RecordBatch, dropped: dict[str, list[int]], rules: LetterRules, log: RuleLog
) -> None:
    for flag, _, reason, _ in rules.actions:
        if rows := dropped.get(reason):
            at = pa.array(rows, pa.int64())
            details = [_found(batch["sequence"][row].as_py(), flag, rules) for row in rows]
            lines = batch["line"].take(at) if "line" in batch.schema.names else None
            log.drop(reason, batch["id"].take(at), lines=lines, detail=details)


def _found(text: str, flag: int, rules: LetterRules) -> str:
    """The letters that raised a flag, each with its first position (from 0)."""
    of = set(dict(rules.classes).get(flag, b"").decode())
    if flag == INVALID:
        wanted = {c for c in set(text) if c not in rules.known}
    elif flag == LOWER:
        wanted = {c for c in set(text) if c.islower()}
    else:
        wanted = {c for c in set(text) if c.upper() in of}
    first = sorted((text.find(c), c) for c in wanted)
    more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
    return ", ".join(f"{c!r} at {at}" for at, c in first[:_SHOWN]) + more


# --- looking ---------------------------------------------------------------------------------------------


def _row_flags(data: memoryview, offsets: Int64s, rules: LetterRules) -> dict[int, int]:
    """Row to flags, for every row that is not just clean letters, in row order."""
    suspects = [np.flatnonzero(offsets[1:] == offsets[:-1])]
    for start in range(int(offsets[0]), int(offsets[-1]), _PIECE):
        end = min(start + _PIECE, int(offsets[-1]))
        if bytes(data[start:end]).translate(None, rules.clean):
            first = int(np.searchsorted(offsets, start, side="right")) - 1
            last = int(np.searchsorted(offsets, end, side="left"))
            suspects.append(np.arange(first, last))
    rows = distinct(np.concatenate(suspects))
    found = zip(rows.tolist(), offsets[rows].tolist(), offsets[rows + 1].tolist())
    return {row: flags for row, a, b in found if (flags := _look(data[a:b], rules))}


def _look(row: memoryview, rules: LetterRules) -> int:
    """The flags of one row."""
    flags = 0
    for piece in _pieces(row):
        rest = piece.translate(None, rules.clean)
        upper = rest.upper()
        if upper != rest:
            flags |= LOWER
            rest = upper.translate(None, rules.clean)
        for flag, letters in rules.classes:
            if not rest:
                break
            others = rest.translate(None, letters)
            if len(others) < len(rest):
                flags |= flag
            rest = others
        if rest:
            flags |= INVALID
    if not len(row) or flags & (GAP | BLANK | STOP):
        return _look_at_end(row, flags, rules)
    return flags


def _look_at_end(row: memoryview, flags: int, rules: LetterRules) -> int:
    """Flags of a row that may have a stop at its end, or no letters at all."""
    flags = flags & ~STOP | EMPTY
    for piece in _pieces(row):
        bare = piece.translate(None, rules.removed)
        letters = bare.rstrip(b"*")
        if letters:
            inner = STOP if flags & END or b"*" in letters else 0
            flags = flags & ~(EMPTY | END) | inner
        if len(letters) < len(bare):
            flags |= END
    return flags


def _pieces(row: memoryview) -> Iterator[bytes]:
    for start in range(0, len(row), _PIECE):
        yield bytes(row[start : start + _PIECE])


# --- rewriting -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    flags: dict[int, int]
    gone: set[int]
    rules: LetterRules

    def rewritten_rows(self) -> list[int]:
        """Rows that are kept with other letters."""
        changing = LOWER | EXCHANGE | GAP | BLANK | END
        return [row for row, flags in self.flags.items() if row not in self.gone and flags & changing]


def _rewritten(batch: pa.RecordBatch, data: memoryview, offsets: Int64s, plan: _Plan) -> pa.RecordBatch:
    if rows := plan.rewritten_rows():
        column = _rewritten_column(data, offsets, rows, plan)
        batch = batch.set_column(
            batch.schema.get_field_index("sequence"), batch.schema.field("sequence"), column
        )
    if plan.gone:
        kept = np.ones(batch.num_rows, bool)
        kept[list(plan.gone)] = False
        batch = batch.filter(pa.array(kept))
    return batch


def _rewritten_column(data: memoryview, offsets: Int64s, rows: list[int], plan: _Plan) -> pa.Array:
    """The column with new letters in some rows; no row gets longer."""
    lengths = np.diff(offsets)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    view, end, done = out.data, 0, int(offsets[0])
    for row in rows:
        a, b = int(offsets[row]), int(offsets[row + 1])
        end = _put(view, end, data[done:a])
        start = end
        for piece in _pieces(data[a:b]):
            end = _put(view, end, piece.translate(plan.rules.table, plan.rules.removed))
        if plan.flags[row] & END:
            while end > start and out[end - 1] == ord("*"):
                end -= 1
        lengths[row] = end - start
        done = b
    end = _put(view, end, data[done : int(offsets[-1])])
    ends = np.concatenate(([0], np.cumsum(lengths)))
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(view[:end])]
    return pa.Array.from_buffers(pa.large_string(), len(lengths), buffers)


def _put(view: memoryview, at: int, piece: bytes | memoryview) -> int:
    view[at : at + len(piece)] = piece
    return at + len(piece)
