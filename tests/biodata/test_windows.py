"""Windows: nothing lost, places right, features clipped, labels inherited."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.configs import from_dict
from biodata.curate import windows
from biodata.curate.rules import RuleLog
from biodata.curate.window_policy import WindowPolicy
from biodata.curate.windows import cut_windows, window_starts
from biodata.errors import ConfigError
from biodata.ingest import ReadConfig, ingest
from biodata.io.features import FeatureColumn
from biodata.io.raw import RAW_SCHEMA


@given(length=st.integers(0, 400), window=st.integers(1, 60), data=st.data())
@settings(deadline=None, max_examples=200)
def test_windows_cover_every_letter(length: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    starts = window_starts(length, window=window, overlap=overlap)
    ends = [min(start + window, length) for start in starts]
    covered = {at for start, end in zip(starts, ends) for at in range(start, end)}
    assert covered == set(range(length)) and starts == sorted(set(starts))
    assert all(end - start == min(window, length) for start, end in zip(starts, ends))
    gaps = [b - a for a, b in pairwise(starts)]
    assert all(gap == window - overlap for gap in gaps[:-1]) and all(gap <= window - overlap for gap in gaps)


def raw(texts: list[str], features: pa.Array | None = None) -> pa.RecordBatch:
    numbers = range(len(texts))
    columns = {"id": [f"r{i}" for i in numbers], "sequence": texts, "description": ["d"] * len(texts),
               "line": list(numbers)}  # fmt: skip
    arrays = []
    for item in RAW_SCHEMA:
        if item.name == "features" and features is not None:
            arrays.append(features)
        else:
            arrays.append(pa.array(columns.get(item.name) or [None] * len(texts), item.type))
    return pa.record_batch(arrays, schema=RAW_SCHEMA)


def test_batches_are_bounded_and_rows_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BATCH_LETTERS", 100)
    rng = random.Random(1)
    texts = ["".join(rng.choices("ACGT", k=n)) for n in (95, 20, 0, 21, 20)]
    log = RuleLog(file="x")
    parts = list(cut_windows(raw(texts).slice(0), WindowPolicy(window=20, window_overlap=5), log=log))
    assert len(parts) > 1 and max(part.num_rows for part in parts) == 5
    rows = [row for part in parts for row in part.to_pylist()]
    assert log.as_dict()["changed"] == {"cut-into-windows": 2}
    whole = [row for row in rows if row["parent"] is None]
    assert [row["id"] for row in whole] == ["r1", "r2", "r4"] and whole[0]["start"] is None
    for row in rows:
        if row["parent"]:
            text = texts[int(row["parent"][1:])]
            assert row["sequence"] == text[row["start"] : row["end"]] and row["strand"] == 1
            assert row["id"] == f"{row['parent']}:{row['start']}..{row['end']}"
            assert len(row["sequence"]) == 20
    assert {x["labels"][0]["text"] for x in rows if x["parent"]} == {"r0", "r3"}


def test_sliced_input_and_no_window() -> None:
    batch = raw(["A" * 5, "ACGTACGTAC"]).slice(1)
    (part,) = cut_windows(batch, WindowPolicy(window=6), log=RuleLog())
    assert part["sequence"].to_pylist() == ["ACGTAC", "ACGTAC"]
    assert part["id"].to_pylist() == ["r1:0..6", "r1:4..10"]
    assert next(cut_windows(batch, WindowPolicy(), log=RuleLog())) is batch


def test_features_are_moved_clipped_and_left_out_within_introns() -> None:
    column = FeatureColumn()
    column.add("gene", (5, 15, -1), {"location": "complement(6..15)", "gene": "a"})
    column.add("CDS", (2, 38, 1), {"location": "join(3..8,35..38)", "translation": "MK", "product": "p"})
    column.end_row()
    (part,) = cut_windows(raw(["ACGT" * 10], column.array()), WindowPolicy(window=10), log=RuleLog())
    found = [
        [(f["type"], f["start"], f["end"], f["strand"]) for f in row or ()]
        for row in part["features"].to_pylist()
    ]
    assert found == [
        [("CDS", 2, 10, 1), ("gene", 5, 10, -1)], [("gene", 0, 5, -1)], [], [("CDS", 0, 8, 1)],
    ]  # fmt: skip
    attributes = {a["key"]: a["value"] for a in part["features"][0].as_py()[0]["attributes"]}
    assert attributes == {"product": "p", "clipped": ""}


def test_policies() -> None:
    for wrong in ({"window": -1}, {"window": 5, "window_overlap": 5}, {"window_overlap": 1}):
        with pytest.raises(ConfigError, match=next(reversed(wrong))):
            WindowPolicy(**wrong)


def test_a_real_record_with_labels(real_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("id,growth\nNC_005816.1,0.5\n")
    values = {"inputs": [str(real_data / "genbank" / "NC_005816.gb")], "labels": str(table),
              "windows": {"window": 1000, "window_overlap": 500}}  # fmt: skip
    config = from_dict(ReadConfig, values)
    result = ingest(config, tmp_path / "out")
    rows = pq.read_table(result.shards[0]).to_pylist()
    assert len(rows) == result.rows == 19 and rows[-1]["end"] == 9609
    assert "label-without-record" not in result.rules["changed"]
    for row in rows:
        labels = {x["name"]: x["value"] if x["text"] is None else x["text"] for x in row["labels"]}
        assert labels["growth"] == 0.5 and labels["division"] == "BCT"
        assert row["organism"].startswith("Yersinia pestis")
