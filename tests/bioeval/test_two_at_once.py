"""Two processes with one `--out`: the second is told in a line, and what is written stays whole."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, SeqloomError
from biodata.folders import locked_file
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.records.embedding import EmbedConfig, embed_file
from bioeval.records.inputs import InputConfig
from bioeval.running.lock import WORK, held
from seqloom_cli.main import app

HOLD = """
import sys
from pathlib import Path
from biodata.folders import locked_file
from bioeval.running.lock import held
with held(Path(sys.argv[1])), locked_file(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def words(task: Path, out: Path) -> list[str]:
    return ["eval", "run", "kmer", "--task", str(task), "--out", str(out), "--resamples", "100", "--json",
            "--no-baselines", "--repeats", "0"]  # fmt: skip


def test_a_second_process_is_told_and_a_killed_one_does_not_block(planted_task: Path, tmp_path: Path) -> None:
    out, vectors, source = tmp_path / "scores", tmp_path / "vectors.parquet", tmp_path / "in.fa"
    source.write_text(">a\nACGT\n")
    embed = ["embed", "kmer", str(source), "--out", str(vectors), "--json"]
    command = [sys.executable, "-c", HOLD, str(out), str(vectors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for said, text in (
            (words(planted_task, out), f"another evaluation is running in {out}: wait for it or use another"),
            (embed, f"another process is writing {vectors}: wait for it or use another --out"),
        ):
            second = CliRunner().invoke(app, said)
            (line,) = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
            assert second.exit_code == 1 and text in line and not second.stdout
        other.send_signal(signal.SIGKILL)
    assert (out / WORK).is_dir() and not vectors.exists()
    for said in (words(planted_task, out), embed):
        assert CliRunner().invoke(app, said).exit_code == 0
    assert len(json.loads((out / "results.json").read_text())["results"]) == 1
    assert pq.read_table(vectors).num_rows == 1
    assert not [path for path in (*out.iterdir(), *tmp_path.iterdir()) if path.name.startswith(".")]


def test_the_lock_goes_with_the_block(planted_task: Path, tmp_path: Path) -> None:
    settings = EvalConfig(models=("kmer",), tasks=(str(planted_task),), out=tmp_path / "e", baselines=False,
                          resamples=100, repeats=0)  # fmt: skip
    with held(tmp_path / "e"), pytest.raises(SeqloomError, match="another evaluation is running"):
        evaluate(settings)
    assert list((tmp_path / "e").iterdir()) == []
    with pytest.raises(ZeroDivisionError), held(tmp_path / "e"):
        raise ZeroDivisionError
    assert list((tmp_path / "e").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be a folder, a file is in the way"):
        evaluate(EvalConfig(models=("kmer",), tasks=(str(planted_task),), out=tmp_path / "file"))


def test_one_writer_of_a_file(tmp_path: Path) -> None:
    out, source = tmp_path / "new" / "vectors.npy", tmp_path / "in.fa"
    source.write_text(">a\nACGT\n")
    settings = EmbedConfig(model="kmer", read=InputConfig(inputs=(str(source),)), out=out)
    with locked_file(out), pytest.raises(SeqloomError, match="another process is writing"):
        embed_file(settings)
    assert list(out.parent.iterdir()) == []
    assert embed_file(settings)["n"] == 1
    assert sorted(path.name for path in out.parent.iterdir()) == ["vectors.npy", "vectors.npy.json"]
