"""FASTQ against Biopython, and what is no FASTQ."""

from __future__ import annotations

from pathlib import Path

import pytest
from Bio import SeqIO
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import DataError
from biodata.io import fastq
from biodata.io.fastq import read_fastq

WORD = st.text("abcXYZ019/:_.@+", min_size=1, max_size=12)
QUALITY = st.integers(33, 126).map(chr)


@st.composite
def records(draw) -> str:
    """Records, their letters and qualities on one line or wrapped."""
    width = draw(st.sampled_from([0, 5]))
    texts = []
    for _ in range(draw(st.integers(1, 6))):
        letters = draw(st.text("ACGTN", min_size=1, max_size=23))
        quality = "".join(draw(st.lists(QUALITY, min_size=len(letters), max_size=len(letters))))
        name, more = draw(WORD), draw(st.sampled_from(["", " 1:N:0", "\tx  y"]))
        lines = [
            "\n".join(text[i : i + (width or len(text))] for i in range(0, len(text), width or len(text)))
            for text in (letters, quality)
        ]
        plus = draw(st.sampled_from(["+", f"+{name}{more}"]))
        texts.append(f"@{name}{more}\n{lines[0]}\n{plus}\n{lines[1]}\n")
    return "".join(texts)


@given(records())
@settings(max_examples=150, deadline=None)
def test_equal_to_biopython(text) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.fq"
        path.write_text(text)
        ours = [row for batch in read_fastq(path) for row in batch.to_pylist()]
        with open(path) as handle:
            theirs = list(SeqIO.parse(handle, "fastq"))
    assert [row["id"] for row in ours] == [record.id for record in theirs]
    assert [row["sequence"] for row in ours] == [str(record.seq) for record in theirs]
    lines = text.split("\n")
    for row, record in zip(ours, theirs):
        scores = record.letter_annotations["phred_quality"]
        assert row["labels"][0]["name"] == "mean_quality"
        assert row["labels"][0]["value"] == pytest.approx(sum(scores) / len(scores))
        assert lines[row["line"] - 1].startswith("@" + row["id"])
        assert f"{row['id']} {row['description']}".split() == record.description.split()


def test_many_batches(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fastq, "BATCH_BYTES", 1000)
    path = tmp_path / "x.fq"
    path.write_text("".join(f"@r{i}\nACGT\n+\nIIII\n" for i in range(500)))
    batches = list(read_fastq(path))
    assert len(batches) > 5 and sum(b.num_rows for b in batches) == 500
    assert [x for b in batches for x in b["line"].to_pylist()] == list(range(1, 2001, 4))
    # the last record is wrapped: everything before it stands as it is
    path.write_text(path.read_text() + "@last\nAC\nGT\n+\nII\nII\n\n\n")
    rows = [row for batch in read_fastq(path) for row in batch.to_pylist()]
    assert len(rows) == 501 and rows[-1]["sequence"] == "ACGT" and rows[-1]["line"] == 2001


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("@a\nACGT\n+\nIII\n", ":1", "4 letters with 3 qualities in 'a'"),
        ("@a\nACGT\n+\nIIII\n@b\nAC\n+\nIII\n", ":5", "2 letters with 3 qualities"),
        ("@a\nACGT\n+\nIIII\nACGT\n+\nIIII\n", ":5", "'@' expected, found 'ACGT'"),
        ("@a\nACGT\n+\nIIII\n@b\nACGT\n", ":5", "ends before '\\+'"),
        ("@a\nACGT\n+b\nIIII\nx\n", ":3", "'\\+' is followed by 'b'"),
        ("@a\nACGT\n+\nII\x07I\n", ":1", "quality character"),
    ],
)
def test_malformed(text, where, what, tmp_path) -> None:
    path = tmp_path / "x.fq"
    path.write_text(text)
    with pytest.raises(DataError, match=f"x.fq{where}: .*{what}") as caught:
        list(read_fastq(path))
    assert "\n" not in str(caught.value)
