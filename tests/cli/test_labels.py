"""`seqloom run` on own files with labels: too few of them are met before anything is trained."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from biodata.errors import DataError, SeqloomError
from bioeval.scores import LEAST_ROWS
from bioeval.tasks import check_labels
from seqloom_cli import stages
from seqloom_cli.main import app

ROWS = 40
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage after the data ends the run."""

    def reached(*_: object) -> None:
        raise SeqloomError("the tokenizer stage was reached")

    monkeypatch.setattr(stages, "_train_tokenizer", reached)


def own_files(folder: Path, *, labelled: int) -> None:
    """Unrelated genes, the first of them with a number and a text each."""
    rng = random.Random(0)
    codons = [a + b + c for a in "ACG" for b in "ACGT" for c in "ACGT"]
    genes = ("ATG" + "".join(rng.choices(codons, k=60)) + "TAA" for _ in range(ROWS))
    (folder / "g.fasta").write_text("".join(f">g{i}\n{gene}\n" for i, gene in enumerate(genes)))
    rows = "".join(f"g{i},{i / 8},red\n" for i in range(labelled))
    (folder / "y.csv").write_text(f"id,stability,colour\n{rows}")


def run(folder: Path) -> Result:
    settings = [f"data.read.inputs={folder}/g.fasta", f"data.read.labels={folder}/y.csv",
                "evaluate.labels=[stability]", "data.split.threads=1"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(app, ["run", "quickstart", "--out", str(folder / "out"), *words])


def labelled_rows(folder: Path, name: str) -> dict[str, int]:
    return {split: sum(any(x["name"] == name for x in row["labels"] or [])
                       for path in (folder / "out" / "dataset" / "data").glob(f"{split}-*.parquet")
                       for row in pq.read_table(path).to_pylist()) for split in SPLITS}  # fmt: skip


def test_too_few_labelled_rows_are_refused_before_training(tmp_path: Path):
    own_files(tmp_path, labelled=3 * LEAST_ROWS - 1)  # one split must lack one
    refused = run(tmp_path)
    counts = labelled_rows(tmp_path, "stability")
    split = next(name for name in SPLITS if counts[name] < LEAST_ROWS)
    assert refused.exit_code == DataError.exit_code
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert f"label 'stability': {counts[split]} rows of the {split} split are labelled" in line
    assert f"at least {LEAST_ROWS} are needed" in line and "data.read.labels" in line
    assert not (tmp_path / "out" / "tokenizer").exists()

    assert "'stability'" in run(tmp_path).stderr  # the data stage is finished now, and still it is refused


def test_enough_labels_go_on_and_others_are_named(tmp_path: Path):
    own_files(tmp_path, labelled=ROWS)
    assert "the tokenizer stage was reached" in run(tmp_path).stderr
    assert min(labelled_rows(tmp_path, "stability").values()) >= LEAST_ROWS
    dataset = tmp_path / "out" / "dataset"
    with pytest.raises(DataError, match=rf"'colour' is a text in {ROWS} rows \(.*numbers: stability\)"):
        check_labels(dataset, ["stability", "colour"])
    with pytest.raises(DataError, match=r"'stabilty': 0 rows of the train split .* there .*: stability"):
        check_labels(dataset, ["stabilty"])
