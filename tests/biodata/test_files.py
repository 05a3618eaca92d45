"""Files are whole or absent, and a name that is taken is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from biodata.errors import ConfigError
from biodata.files import atomic_path, make_folder, write_text


def test_a_failed_block_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as part:
        part.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_with_the_name_of_the_file(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="taken is a folder"):
        write_text(tmp_path / "taken", "text")


def test_a_file_with_the_name_of_a_folder(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="a file is in the way"):
        write_text(tmp_path / "taken" / "x.txt", "text")
    with pytest.raises(ConfigError, match="a file is in the way"):
        make_folder(tmp_path / "taken")
