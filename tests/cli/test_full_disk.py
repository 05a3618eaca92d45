"""A disk that is full under a command that is no build: one line that says so, and no half file."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from biodata.storage import storage_problem

SEQLOOM = str(Path(sys.executable).with_name("seqloom"))
FULL = "the disk is full: free some space and run the same command again"


def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """The kernel takes what fits and refuses the rest, as a full disk does."""
    (tmp_path / "x.fa").write_text(">a\nATGGCCTAA\n")
    done = subprocess.run(
        [SEQLOOM, "tokenizer", "train", "codon", "--data", "x.fa", "--out", "tok"], cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert done.stderr == "error: a file became larger than the system allows (ulimit -f)\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "x.fa"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), FULL.replace("disk", "disk of a/b", 1)),
        (OSError(errno.EACCES, "Permission denied", "x"), "x cannot be read or written (Permission denied)"),
        (OSError("9 requested and 3 written"), "the disk is full, or a file larger than the system allows"),
        (ConnectionError("refused"), ""),
    ],
)
def test_what_failures_of_the_storage_say(error: OSError, said: str) -> None:
    found = storage_problem(error)
    assert found.startswith(said) and bool(found) == bool(said)
