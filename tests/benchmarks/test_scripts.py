"""Every benchmark starts without its peers and its data: `--help` says what it needs."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"


def is_script(path: Path) -> bool:
    """Whether it has a main block; the others are imported by it."""
    return any(isinstance(node, ast.If) for node in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("path", sorted(filter(is_script, SCRIPTS.glob("*.py"))), ids=lambda path: path.stem)
def test_help(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    assert stopped.value.code == 0
    assert "--json" in capsys.readouterr().out
    assert path.name in (SCRIPTS.parent / "docs" / "benchmarks.md").read_text()
