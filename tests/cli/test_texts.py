"""What people see of a build and of a check: few lines that say what happened, and what comes next."""

import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from biodata.configs import write_yaml
from seqloom_cli.main import app
from seqloom_cli.texts import generated, trained


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
    assert pq.read_table(out / "removed" / "dropped.parquet")["id"].to_pylist() == ["e", "d"]
    assert said[2] == "changed: upper-cased 1"
    assert said[-2].startswith("audit: no held-out row is at least 100% identical over 80% of both")
    assert said[-1].startswith(f"next: seqloom tokenizer train KIND --data '{out}'")
    assert len(said) == 6
    again = run(*build)
    assert again.stdout.splitlines() == said
    assert "my data holds this dataset already: nothing was done" in again.stderr
    checked = run("data", "verify", out).stdout.splitlines()
    assert checked[0] == "ok: nothing is wrong" and checked[1] == said[-2]
    assert checked[2].startswith("of 1 test rows 0 have the sequence of a training row, 0 share half")


def test_purged_rows_are_where_the_build_says(tmp_path: Path) -> None:
    text = "".join(random.Random(2).choices("ACGT", k=120))
    rows = {"a": text, "b": f"{text[:60]}{'A' if text[60] != 'A' else 'C'}{text[61:]}", "c": "TTGACTGA" * 9}
    lines = [f"{name},{text},{day}" for (name, text), day in zip(rows.items(), ("2001", "2002", "2003"))]
    (tmp_path / "x.csv").write_text(
        "\n".join(["id,sequence,date", *lines, f"d,{'GGATCCTT' * 9},2000"]) + "\n"
    )
    build = ("data", "build", tmp_path / "x.csv", "--out", tmp_path / "d", "--by", "time", "--threads", 1)
    said = run(*build, "--cuts", "2002,2003").stdout
    removed = tmp_path / "d" / "removed"
    rule = "similar-across-splits"
    assert f"dropped: {rule} 1 (each in {removed}/dropped.parquet, {rule} in purged.parquet)" in said
    assert pq.read_table(removed / "purged.parquet").num_rows == 1


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


def test_scores_are_a_table_and_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(60)]
    parts = ["train"] * 30 + ["validation"] * 10 + ["test"] * 20
    rows = [f"{text},{text.count('G')},{part}" for text, part in zip(texts, parts)]
    (tmp_path / "t.csv").write_text("cds,value,split\n" + "\n".join(rows) + "\n")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: G\ndata: {file: t.csv}\ncolumns: {sequence: cds, value: value, split: split}\n"
        "alphabet: dna\nunit: nucleotide\nkind: regression\nmetric: spearman\n"
    )
    out, cache = tmp_path / "scores", tmp_path / "cache"
    how = ("--resamples", 100, "--repeats", 0, "--cache", cache)
    result = run("eval", "run", "kmer", "--task", tmp_path / "mine.yaml", "--out", out, *how)
    said = result.stdout.splitlines()
    assert said[0] == "| task | model | metric | score | 95 % interval | n |", result.stderr
    assert said[2].startswith("| mine | **kmer** | spearman | ") and said[2].endswith(" | 20 |")
    assert any("one-hot (baseline)" in line for line in said) and len(said) < 12
    assert said[-1] == f"written: {out / 'report.html'}"
    page = (out / "report.html").read_text()
    assert "Does the model know something?" in page and "was not run" not in page


def test_metrics_of_sequences_are_a_table_and_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, count in (("made", 8), ("natural", 16)):
        texts = ["".join(rng.choice(list("ACGT"), 90)) for _ in range(count)]
        (tmp_path / f"{name}.fa").write_text("".join(f">{n}\n{text}\n" for n, text in enumerate(texts)))
    out = tmp_path / "out"
    how = ("--metrics", "kmer,composition", "--kmers", 2, "--resamples", 20, "--out", out)
    result = run("eval", "sequences", tmp_path / "made.fa", "--reference", tmp_path / "natural.fa", *how)
    said = result.stdout.splitlines()
    assert said[0].startswith("| metric | unit | value |") and said[2].count("|") == 7, result.stderr
    assert any(line.startswith("| kmer_jsd_k2 | bits | ") for line in said) and len(said) < 25
    assert "8 generated, 16 natural sequences" in said[-2] and said[-1] == f"written: {out / 'report.html'}"
    assert "Sequence metrics with their null" in (out / "report.html").read_text()


def test_a_finished_training_says_what_comes_next(tmp_path: Path) -> None:
    def text(bidirectional: bool, objective: str, **figures: float) -> str:
        settings = {"model": {"bidirectional": bidirectional}, "objective": {"name": objective}}
        write_yaml(tmp_path / "config.yaml", settings)
        return trained({"run": tmp_path, "step": 4, "val_loss": 4.25719123, **figures})

    said = text(False, "clm", val_perplexity=70.5).splitlines()
    assert said[1:3] == ["step            4", "val_loss        4.25719"]
    evaluate = f"seqloom eval run {tmp_path} --task NAME (seqloom eval tasks)"
    assert said[-1] == f"next: seqloom generate {tmp_path} --num 100 --out new.fasta, {evaluate}"
    assert text(True, "mlm", val_perplexity=1.0).splitlines()[-1] == f"next: {evaluate}"
    assert "--text 'a description' --out new.fasta" in text(False, "text_to_sequence", val_perplexity=1.0)
    assert "generate" in text(True, "masked_diffusion", val_perplexity=1.0)
    assert text(True, "image_diffusion").endswith("--out new.npy")
    said = generated({"path": "new.fasta", "n": 2}).splitlines()
    assert said[-1] == "next: seqloom eval sequences new.fasta --reference DATA --out validity"
