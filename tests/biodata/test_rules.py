"""The book of dropped and changed rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.rules import LISTING_SCHEMA, RuleLog


def test_counts_and_rows_in_order(tmp_path) -> None:
    log = RuleLog(file="a.fa")
    log.drop("short", "r1", lines=3, detail="length 1")
    log.drop("short", pa.array(["r2", "r3"]), lines=pa.array([5, None]), detail=["x", "y"])
    log.change("upper-cased", 7)
    log.change("trimmed", ids=["r4"], lines=[9])
    log.change("nothing", 0)
    log.file = "b.fa"
    log.drop("bad-file", None, detail="broken")
    assert log.as_dict() == {
        "dropped": {"bad-file": 1, "short": 3},
        "changed": {"trimmed": 1, "upper-cased": 7},
    }
    assert log.listed == 5
    dropped = log.table("dropped")
    assert dropped.schema == LISTING_SCHEMA
    assert dropped["id"].to_pylist() == ["r1", "r2", "r3", None]
    assert dropped["line"].to_pylist() == [3, 5, None, None]
    assert dropped["file"].to_pylist() == ["a.fa"] * 3 + ["b.fa"]
    assert log.table("changed")["detail"].to_pylist() == [""]
    log.write(tmp_path / "dropped.parquet", "dropped")
    assert pq.read_table(tmp_path / "dropped.parquet").equals(dropped)


def test_merge_and_take() -> None:
    first, second = RuleLog(file="a"), RuleLog(file="b")
    first.drop("x", ["1"])
    second.drop("x", ["2", "3"])
    first.merge(second)
    first.add_counts({"dropped": {"y": 2}, "changed": {}})
    assert first.as_dict()["dropped"] == {"x": 3, "y": 2}
    assert first.take_rows()["id"].to_pylist() == ["1", "2", "3"]
    assert first.take_rows().num_rows == 0
    assert first.as_dict()["dropped"]["x"] == 3


def test_no_rows_is_an_empty_table() -> None:
    log = RuleLog()
    log.drop("x", [])
    assert log.table().schema == LISTING_SCHEMA
    assert log.as_dict() == {"dropped": {}, "changed": {}}
