"""Spoilt files through the whole of `seqloom data build`: one line says what is wrong, no half dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from typer.testing import CliRunner, Result

from biodata.dataset import is_dataset, open_dataset
from biodata.folders import WORK
from seqloom_cli.main import app
from tests.fuzz.cases import Case, case

FIRST, COUNT = 2_000_010, 40  # about three spoilt files of every format
LARGEST = 32 << 10  # bytes; tests/fuzz reads the long ones, here each may cost runs of MMseqs2
REFUSED = (2, 3)  # settings, data; 1 is for what the system denies, which no file can make happen


def small_cases() -> Iterator[Case]:
    """Cases of tests/fuzz from the files made there, so that they are the same everywhere."""
    found = (case(number, with_real=False) for number in count(FIRST))
    return islice((one for one in found if not one.is_bomb and len(one.data) <= LARGEST), COUNT)


def test_a_spoilt_file_is_built_or_refused_in_one_line(tmp_path: Path):
    codes: dict[int, int] = {}
    for one in small_cases():
        folder = tmp_path / str(one.number)
        folder.mkdir()
        result = build(one, folder)
        codes[result.exit_code] = codes.get(result.exit_code, 0) + 1
        story = f"tests.fuzz --replay {one.number} ({one.story}): {result.stderr}{result.exception!r}"
        assert result.exception is None or isinstance(result.exception, SystemExit), story
        if result.exit_code == 0:
            check_built(result, folder / "out")
        else:
            check_refused(result, folder / "out", story)
    assert min(codes.get(0, 0), codes.get(3, 0)) >= 5, codes  # both ends of the way were seen


def build(one: Case, folder: Path) -> Result:
    """Runs the command; every other time a single split is asked for, which so few rows can fill."""
    path = folder / one.name
    path.write_bytes(one.data)
    fractions = "1,0,0" if one.number % 2 else "0.8,0.1,0.1"
    return CliRunner().invoke(app, [
        "data", "build", str(path), "--out", str(folder / "out"), "--json", "--threads", "1",
        "--alphabet", one.alphabet, "--take", one.take, "--fractions", fractions,
    ])  # fmt: skip


def check_built(result: Result, out: Path) -> None:
    said, dataset = json.loads(result.stdout), open_dataset(out)
    assert said["splits"] == dataset.splits
    for split, rows in dataset.splits.items():
        assert dataset.table(split).num_rows == rows
    assert said["rows"] == sum(dataset.splits.values()) > 0


def check_refused(result: Result, out: Path, story: str) -> None:
    assert result.exit_code in REFUSED, story
    assert result.stdout == "", story
    line = result.stderr.removesuffix("\n")
    assert line.startswith("error: ") and line.isprintable() and "Traceback" not in line, story
    assert not is_dataset(out), story
    assert not out.exists() or {path.name for path in out.iterdir()} <= {WORK}, story
