"""What people see of a build and of a check: few lines that say what happened, and what comes next."""

from pathlib import Path

from typer.testing import CliRunner, Result

from seqloom_cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_build_says_what_became_of_the_rows_and_what_comes_next(tmp_path: Path) -> None:
    rows = {"a": "ACGTTGCA" * 4, "b": "GGATCCTT" * 4, "c": "TTGACTGA" * 4, "d": "acgttgca" * 4, "e": "AC!T"}
    (tmp_path / "x.fa").write_text("".join(f">{name}\n{text}\n" for name, text in rows.items()))
    out = tmp_path / "my data"
    build = ("data", "build", tmp_path / "x.fa", "--out", out, "--threads", 1, "--identity", 1)
    said = run(*build).stdout.splitlines()
    assert said[0] == f"{out}: 3 rows in 3 clusters: train 1, validation 1, test 1"
    assert said[1] == f"dropped: duplicate 1, invalid-letter 1 (each in {out}/removed/dropped.parquet)"
    assert said[2] == f"changed: upper-cased 1 (each in {out}/removed/changed.parquet)"
    assert said[-2].startswith("audit: no held-out row is at least 100% identical over 80% of both")
    assert said[-1].startswith(f"next: seqloom tokenizer train KIND --data '{out}'")
    assert len(said) == 6
    again = run(*build)
    assert again.stdout.splitlines() == said
    assert "my data holds this dataset already: nothing was done" in again.stderr
    checked = run("data", "verify", out).stdout.splitlines()
    assert checked[0] == "ok: nothing is wrong" and checked[1] == said[-2]
    assert checked[2].startswith("of 1 test rows 0 have the sequence of a training row, 0 share half")


def test_a_check_against_another_set_speaks_of_that(tmp_path: Path) -> None:
    (tmp_path / "test.fa").write_text(">t\n" + "ACGTTGCA" * 5 + "\n")
    (tmp_path / "train.fa").write_text(">a\n" + "GGATCCTT" * 5 + "\n")
    against = ("--against", tmp_path / "train.fa", "--alphabet", "dna")
    said = run("data", "verify", tmp_path / "test.fa", *against).stdout.splitlines()
    assert said[0] == "ok: nothing is wrong"
    assert said[1].startswith(
        "audit: no test row is at least 90% identical over 80% of the test row to a training"
    )
    (tmp_path / "train.fa").write_text(">a\n" + "GG" + "ACGTTGCA" * 5 + "CC\n")
    found = run("data", "verify", tmp_path / "test.fa", *against)
    assert found.exit_code == 3 and found.stdout.splitlines()[0] == "not ok"
    assert "1 test rows in 1 pairs" in found.stdout
