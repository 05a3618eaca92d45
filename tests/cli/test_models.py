"""`seqloom embed` and `seqloom score` as people call them: files, mutants, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bioeval.backends import ScoreSettings, open_scorer
from bioeval.mutants.zero_shot import score_mutants
from seqloom_cli.main import app
from tests.bioeval.conftest import write_gpt2
from tests.bioeval.exported import export

WILD = "ATGAAAGTTCTGGCCATTTAA"
SEQUENCES = {"a": WILD, "b": "ATGGCC" * 20, "c": "ATGTAA"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_gpt2(folder / "model")
    return folder


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("masked") / "bert", "bert", layers=1)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in.fasta").write_text("".join(f">{i}\n{s}\n" for i, s in SEQUENCES.items()))
    (tmp_path / "wild.fasta").write_text(f">w\n{WILD}\n")
    return tmp_path


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_score_writes_a_row_a_sequence(run: Path, place: Path, suffix: str) -> None:
    out = place / f"scores{suffix}"
    code, shown, _ = call("score", run, place / "in.fasta", "--out", out, "--device", "cpu", "--json")
    assert code == 0
    said = json.loads(shown)
    expected = open_scorer(str(run), ScoreSettings(device="cpu")).score(list(SEQUENCES.values()))
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson,
            ".tsv": lambda path: pl.read_csv(path, separator="\t")}  # fmt: skip
    table = read[suffix](out)
    assert table["id"].to_list() == list(SEQUENCES)
    assert table["score"].to_numpy() == pytest.approx(expected.total, abs=1e-4)
    assert table["n_tokens"].to_list() == expected.n_tokens.tolist() == [8, 41, 3]
    assert table["perplexity"].to_numpy() == pytest.approx(np.exp(-expected.per_token), rel=1e-4)
    assert set(table["kind"]) == {"log-likelihood"} and set(table["standard_error"]) == {0.0}
    assert (said["n"], said["n_tokens"], said["kind"]) == (3, 52, "log-likelihood")
    assert said["mean_per_token"] == pytest.approx(expected.total.sum() / 52, abs=1e-5)
    if suffix == ".parquet":
        about = json.loads(pq.read_schema(out).metadata[b"seqloom"])
        assert about["unit"] == "nats" and about["before"] == ["<bos>"] and about["after"] == ["<eos>"]
        assert about["window"] == 32 and about["stride"] == 16 and about["key"] == said["key"]


def test_a_run_scores_as_it_validates(whole_way: Path, place: Path) -> None:
    """The mean over the validation split is the loss that training states."""
    out = place / "validation.csv"
    words = ("--split", "validation", "--out", out, "--device", "cpu", "--json")
    code, shown, _ = call("score", whole_way / "run", whole_way / "dataset", *words)
    summary = json.loads((whole_way / "run" / "summary.json").read_text())
    assert code == 0
    assert json.loads(shown)["mean_per_token"] == pytest.approx(-summary["val_loss"], abs=1e-4)
    assert json.loads(shown)["perplexity"] == pytest.approx(summary["val_perplexity"], rel=1e-3)


def test_score_mutants(masked: Path, place: Path) -> None:
    table = place / "dms.csv"
    table.write_text("mutant,DMS_score\nA4G,0.5\nA5C:G7T,0.1\nWT,1\n")
    mutated = [WILD[:3] + "G" + WILD[4:], WILD[:4] + "CAT" + WILD[7:], WILD]
    scorer = open_scorer(str(masked), ScoreSettings(device="cpu"))
    for method in ("masked-marginals", "wt-marginals", "difference"):
        out = place / f"{method}.csv"
        words = ("--wild-type", place / "wild.fasta", "--method", method, "--out", out, "--device", "cpu")
        code, _, errors = call("score", masked, table, *words)
        assert code == 0, errors
        found = pl.read_csv(out)
        expected = score_mutants(scorer, mutated, [WILD] * 3, method=method)
        assert found["score"].to_numpy() == pytest.approx(expected.values, abs=1e-4)
        assert found["id"].to_list() == ["A4G", "A5C:G7T", "WT"] and set(found["kind"]) == {method}
        assert found["n_tokens"].to_list() == [1, 2, 0]
    pairs = place / "pairs.csv"
    pairs.write_text("id,ref,alt\n" + "".join(f"{i},{WILD},{m}\n" for i, m in enumerate(mutated)))
    out = place / "pairs.parquet"
    words = ("--reference-column", "ref", "--out", out, "--device", "cpu", "--json")
    code, shown, _ = call("score", masked, pairs, *words)
    assert code == 0 and json.loads(shown)["kind"] == "masked-marginals"
    auto = score_mutants(scorer, mutated, [WILD] * 3).values
    assert pl.read_parquet(out)["score"].to_numpy() == pytest.approx(auto, abs=1e-4)


def test_embed_and_what_it_says(run: Path, place: Path) -> None:
    out = place / "vectors.parquet"
    words = (
        "--pooling",
        "per-residue",
        "--unit",
        "3",
        "--layer",
        "1",
        "--out",
        out,
        "--device",
        "cpu",
        "--json",
    )
    code, shown, _ = call("embed", run, place / "in.fasta", *words)
    assert code == 0
    said = json.loads(shown)
    assert (said["n"], said["dimensions"], said["unit"], said["layer"]) == (3, 16, 3, "1")
    rows = pq.read_table(out)["embedding"].to_pylist()
    assert [len(row) for row in rows] == [7, 40, 2] and len(rows[0][0]) == 16
    about = json.loads(pq.read_schema(out).metadata[b"seqloom"])
    assert about["pooling"] == "per-residue" and about["embedding_key"] == said["embedding_key"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("score", "RUN", "in.fasta", "--out", "x.xlsx"), 2, "out = 'x.xlsx', allowed: a name that ends in"),
        (("score", "kmer", "in.fasta", "--out", "x.csv"), 2, "baseline 'kmer' gives embeddings and no score"),
        (("score", "RUN", "no.fasta", "--out", "x.csv"), 2, "input 'no.fasta': no such file"),
        (("score", "RUN", "in.fasta", "--seed", "5", "--out", "x.csv"), 2, "seed = 5 does nothing for"),
        (("score", "RUN", "in.fasta", "--method", "difference", "--out", "x.csv"), 2, "is about mutants"),
        (("score", "RUN", "dms.csv", "--wild-type", "ATG", "--out", "x.csv"), 3, "'A4G' lies outside"),
        (("score", "RUN", "dms.csv", "--wild-type", "ATGC", "--out", "x.csv"), 3, "wild type has 'C' at 4"),
        (("score", "RUN", "in.fasta", "--wild-type", "in.fasta", "--out", "x.csv"), 3, "3 records, the wild"),
        (("score", "RUN", "dms.csv", "--wild-type", "nope.fa", "--out", "x.csv"), 2, "neither a file nor"),
        (("score", "RUN", "dms.csv", "--wild-type", "ATGA", "--method", "wt-marginals", "--out", "x.csv"),
         2, "wt-marginals need a masked model"),
        (("score", "RUN", "dms.csv", "--wild-type", "ATGA", "--mutant-column", "m", "--out", "x.csv"),
         3, "no column 'm', or a mutated sequence"),
        (("embed", "RUN", "in.fasta", "--out", "x.csv"), 2, "allowed: a name that ends in .parquet"),
        (("embed", "RUN", "in.fasta", "--layer", "9", "--out", "x.npy"), 2, "layer = 9"),
        (("embed", "one-hot", "in.fasta", "--device", "cpu", "--out", "x.npy"), 2, "it has no weights"),
        (("embed", "RUN", "--out", "x.npy"), 2, "no inputs given, at least one file is needed"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    words: tuple[str, ...], code: int, text: str, run: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    Path("dms.csv").write_text("mutant\nA4G\n")
    found, shown, errors = call(*(str(run) if word == "RUN" else word for word in words))
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert found == code and text in line and not shown
    assert not [p for p in place.iterdir() if p.name.startswith("x.")]
