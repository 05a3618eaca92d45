"""Which folder results may go into: a new or empty one, or that of an earlier run of the same command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.files import read_json

RESULTS = "results.json"


def check_out(out: Path, *, command: str, key: str, parts: tuple[str, ...] = ()) -> None:
    """Refuses a folder with files of others, before anything is computed.

    Files whose names begin with a dot do not count.

    Args:
        out: the folder.
        command: what writes there, for the message.
        key: what `results.json` of this command holds and that of no other does.
        parts: what an earlier run may have left that did not come as far as `results.json`.

    Raises:
        ConfigError: it is a file, or a folder that is not empty and not of this command.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} cannot be a folder, a file is in the way: give another name")
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if RESULTS in found:
        if (held := _content(out / RESULTS)) is not None and key not in held:
            raise ConfigError(f"--out {out} holds a {RESULTS} that is not of `seqloom {command}`: "
                              "give a new or empty folder")  # fmt: skip
        return
    foreign = [name for name in found if not name.startswith(".")]
    if foreign and not any(name in parts for name in found):
        raise ConfigError(f"--out {out} is not empty ({foreign[0]!r} is there) and no earlier {command}: "
                          "give a new or empty folder")  # fmt: skip


def _content(path: Path) -> Any:
    """What a JSON file holds; None where it is damaged: who reads it says so, who writes it mends it."""
    try:
        held = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    return held if isinstance(held, dict) else {}
