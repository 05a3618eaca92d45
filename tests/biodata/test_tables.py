"""CSV, TSV and Parquet with a column of sequences."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.ingest import ingest
from biodata.io import open_records, tables
from biodata.io.detect import UnknownFormatError, detect_format
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA, BioSequence, Feature, table_from_records


def read(path: Path, **config: Any) -> tuple[list[dict], RuleLog]:
    settings, log = ReadConfig(**config), RuleLog(file=path.name)
    columns = (settings.sequence_column,) if settings.sequence_column else ()
    batches = open_records(path, detect_format(path, columns=columns), config=settings, log=log)
    return [row for batch in batches for row in batch.to_pylist()], log


def labels(row: dict[str, Any]) -> dict[str, Any]:
    return {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row["labels"]}


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_columns(tmp_path) -> None:
    text = (
        "Name;Sequence;score;tissue;good;taxon_id;organism\na;ACGT;0.5;leaf;true;9606;Homo\nb;AC;;;false;;\n"
    )
    (a, b), _ = read(write(tmp_path / "x.csv", text))
    assert (a["id"], a["sequence"], a["line"], a["taxon_id"], a["organism"]) == ("a", "ACGT", 2, 9606, "Homo")
    assert labels(a) == {"score": 0.5, "tissue": "leaf", "good": 1} and labels(b) == {"good": 0}
    assert b["taxon_id"] is None and b["organism"] is None


def test_pairs_of_text_and_sequence(tmp_path) -> None:
    """A column `text` is what is said of a sequence, in tables of others as in ours, and no label."""
    path = write(tmp_path / "x.csv", "id,sequence,text,score\na,ACGT,a kinase,1\nb,AC,,2\n")
    (a, b), _ = read(path)
    assert (a["text"], b["text"]) == ("a kinase", None) and labels(a) == {"score": 1}
    pl.read_csv(path).write_parquet(tmp_path / "x.parquet")
    assert [row["text"] for row in read(tmp_path / "x.parquet")[0]] == ["a kinase", None]
    ingested = ingest(ReadConfig(inputs=(str(path),)), tmp_path / "out")
    found = pa.concat_tables(pq.read_table(shard) for shard in ingested.shards)
    assert found["text"].to_pylist() == ["a kinase", None]


def test_named_columns(tmp_path) -> None:
    path = write(tmp_path / "x.tsv", "\ufeffgene\tcoding\tmutant\nx\tATG\tACG\n")
    with pytest.raises(UnknownFormatError, match="--sequence-column names it"):
        read(path)
    (row,), _ = read(path, sequence_column="coding", id_column="gene")
    assert (row["id"], row["sequence"], labels(row)) == ("x", "ATG", {"mutant": "ACG"})
    with pytest.raises(DataError, match=r"no column 'gone'; its columns are gene, coding, mutant"):
        read(path, sequence_column="coding", id_column="gone")


def test_alphabet_decides_between_columns(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "id,cds,protein\na,ATG,M\n")
    assert read(path)[0][0]["sequence"] == "ATG"
    assert read(path, alphabet="protein")[0][0]["sequence"] == "M"


def test_bad_rows_are_listed_with_their_lines(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "id,sequence\na,ACGT\n\nb\nc,AC,GT\nd,\ne,GG\n\n")
    rows, log = read(path)
    assert [(row["id"], row["line"]) for row in rows] == [("a", 2), ("e", 7)]
    assert log.as_dict() == {
        "dropped": {"no-sequence": 1, "wrong-number-of-columns": 2},
        "changed": {"blank-line": 2},
    }
    listed = sorted((row["line"], row["reason"]) for row in log.table("dropped").to_pylist())
    assert listed == [(4, "wrong-number-of-columns"), (5, "wrong-number-of-columns"), (6, "no-sequence")]


def test_lines_across_blocks(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", 4096)
    monkeypatch.setattr(tables, "MAX_ROWS", 7)
    rows = [f"r{i},{'ACGT' * 10}" if i % 5 else "broken" for i in range(600)]
    found, log = read(write(tmp_path / "x.csv", "id,sequence\n" + "\n".join(rows) + "\n"))
    assert [row["line"] for row in found] == [i + 2 for i in range(600) if i % 5]
    assert log.as_dict()["dropped"] == {"wrong-number-of-columns": 120}
    assert log.table()["line"].to_pylist() == [i + 2 for i in range(600) if not i % 5]
    long = write(tmp_path / "long.csv", "id,sequence\na," + "A" * 9000 + "\n" + "b,A\n" * 3000)
    assert read(long)[0][0]["sequence"] == "A" * 9000
    monkeypatch.setattr(tables, "LONGEST", 4096)
    with pytest.raises(DataError, match=r"long\.csv: a row is longer than"):
        read(long)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"id,sequence,id\n1,A,2\n", "column 'id' is there more than once"),
        (b"id,sequence\nx,\xff\xfe\n", "x.csv:2: .*UTF"),
        (b"id,s\0,sequence\nx,y,z\n", "NUL"),
        (b"id,sequence," + b"x" * 200_000 + b"\n", "the header cannot be read: field larger"),
    ],
)
def test_no_table(content, what, tmp_path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        read(tmp_path / "x.csv")
    assert "\n" not in str(caught.value)


def test_a_number_column_that_turns_into_text(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    text = "id,sequence,n\n" + "".join(f"r{i},ACGT,{n}\n" for i, n in enumerate(["1", "2", "high", "4"]))
    found, _ = read(write(tmp_path / "x.csv", text))
    assert [labels(row)["n"] for row in found] == [1, 2, "high", 4]


@given(
    st.lists(st.tuples(st.text("ACGT", min_size=1, max_size=9), st.text(max_size=9)), min_size=1, max_size=9)
)
@settings(max_examples=60, deadline=None)
def test_cells_survive_quoting(rows) -> None:
    """Against `csv`: quotes, separators and blanks in cells; line ends inside cells are another matter."""
    from tempfile import TemporaryDirectory

    bad = set("\n\r\0\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    rows = [(letters, "".join(c for c in note if c not in bad)) for letters, note in rows]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["sequence", "note"])
    writer.writerows([letters, "_" + note] for letters, note in rows)
    with TemporaryDirectory() as folder:
        found, _ = read(write(Path(folder) / "x.csv", buffer.getvalue()), id_column="note")
    assert [(row["sequence"], row["id"]) for row in found] == [(s, "_" + note) for s, note in rows]


def test_parquet_of_others(tmp_path) -> None:
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame({
        "seq": ["ACGT", None, "AC"], "y": [1.5, 2.0, None], "n": [1, 2, 3], "list": [["a"], [], None],
        "kind": pl.Series(["a", "b", "a"], dtype=pl.Categorical), "ok": [True, False, None],
    })  # fmt: skip
    frame.write_parquet(path)
    found, log = read(path)
    assert [row["id"] for row in found] == ["row-1", "row-3"] and found[0]["line"] is None
    assert labels(found[0]) == {"y": 1.5, "n": 1, "kind": "a", "ok": 1}
    assert log.as_dict() == {
        "dropped": {"no-sequence": 1},
        "changed": {"column-left-out": 1, "id-made-up": 3},
    }
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as Parquet"):
        read(path)


def test_a_dataset_of_ours_comes_back_whole(tmp_path) -> None:
    records = [
        BioSequence(
            id="a", sequence="ACGTN", alphabet="dna", description="d", taxon_id=9606, organism="Homo",
            features=(Feature(type="CDS", start=1, end=4, strand=-1, attributes={"product": "p"}),),
            labels={"x": 0.5, "y": "z"}, parent="chr", start=3, end=8, strand=-1, text="words", split="test",
            cluster=3,
        ),
        BioSequence(id="b", sequence="A" * 30, alphabet="dna"),
    ]  # fmt: skip
    path = tmp_path / "part.parquet"
    pq.write_table(table_from_records(records), path)
    out = ingest(ReadConfig(inputs=(str(path),)), tmp_path / "out")
    found = pa.concat_tables(pq.read_table(shard) for shard in out.shards).to_pylist()
    remade = ("cluster", "split", "source")
    for row, record in zip(found, records, strict=True):
        expected = {k: v for k, v in record.as_row().items() if k not in remade}
        for name in ("features", "labels"):
            row[name], expected[name] = row[name] or [], expected[name] or []
        assert {name: row[name] for name in SCHEMA.names if name not in remade} == expected
    with pytest.raises(DataError, match="sequences of dna, not protein"):
        ingest(ReadConfig(inputs=(str(path),), alphabet="protein"), tmp_path / "other")
