"""An evaluation that is killed goes on where it was: nothing finished is done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

EMBEDDER = '''
import os, signal
from pathlib import Path
import numpy as np

class Counting:
    """Notes what it embeds; KILL_AT kills the process when so many sequences were embedded."""

    def __init__(self, name):
        self.name = self.key = name

    def embed(self, sequences):
        with open(os.environ["EMBEDDED"], "a") as notes:
            for s in sequences:
                notes.write(f"{self.name} {s}\\n")
        if len(Path(os.environ["EMBEDDED"]).read_text().splitlines()) >= int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return np.array([[s.count("G"), s.count("C"), len(s)] for s in sequences], dtype=np.float32)

first, second = Counting("first"), Counting("second")
'''


def evaluated(folder: Path, task: Path, *, kill_at: int) -> subprocess.CompletedProcess:
    environment = {
        **os.environ, "KILL_AT": str(kill_at), "EMBEDDED": str(folder / "embedded"),
        "SEQLOOM_CACHE": str(folder / "cache"), "PYTHONPATH": str(folder),
    }  # fmt: skip
    command = [sys.executable, "-m", "seqloom_cli", "eval", "run", "counting:first", "counting:second",
               "--task", str(task), "--out", str(folder / "out"), "--resamples", "100", "--json"]  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)


def test_a_killed_evaluation_goes_on(planted_task: Path, tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(EMBEDDER)
    # 150 rows: the first model is finished, the second dies with its train rows read and test to come.
    killed = evaluated(tmp_path, planted_task, kill_at=270)
    assert killed.returncode == -signal.SIGKILL
    before = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert [result["model"] for result in before] == ["counting:first"]
    embedded = (tmp_path / "embedded").read_text().splitlines()

    again = evaluated(tmp_path, planted_task, kill_at=10**9)
    assert again.returncode == 0, again.stderr
    first, second = json.loads(again.stdout)["results"]
    assert first == before[0] and second["value"] is not None
    new = (tmp_path / "embedded").read_text().splitlines()[len(embedded) :]
    assert all(line.startswith("second ") for line in new)
    assert 0 < len(new) < 150  # what the cache had of the second is not embedded again
    assert len(list((tmp_path / "out" / "predictions").iterdir())) == 2
