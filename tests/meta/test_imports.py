"""Heavy imports are impossible by accident, and the directions hold."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "datasets", "sklearn", "scipy", "gudhi", "matplotlib", "tensorflow")


def python(code: str, *args: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def submodules(package: str, project: Path) -> list[str]:
    found = pkgutil.walk_packages([str(project / package)], f"{package}.")
    return [package, *(module.name for module in found)]


def test_every_module_of_biodata_and_bioeval_imports_without_torch(project: Path):
    names = [*submodules("biodata", project), *submodules("bioeval", project)]
    assert len(names) > 40
    code = (
        "import sys, importlib, json\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
    )
    python(code, json.dumps(names), cwd=project)


def test_configurations_of_biotrain_import_without_torch(project: Path):
    parts = ("models", "losses", "objectives")
    catalogs = ["biotrain", "biotrain.config", *(f"biotrain.{part}" for part in parts)]
    code = (
        "import sys, importlib\nsys.modules['torch'] = None\n"
        f"for name in {catalogs!r}: importlib.import_module(name)\n"
    )
    python(code, cwd=project)


def test_help_loads_nothing_heavy(project: Path):
    code = (
        "import sys\nfrom seqloom_cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    for words in (["--help"], ["train", "--help"], ["eval", "run", "--help"], ["data", "build", "--help"]):
        assert "HEAVY []" in python(code, *words, cwd=project), words


def test_directions(project: Path):
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=project, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
