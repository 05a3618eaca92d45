"""The whole way of reading: odd files, counts, labels, resuming, equal bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from biodata import staging
from biodata.curate.cds_policy import CdsPolicy
from biodata.curate.letter_rules import LetterPolicy
from biodata.curate.steps import FileSteps
from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from biodata.ingest import IngestResult, ReadConfig, ingest
from biodata.io import fasta, fasta_blocks
from biodata.schema import SCHEMA, BioSequence

REAL = Path(os.environ.get("SEQLOOM_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
ODD = sorted(p for f in ("genbank", "fasta_edge") for p in (REAL / f).glob("*"))


def _rows(result: IngestResult) -> list[dict]:
    return [row for path in result.shards for row in pq.read_table(path).to_pylist()]


def _write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.fa").write_text(text)


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("take", ["records", "cds"])
@pytest.mark.parametrize("path", ODD, ids=lambda p: p.name)
def test_odd_files_give_rows_or_one_line(path, take, tmp_path) -> None:
    read = 0
    for alphabet in ("dna", "protein") if take == "records" else ("dna",):
        out = tmp_path / alphabet
        try:
            result = ingest(ReadConfig(inputs=(str(path),), alphabet=alphabet, take=take), out)
        except DataError as error:
            assert "\n" not in str(error)
            assert path.name in str(error)
            continue
        read += result.rows
        assert pq.read_schema(result.shards[0]).metadata == SCHEMA.metadata
        rows = _rows(result)
        assert len(rows) == result.rows > 0
        assert pq.read_schema(result.shards[0]).equals(SCHEMA)
        for row in rows:
            assert BioSequence.from_row(row).as_row()["checksum"] == row["checksum"]
            assert row["length"] == len(row["sequence"])
            assert row["source"].startswith(path.name)
        dropped = pq.read_table(out / "dropped.parquet")
        assert dropped.num_rows == sum(result.rules["dropped"].values())
        if take == "records":
            records = sum(s["records"] for s in result.sources)
            before = sum(result.rules["dropped"].get(r, 0) for r in ("no-sequence", "unreadable-record"))
            assert result.rows + dropped.num_rows == records + before
    unread = {"README", "aster_pearson.pro", "no_origin_no_end.gb", "DS830848.gb", "NT_019265.gb",
              "bad_origin_wrap.gb", "bad_origin_wrap_linear.gb", "tls_KDHP01000000.gb",
              "tsa_acropora.gb"}  # fmt: skip
    if take == "records":
        assert bool(read) == (path.name not in unread and "_m8C" not in path.name)


def test_real_data_is_there(real_data) -> None:
    """Skips by name where the test above has no files."""
    assert ODD and real_data == REAL


def test_fasta_rows(tmp_path) -> None:
    _write(tmp_path, b=">x one\nACGT\n>y\nacgu\n>x two\nGGGG\n", a=">z\nACGT\n>\nTTTT\n>w\nAC!\n")
    result = ingest(ReadConfig(inputs=(str(tmp_path),)), tmp_path / "out")
    rows = [(r["id"], r["sequence"], r["description"], r["source"]) for r in _rows(result)]
    assert rows == [
        ("z", "ACGT", "", "a.fa"),
        ("record-at-line-3", "TTTT", "", "a.fa"),
        ("x", "GGGG", "two", "b.fa"),
    ]
    assert result.rules == {
        "dropped": {"duplicate": 2, "invalid-letter": 1},
        "changed": {"id-made-up": 1, "u-to-t": 1, "upper-cased": 1},
    }
    listed = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert [(r["id"], r["file"], r["line"], r["reason"]) for r in listed] == [
        ("w", "a.fa", 5, "invalid-letter"), ("x", "b.fa", 1, "duplicate"), ("y", "b.fa", 3, "duplicate")
    ]  # fmt: skip
    assert listed[1]["detail"] == "same sequence as 'z'"
    assert [(s["name"], s["records"], s["format"]) for s in result.sources] == [
        ("a.fa", 3, "fasta"), ("b.fa", 3, "fasta")
    ]  # fmt: skip
    digest = hashlib.sha256((tmp_path / "a.fa").read_bytes()).hexdigest()
    assert result.sources[0]["sha256"] == digest


def test_repeated_ids_get_a_suffix(tmp_path) -> None:
    _write(tmp_path, a=">x#2\nG\n>x\nA\n>x\nC\n", b=">x\nT\n>y\nAA\n")
    result = ingest(ReadConfig(inputs=(str(tmp_path),)), tmp_path / "out")
    ids = [r["id"] for r in _rows(result)]
    assert len(set(ids)) == 5 and [i.split("#")[0] for i in ids] == ["x", "x", "x", "x", "y"]
    assert result.rules["changed"] == {"id-made-unique": 2}


@pytest.mark.parametrize("alphabet", ["dna", "rna"])
def test_u_and_t(alphabet, tmp_path) -> None:
    _write(tmp_path, a=">d\nACGT\n>r\nACGGU\n")
    rows = _rows(ingest(ReadConfig(inputs=(str(tmp_path),), alphabet=alphabet), tmp_path / "out"))
    letter = {"dna": "T", "rna": "U"}[alphabet]
    assert [r["sequence"] for r in rows] == [f"ACG{letter}", f"ACGG{letter}"]


def test_rna_cds(real_data, tmp_path) -> None:
    inputs = (str(real_data / "genbank" / "NC_005816.gb"),)
    dna = _rows(ingest(ReadConfig(inputs=inputs, take="cds"), tmp_path / "dna"))
    rna = _rows(ingest(ReadConfig(inputs=inputs, take="cds", alphabet="rna"), tmp_path / "rna"))
    assert [r["sequence"].replace("T", "U") for r in dna] == [r["sequence"] for r in rna]
    assert dna[0]["source"] == "NC_005816.gb:NC_005816.1"


def test_lengths(tmp_path) -> None:
    _write(tmp_path, a=">a\nAC\n>b\nACG\n>c\nACGT\n>d\nACGTA\n")
    result = ingest(ReadConfig(inputs=(str(tmp_path),), min_length=3, max_length=4), tmp_path / "out")
    assert [r["id"] for r in _rows(result)] == ["b", "c"]
    assert result.rules["dropped"] == {"too-long": 1, "too-short": 1}


def test_gaps_in_annotated_records_are_not_removed(real_data, tmp_path) -> None:
    """Removing a letter would move every feature behind it."""
    text = (real_data / "genbank" / "iro.gb").read_text()
    path = tmp_path / "x.gb"
    path.write_text(text.replace("        1 c", "        1 -", 1))
    assert path.read_text() != text
    with pytest.raises(DataError, match="gaps"):
        ingest(ReadConfig(inputs=(str(path),)), tmp_path / "out")


# --- labels


def test_labels(tmp_path) -> None:
    _write(tmp_path, a=">x\nA\n>y\nC\n>z\nG\n>x\nT\n")
    table = tmp_path / "labels.tsv"
    table.write_text("id\tstability\ttissue\nx\t1.5\tleaf\ny\t\troot\nother\t2\t\n")
    result = ingest(ReadConfig(inputs=(str(tmp_path / "a.fa"),), labels=table), tmp_path / "out")
    x, y, z, again = [r["labels"] for r in _rows(result)]
    assert x == again == [{"name": "stability", "value": 1.5, "text": None},
                          {"name": "tissue", "value": None, "text": "leaf"}]  # fmt: skip
    assert y == [{"name": "tissue", "value": None, "text": "root"}]
    assert z == []
    changed = result.rules["changed"]
    assert (changed["label-without-record"], changed["record-without-label"]) == (1, 1)
    listed = pq.read_table(tmp_path / "out" / "changed.parquet").to_pylist()
    assert [r["id"] for r in listed if r["reason"] == "label-without-record"] == ["other"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,value\nx,1\n", "'id' column"),
        ("id\nx\n", "one more"),
        ("id,value\nx,1\nx,2\n", "'x' is there more than once"),
        ("id,value\n,1\n", ":2: empty id"),
        ("id,value\nq,1\n", "no label fits.*'q'"),
        ("", "cannot be read"),
    ],
)
def test_bad_labels(text, message, tmp_path) -> None:
    _write(tmp_path, a=">x\nA\n")
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=message):
        ingest(ReadConfig(inputs=(str(tmp_path / "a.fa"),), labels=table), tmp_path / "out")


def test_missing_labels(tmp_path) -> None:
    _write(tmp_path, a=">x\nA\n")
    with pytest.raises(ConfigError, match=r"none\.csv"):
        ingest(ReadConfig(inputs=(str(tmp_path),), labels=tmp_path / "none.csv"), tmp_path / "out")


# --- bad files and configurations


def test_truncated_file_is_an_error_or_a_counted_drop(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _write(folder, good=">x\nACGT\n")
    lines = "".join(f">r{i}\n{'ACGT' * 50}{i % 7}\n" for i in range(20_000))
    (folder / "bad.fa.gz").write_bytes(gzip.compress(lines.encode())[:-3000])
    with pytest.raises(DataError, match=r"bad\.fa\.gz"):
        ingest(ReadConfig(inputs=(str(folder),)), tmp_path / "out")
    result = ingest(ReadConfig(inputs=(str(folder),), on_bad_file="drop"), tmp_path / "out")
    assert result.rules["dropped"] == {"bad-file": 1}
    assert [s["name"] for s in result.sources] == ["good.fa"]
    assert [r["id"] for r in _rows(result)] == ["x"]


def test_unknown_formats(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _write(folder, good=">x\nACGT\n")
    (folder / "notes.txt").write_text("hello\n")
    result = ingest(ReadConfig(inputs=(str(folder),)), tmp_path / "out")
    assert result.rules["dropped"] == {"unknown-format": 1}
    (row,) = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert (row["file"], row["id"]) == ("notes.txt", None) and "'hello'" in row["detail"]
    with pytest.raises(DataError, match=r"notes\.txt.*'hello'"):
        ingest(ReadConfig(inputs=(str(folder), str(folder / "notes.txt"))), tmp_path / "out")
    (folder / "good.fa").unlink()
    with pytest.raises(DataError, match="unknown-format 1"):
        ingest(ReadConfig(inputs=(str(folder),)), tmp_path / "out")


def test_no_row_left(tmp_path) -> None:
    _write(tmp_path, a=">x\nMKLV\n>y\nEE\n")
    with pytest.raises(
        DataError, match=r"a\.fa:1: no row is left .alphabet dna.: invalid-letter 2; first: x"
    ):
        ingest(ReadConfig(inputs=(str(tmp_path / "a.fa"),)), tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "dropped.parquet").num_rows == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"alphabet": "aa"}, {"take": "genes"}, {"min_length": 0}, {"min_length": 5, "max_length": 4},
        {"transl_table": 99}, {"alphabet": "protein", "take": "cds"}, {"on_bad_file": "skip"},
    ],
)  # fmt: skip
def test_wrong_configurations(wrong) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        ReadConfig(inputs=("x",), **wrong)


def test_no_inputs(tmp_path) -> None:
    with pytest.raises(ConfigError, match="inputs is empty"):
        ingest(ReadConfig(), tmp_path / "out")


# --- equal bytes, resuming


def test_second_call_does_nothing_and_another_config_starts_anew(tmp_path) -> None:
    _write(tmp_path, a=">x\nACGTN\n>y\nAC\n")
    out, inputs = tmp_path / "out", (str(tmp_path / "a.fa"),)
    first = ingest(ReadConfig(inputs=inputs), out)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert ingest(ReadConfig(inputs=inputs), out) == first
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    (out / "mine.txt").write_text("not ours")
    policy = LetterPolicy(ambiguous="drop")
    second = ingest(ReadConfig(inputs=inputs, letters=policy), out)
    assert second.fingerprint != first.fingerprint and second.rows == 1
    assert sorted(p.name for p in out.iterdir()) == [
        "changed.parquet", "dropped.parquet", "ingest.json", "mine.txt", "stage-00000.parquet"
    ]  # fmt: skip


def test_bytes_do_not_depend_on_the_place(tmp_path) -> None:
    digests = []
    for place in ("one", "two/deep"):
        folder = tmp_path / place / "in"
        folder.mkdir(parents=True)
        _write(folder, a=">x\nACGT\n", b=">y\nGG\n>x\nTT\n")
        ingest(ReadConfig(inputs=(str(folder),), cds=CdsPolicy()), tmp_path / place / "out")
        digests.append(_digest(tmp_path / place / "out"))
    assert digests[0] == digests[1]
    found = read_json(tmp_path / "one" / "out" / "ingest.json")
    assert str(tmp_path) not in str(found)


CHILD = """
import sys
from pathlib import Path
import biodata.ingest as module
import biodata.staging
module.UNIT_BYTES = 40_000
biodata.staging.GROUP_BYTES = 20_000
biodata.staging.SHARD_BYTES = 60_000
module.ingest(module.ReadConfig(inputs=(sys.argv[1],)), Path(sys.argv[2]))
"""


def _child(folder: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(out)])


def _inputs(folder: Path) -> None:
    """Files with duplicates and repeated ids across files, so that resuming needs what was seen before."""
    rng = random.Random(1)
    folder.mkdir()
    shared = ["".join(rng.choices("ACGT", k=300)) for _ in range(50)]
    for number in range(12):
        own = ["".join(rng.choices("ACGT", k=300)) for _ in range(80)]
        texts = rng.sample(shared, 20) + own
        lines = [f">r{rng.randrange(60)} file {number}\n{text}\n" for text in texts]
        (folder / f"{number:02d}.fa").write_text("".join(lines) + ">bad\nAC!\n")


def test_killed_at_any_moment_gives_equal_bytes(tmp_path) -> None:
    _inputs(tmp_path / "in")
    started = time.monotonic()
    assert _child(tmp_path / "in", tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - started
    expected = _digest(tmp_path / "whole")
    assert len([name for name in expected if name.startswith("stage")]) > 4
    out, rng, killed = tmp_path / "killed", random.Random(7), 0
    for _ in range(6):
        child = _child(tmp_path / "in", out)
        # most of the time goes into starting Python: wait for the folder, then for a part of the rest
        while child.poll() is None and not out.exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1 * seconds))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed
    assert _child(tmp_path / "in", out).wait() == 0
    assert _digest(out) == expected


def test_resumes_after_the_last_unit(tmp_path, monkeypatch) -> None:
    """Stopped inside a unit by an error: the units before are not read again."""
    import biodata.ingest as module

    monkeypatch.setattr(module, "UNIT_BYTES", 40_000)
    _inputs(tmp_path / "in")
    config = ReadConfig(inputs=(str(tmp_path / "in"),))
    whole = ingest(config, tmp_path / "whole")
    read: list[str] = []
    original = FileSteps.batches

    def stopping(self, *, at: str):
        read.append(self.file.name)
        if self.file.name == at:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(FileSteps, "batches", lambda self: stopping(self, at="06.fa"))
    with pytest.raises(KeyboardInterrupt):
        ingest(config, tmp_path / "out")
    before, read[:] = list(read), []
    monkeypatch.setattr(FileSteps, "batches", lambda self: stopping(self, at=""))
    again = ingest(config, tmp_path / "out")
    assert before == [f"{i:02d}.fa" for i in range(7)]
    assert read[0] > "00.fa" and read[-1] == "11.fa"
    assert again.rules == whole.rules and again.rows == whole.rows
    assert _digest(tmp_path / "out") == _digest(tmp_path / "whole")


def test_long_records_lie_in_other_shards(tmp_path, monkeypatch) -> None:
    """And come through the merge that renames or drops rows beside them, or them."""
    monkeypatch.setattr(staging, "GROUP_BYTES", 1000)
    generator = random.Random(0)
    long = ["".join(generator.choices("acgt", k=9000)) for _ in range(3)]
    texts = ["AC", long[0], "GT", long[1], "CA", "GG", long[0], long[2], "AC"]
    text = "".join(f">{'x' if text == long[1] else f'n{i}'}\n{text}\n" for i, text in enumerate(texts))
    _write(tmp_path, a=text + ">x\nTTT\n", b=">z\nACC\n")
    monkeypatch.setattr(fasta_blocks, "LONG", 100)
    monkeypatch.setattr(fasta, "LONG", 100)
    monkeypatch.setattr(fasta.read_fasta, "__kwdefaults__", {"batch_bytes": 50, "on_change": None})
    result = ingest(ReadConfig(inputs=(str(tmp_path / "*.fa"),)), tmp_path / "out")
    frame = pl.concat([pl.read_parquet(shard) for shard in result.shards])
    assert frame["sequence"].to_list() == [t.upper() for t in [*texts[:6], long[2], "TTT", "ACC"]]
    assert frame["id"].to_list() == ["n0", "n1", "n2", "x", "n4", "n5", "n7", "x#2", "z"]
    assert len(result.shards) == 2  # what follows the last long record is apart
    monkeypatch.undo()
    again = ingest(ReadConfig(inputs=(str(tmp_path / "*.fa"),)), tmp_path / "again")
    assert len(again.shards) == 1 and pl.read_parquet(again.shards).equals(frame)


def test_polars_reads_the_shards(tmp_path) -> None:
    _write(tmp_path, a=">x\nACGT\n>y\nGG\n")
    result = ingest(ReadConfig(inputs=(str(tmp_path),)), tmp_path / "out")
    frame = pl.read_parquet(result.shards)
    assert frame["id"].to_list() == ["x", "y"]
    assert frame["cluster"].null_count() == 2
