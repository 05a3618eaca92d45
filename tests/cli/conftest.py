"""A run of the whole way, small enough to be shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .walk import run_whole_way


@pytest.fixture(scope="session")
def whole_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one undisturbed run of the quickstart recipe, shrunk."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run_whole_way(out)
    return out
