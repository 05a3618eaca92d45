"""Ids made unique while reading: a repeated id gets the suffix `#2`, `#3`, ... and is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.arrays import arrow_text
from biodata.curate.digest_index import DigestIndex
from biodata.curate.rules import RuleLog
from biodata.curate.text_hash import text_hashes

MADE_UNIQUE = "id-made-unique"
"""The rule by which `UniqueIds` lists what it changed: the new id, and the old one as the detail."""


class UniqueIds:
    """Remembers every id that was given out, as 128-bit hashes, in bounded memory.

    Two different ids with equal hashes (probability below 1e-20 for 10^9 ids) would only cost the second one
    a suffix.

    Args:
        workdir: an existing folder of its own for scratch files.
        memory_rows: hashes held in memory; beyond that they go to sorted files.

    >>> from tempfile import TemporaryDirectory
    >>> log = RuleLog(file="x.fa")
    >>> batch = pa.record_batch({"id": ["a", "b", "a", "a"], "line": [1, 3, 5, 7]})
    >>> with TemporaryDirectory() as folder:
    ...     UniqueIds(Path(folder)).unique(batch, log).to_pylist()
    ['a', 'b', 'a#2', 'a#3']
    """

    def __init__(self, workdir: Path, *, memory_rows: int = 2_000_000) -> None:
        self._index = DigestIndex(workdir, memory_rows=memory_rows)
        self._last: dict[str, int] = {}

    def unique(self, batch: pa.RecordBatch, log: RuleLog) -> pa.Array:
        """The ids of a batch, each unlike all that were given out before.

        Args:
            batch: columns `id` and `line`.
            log: takes `id-made-unique`, with the id as it was as the detail.
        """
        ids = batch["id"]
        fresh = self._fresh(ids)
        if fresh.all():
            return ids
        names = ids.to_pylist()
        again = np.flatnonzero(~fresh)
        old_name = {at: names[at] for at in again.tolist()}
        waiting = again
        while len(waiting):
            proposed = [self._next(old_name[at]) for at in waiting.tolist()]
            good = self._fresh(pa.array(proposed, pa.string()))
            for at, name in zip(waiting[good].tolist(), np.array(proposed, object)[good]):
                names[at] = name
            waiting = waiting[~good]
        lines = batch["line"].take(pa.array(again))
        log.change(
            MADE_UNIQUE, ids=[names[at] for at in old_name], lines=lines, detail=list(old_name.values())
        )
        return pa.array(names, pa.string())

    def close(self) -> None:
        """Removes the scratch files."""
        self._index.close()

    def _next(self, name: str) -> str:
        self._last[name] = self._last.get(name, 1) + 1
        return f"{name}#{self._last[name]}"

    def _fresh(self, ids: pa.Array) -> npt.NDArray[np.bool_]:
        return self._index.number(text_hashes(ids))[1]


def fill_empty_ids(batch: pa.RecordBatch, log: RuleLog) -> pa.RecordBatch:
    """The batch with the id `record-at-line-N` for records that have none, counted as `id-made-up`."""
    ids = batch["id"]
    empty = pc.call_function("equal", [ids, arrow_text("")])
    if not empty.true_count:
        return batch
    names = [id or f"record-at-line-{line}" for id, line in zip(ids.to_pylist(), batch["line"].to_pylist())]
    made_up = pa.array(names, pa.string())
    log.change("id-made-up", ids=made_up.filter(empty), lines=batch["line"].filter(empty), detail="no id")
    index = batch.schema.get_field_index("id")
    return batch.set_column(index, batch.schema.field(index), made_up)
