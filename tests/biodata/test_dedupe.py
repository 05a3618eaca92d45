"""Exact duplicates: against a dictionary, in memory and on disk, with equal half digests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biodata.curate.dedupe import Deduper, checksum_column, digests
from biodata.curate.digest_index import DigestIndex
from biodata.curate.rules import RuleLog
from biodata.schema import checksum

Records = list[tuple[str, str]]  # id, sequence


def batch_of(records: Records, line: int = 1) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "id": pa.array([id for id, _ in records], pa.string()),
            "sequence": pa.array([s for _, s in records], pa.large_string()),
            "line": pa.array(range(line, line + len(records)), pa.int64()),
        }
    )


def run(deduper: Deduper, records: Records, step: int) -> tuple[Records, list[str], RuleLog]:
    log = RuleLog(file="x.fa")
    kept, sums = [], []
    for start in range(0, len(records), step):
        batch = batch_of(records[start : start + step], start)
        found = digests(batch["sequence"])
        fresh = deduper.unique(batch, found, log)
        batch = batch.filter(pa.array(fresh))
        kept += zip(batch["id"].to_pylist(), batch["sequence"].to_pylist(), strict=True)
        sums += checksum_column(found[fresh]).to_pylist()
    return kept, sums, log


def model(records: Records) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """First id of every sequence, and (id, id of the kept row) of the others."""
    first: dict[str, str] = {}
    copies = [(id, first[s]) for id, s in records if first.setdefault(s, id) != id]
    return first, copies


def some_records(n: int, different: int) -> Records:
    rng = np.random.default_rng(0)
    return [(f"r\u00e9{i}", f"{k:b}") for i, k in enumerate(rng.integers(0, different, n).tolist())]


def test_checksums_are_those_of_the_schema():
    sequences = ["ACGT", "", "MK\u00b5", "ACGT" * 1000]
    for column in (
        pa.array(sequences, pa.large_string()),
        pa.array(sequences).slice(1),
        pa.array([], pa.string()),
    ):
        found = checksum_column(digests(column))
        found.validate(full=True)
        assert found.to_pylist() == [checksum(s) for s in column.to_pylist()]


@given(
    st.lists(st.tuples(st.text("xyz\u00e9", min_size=1), st.text("AC", max_size=4)), max_size=40),
    st.integers(1, 41),
    st.sampled_from([1, 3, 1000]),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keeps_the_first_of_each_whatever_the_batches(tmp_path: Path, texts: Records, step: int, rows: int):
    records = [(f"{i}{id}", s) for i, (id, s) in enumerate(texts)]
    with Deduper(tmp_path, memory_rows=1000) as deduper:
        deduper._index._limit = rows  # a table of 1000 rows that is called full
        kept, sums, log = run(deduper, records, step)
    first, copies = model(records)
    assert kept == [(id, s) for s, id in first.items()]
    assert sums == [checksum(s) for s in first]
    listed = log.table()
    assert listed["id"].to_pylist() == [id for id, _ in copies]
    assert listed["detail"].to_pylist() == [f"same sequence as {id!r}" for _, id in copies]
    assert log.as_dict()["dropped"] == ({"duplicate": len(copies)} if copies else {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory_rows", [700, 4_000_000])
def test_many_rows_beside_files_of_a_killed_process(tmp_path: Path, memory_rows: int):
    records = some_records(20_000, 6_000)
    first, copies = model(records)
    for name in ("dedupe-ids.bin", "dedupe-ends.bin", "dedupe-00000.npy"):
        (tmp_path / name).write_bytes(b"left by a killed process")
    with Deduper(tmp_path, memory_rows=memory_rows) as deduper:
        kept, _, log = run(deduper, records, 997)
    assert kept == [(id, s) for s, id in first.items()]
    details = log.table()["detail"].to_pylist()
    assert details == [f"same sequence as {id!r}" for _, id in copies]


def test_digests_that_agree_in_half_are_different(tmp_path: Path):
    halves = np.zeros((40, 16), np.uint8)
    halves[:, 15] = np.arange(40) % 20
    index = DigestIndex(tmp_path, memory_rows=8)
    numbers, fresh = index.number(halves)
    assert numbers.tolist() == list(range(20)) * 2
    assert fresh.tolist() == [True] * 20 + [False] * 20
    assert len(list(tmp_path.iterdir())) > 1
    index.close()
    assert not list(tmp_path.iterdir())


def test_memory_rows_out_of_range(tmp_path: Path):
    with pytest.raises(ValueError, match="memory_rows is 0"):
        DigestIndex(tmp_path, memory_rows=0)
