"""Runs the quickstart recipe, shrunk, as a person would: through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SEQLOOM = str(Path(sys.executable).with_name("seqloom"))
SMALL = (
    "simulate.families=24", "simulate.members=6", "simulate.min_codons=40", "simulate.max_codons=60",
    "train.model.layers=1", "train.model.width=32", "train.model.heads=2", "train.model.context=64",
    "train.batch_size=8", "train.max_steps=6", "train.eval_every=3", "train.checkpoint_every=2",
    "train.threads=1", "generate.num=24",
)  # fmt: skip


def settings(*more: str) -> list[str]:
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def command(out: Path, *more: str) -> list[str]:
    return [SEQLOOM, "run", "quickstart", "--out", str(out), *settings(*more), "--json"]


def run_whole_way(out: Path, *more: str) -> dict[str, Any]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command(out, *more), capture_output=True, text=True, timeout=400, env=env)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
