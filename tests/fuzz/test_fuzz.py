"""A short fuzz run; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from biodata.errors import ConfigError, DataError
from biodata.io.fasta import read_fasta
from biodata.io.genbank import read_genbank
from biodata.io.limits import VARIABLE
from tests.fuzz.cases import case
from tests.fuzz.run import run

FIRST, COUNT = 1_000_000, 1_500


def test_no_traceback_hang_or_flood_of_memory() -> None:
    report = run(FIRST, COUNT, jobs=2)
    assert report.total == COUNT
    assert not report.violations, "\n".join(
        f"python -m tests.fuzz --replay {found['number']}\n{found['problem']}" for found in report.violations
    )


def test_a_number_says_everything() -> None:
    for number in range(30):
        assert case(number) == case(number)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_fasta, b">a\n" + b"A" * 3_000_000),
        (read_fasta, b">a\n" + b"ACGT\n" * 600_000),
        (read_fasta, b"\n" * 17_000_000),
        (read_genbank, b"LOCUS       A\n" + b"            x\n" * 200_000),
    ],
)
def test_a_record_without_end_is_refused(read, text, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(text)
    monkeypatch.setenv(VARIABLE, "2")
    with pytest.raises(DataError, match=r"more than 2 MB|in the first 16 MiB"):
        list(read(path))


def test_a_wrong_limit_is_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    monkeypatch.setenv(VARIABLE, "lots")
    with pytest.raises(ConfigError, match="lots"):
        list(read_fasta(tmp_path / "x.fa"))
