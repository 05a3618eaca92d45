"""The FASTA reader against Biopython, its dialects, its errors, and the writer."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from Bio.SeqIO.FastaIO import FastaBlastIterator, SimpleFastaParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError, DataError
from biodata.io import fasta, fasta_blocks
from biodata.io.fasta import read_fasta, write_fasta
from biodata.io.raw import RAW_SCHEMA

SIZES = [1, 7, 64, 1 << 20]


def rows(path: Path, **options) -> list[tuple[str, str, str]]:
    """(id, description, sequence) of every record; checks every batch."""
    found = []
    for batch in read_fasta(path, **options):
        batch.validate(full=True)
        assert batch.schema == RAW_SCHEMA
        assert 0 < batch.num_rows <= fasta.MAX_ROWS
        columns = (batch["id"].to_pylist(), batch["description"].to_pylist(), batch["sequence"].to_pylist())
        found.extend(zip(*columns, strict=True))
    return found


def lines(path: Path, **options) -> list[int]:
    return [n for batch in read_fasta(path, **options) for n in batch["line"].to_pylist()]


def write(tmp_path: Path, data: bytes, name: str = "x.fa") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def biopython(text: str) -> list[tuple[str, str, str]]:
    found = []
    for title, sequence in SimpleFastaParser(io.StringIO(text)):
        id, _, description = title.partition(" ")
        found.append((id, description.strip(), sequence))
    return found


REAL = ["fasta_edge/*", "genome/*.fna.gz", "genome/*.fa*", "cds/*.fa*", "protein/*.fa*", "antibody/*.fa*"]


def test_real_files_equal_biopython(real_data: Path):
    compared = 0
    for path in sorted(p for pattern in REAL for p in real_data.glob(pattern) if p.stat().st_size < 3e6):
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
        if not data.startswith(b">") or b"\n;" in data:
            continue
        expected = biopython(io.TextIOWrapper(io.BytesIO(data), "latin-1").read())
        found = [(i, d, s.replace(" ", "")) for i, d, s in rows(path)]
        assert found == expected, path.name
        compared += 1
    assert compared > 20


def test_odd_real_files_give_rows_or_one_line(real_data: Path):
    for path in sorted((real_data / "fasta_edge").iterdir()):
        try:
            rows(path)
        except DataError as error:
            assert f"{path}:" in str(error) and "\n" not in str(error)


def test_blast_comments_are_skipped_and_counted(real_data: Path):
    path = real_data / "fasta_edge" / "aster_blast.pro"
    counts = Counter()
    found = [s for *_, s in rows(path, on_change=lambda rule, n: counts.update({rule: n}))]
    with open(path) as handle:
        assert found == [str(record.seq) for record in FastaBlastIterator(handle)]
    assert counts == {"comment-line": 4} and lines(path) == [2]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("final", [True, False])
def test_line_ends_blank_lines_and_line_numbers(tmp_path: Path, size: int, end: bytes, final: bool):
    text = [
        b"",
        b"; old comment",
        b">a one",
        b"ACGT",
        b"",
        b"; inside",
        b"AC",
        b">b",
        b"> c\ttwo  words ",
        b"G*",
    ]
    path = write(tmp_path, end.join(text) + (end if final else b""))
    expected = [("a", "one", "ACGTAC"), ("b", "", ""), ("c", "two  words", "G*")]
    assert rows(path, batch_bytes=size) == expected
    assert lines(path, batch_bytes=size) == [3, 8, 9]


@pytest.mark.parametrize("size", SIZES)
def test_byte_order_mark_and_letters_as_they_stand(tmp_path: Path, size: int):
    path = write(tmp_path, b"\xef\xbb\xbf>a\n  1 acgt NN\t-.\n 11 UU>\n")
    assert rows(path, batch_bytes=size) == [("a", "", "  1 acgt NN\t-. 11 UU>")]


@pytest.mark.parametrize("size", SIZES)
def test_text_that_is_not_utf8_is_latin1_and_counted(tmp_path: Path, size: int):
    path = write(
        tmp_path, ">a caf\u00e9\nAC\n>b na\u00efve\nGT\n".encode("latin-1") + ">c \u03b2\nT\n".encode()
    )
    total = 0

    def count(rule: str, n: int) -> None:
        nonlocal total
        assert rule == "decoded-as-latin-1"
        total += n

    assert rows(path, batch_bytes=size, on_change=count) == [
        ("a", "caf\u00e9", "AC"), ("b", "na\u00efve", "GT"), ("c", "\u03b2", "T"),
    ]  # fmt: skip
    assert total == 2
    assert rows(write(tmp_path, b">a\nAC\xb5\n")) == [("a", "", "AC\u00b5")]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment", b"  \n"])
def test_no_record_gives_no_row(tmp_path: Path, data: bytes):
    assert rows(write(tmp_path, data)) == []


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"ACGT\n>a\nA\n", 1, "'>' expected, found 'ACGT'"),
        (b"\n; x\n >a\nA\n", 3, "'>' expected, found ' >a'"),
        (b">a\nAC\n>b\r\nA\0C\n", 4, "NUL byte"),
        (">a\nAC\n".encode("utf-16"), 1, "NUL byte"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_errors_name_file_and_line(tmp_path: Path, data: bytes, line: int, message: str, size: int):
    path = write(tmp_path, data)
    with pytest.raises(DataError) as caught:
        rows(path, batch_bytes=size)
    text = str(caught.value)
    assert text.startswith(f"{path}:{line}: ") and "\n" not in text
    assert message in text or size < 10  # the quote is cut at the end of what was read


def test_missing_and_truncated_files(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.fa"):
        rows(tmp_path / "none.fa")
    whole = gzip.compress(b">a\nACGT\n" * 1000)
    with pytest.raises(DataError, match=r"x\.fa"):
        rows(write(tmp_path, whole[:-20]))


def test_batches_are_bounded_by_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fasta, "MAX_ROWS", 10)
    path = write(tmp_path, b">a\nACGT\n" * 95 + b">long\n" + b"ACGT\n" * 300)
    batches = list(read_fasta(path, batch_bytes=200))
    assert max(b.num_rows for b in batches) <= 10 and sum(b.num_rows for b in batches) == 96
    assert batches[-1]["sequence"][-1].as_py() == "ACGT" * 300
    table = pa.Table.from_batches(batches)
    assert table["line"].to_pylist() == list(range(1, 192, 2))


odd_lines = st.sampled_from([
    b">a one", b">b", b"> c\ttwo ", ">caf\u00e9 \u03b2".encode(), b">d \xb5;#!", b"ACGT", b"ac gt-*", b"A>C",
    b"AC\xb5", "AC\u00b5".encode(), b"", b";x", b"#y", b"! z",
])  # fmt: skip


@given(st.lists(odd_lines, max_size=14), st.booleans(), st.integers(1, 60))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_long_records_are_read_like_short_ones(tmp_path: Path, text: list[bytes], final: bool, size: int):
    """With every record taken for a long one, which is joined in place."""
    path = write(tmp_path, b"\n".join([b">first x", *text]) + (b"\n" if final else b""))
    expected, found = Counter(), Counter()
    whole = pa.Table.from_batches(read_fasta(path, on_change=lambda rule, n: expected.update({rule: n})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "LONG", 0)
        patch.setattr(fasta_blocks, "LONG", 0)
        batches = list(read_fasta(path, batch_bytes=size, on_change=lambda rule, n: found.update({rule: n})))
    for batch in batches:
        batch.validate(full=True)
    assert pa.Table.from_batches(batches).combine_chunks() == whole.combine_chunks()
    assert found == expected


words = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["Z", "C"]), min_size=1
)
letters = st.text("ACGTNacgtn*-.", max_size=200)
records = st.lists(st.tuples(words, st.lists(words, max_size=3).map(" ".join), letters), max_size=12)


@given(records, st.integers(0, 70), st.integers(1, 300), st.sampled_from(["x.fa", "x.fa.gz"]))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_written_records_are_read_back(tmp_path: Path, found, width: int, size: int, name: str):
    path = tmp_path / name
    write_fasta(path, *zip(*((i, s) for i, _, s in found)) if found else ([], []),
                descriptions=[d for _, d, _ in found], width=width)  # fmt: skip
    assert rows(path, batch_bytes=size) == found


def test_writer_is_deterministic_and_atomic(tmp_path: Path):
    for name in ("a.fa", "b.fa.gz"):
        path = tmp_path / name
        write_fasta(path, ["x"], ["ACGT" * 40])
        before = path.read_bytes()
        write_fasta(path, ["x"], ["ACGT" * 40])
        assert path.read_bytes() == before
        with pytest.raises(DataError, match="white space"):
            write_fasta(path, ["x", "y z"], ["A", "C"])
        assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.fa", "b.fa.gz"]
    assert (tmp_path / "a.fa").read_text().splitlines()[1] == "ACGT" * 15


@pytest.mark.parametrize(
    ("id", "sequence", "description"),
    [
        ("", "A", ""),
        ("a b", "A", ""),
        ("a", "A C", ""),
        ("a", "A\n", ""),
        ("a", ">A", ""),
        ("a", "A", "x\ny"),
    ],
)
def test_writer_refuses_what_would_not_be_read_back(tmp_path: Path, id: str, sequence: str, description: str):
    with pytest.raises(DataError):
        write_fasta(tmp_path / "x.fa", [id], [sequence], descriptions=[description])
