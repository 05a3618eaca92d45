"""Reads cases under limits of time and memory, in a process of its own, and says what came of each."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from biodata.curate.rules import RuleLog
from biodata.errors import SeqloomError
from biodata.io import open_records
from biodata.io.detect import detect_format
from biodata.io.raw import RAW_SCHEMA
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA
from tests.fuzz.cases import Case, case
from tests.fuzz.seeds import made

CPU_SECONDS = 10
"""Processor time of one case, six times that for bombs; the median is some milliseconds."""
MEMORY = 3 << 29
"""Bytes of address space of one case beyond what the process has after its imports."""
RECORD_MB = 16
"""`SEQLOOM_MAX_RECORD_MB` of the runs, so that endless lines are met early."""


_noise: list[str] = []
"""Exceptions that Python would only have written to stderr."""


class _Hang(BaseException):
    """A case took longer than `CPU_SECONDS`; no `except Exception` must swallow it."""


def work(numbers: list[int]) -> None:
    """Tries cases one after the other; prints a JSON line before and after each."""
    prepare()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number in range(-len(made()), 0):  # what is imported and started once is not the case's
            outcome(case(number), Path(folder))
        _limit_memory()
        for number in numbers:
            _say(number=number)
            one = case(number)
            _say(number=number, format=one.format, way=one.way, **outcome(one, Path(folder)))


def prepare() -> None:
    """Sets what every case needs."""
    os.environ["SEQLOOM_MAX_RECORD_MB"] = str(RECORD_MB)
    warnings.simplefilter("error")
    signal.signal(signal.SIGPROF, _stop)
    sys.unraisablehook = lambda error: _noise.append(repr(error.exc_value))


def outcome(one: Case, folder: Path) -> dict[str, Any]:
    """What reading a case gives: `result` is rows, none, refused, or violation with `problem`."""
    path = folder / one.name
    path.write_bytes(one.data)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS * (6 if one.is_bomb else 1))
    try:
        rows = _read(one, path)
        if _noise:
            return {"result": "violation", "problem": f"on stderr: {_noise.pop()}", "story": one.story}
        return {"result": "rows" if rows else "none"}
    except SeqloomError as error:
        if _noise:
            return {"result": "violation", "problem": f"on stderr: {_noise.pop()}", "story": one.story}
        text = str(error)
        if not text.isprintable() or len(text) > 2000:
            return {"result": "violation", "problem": f"no plain line: {text[:300]!r}", "story": one.story}
        return {"result": "refused"}
    except (_Hang, MemoryError, Exception) as error:  # noqa: BLE001 - to catch whatever comes is the purpose
        where = traceback.format_exception(error)[-6:]
        return {"result": "violation", "problem": "".join(where)[-1500:], "story": one.story}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.unlink()
        if len(one.data) > 1 << 20:
            gc.collect()


def _read(one: Case, path: Path) -> int:
    config = ReadConfig(inputs=(str(path),), alphabet=one.alphabet, take=one.take)  # pyright: ignore
    if one.way == "steps":
        return _curated(config, path)
    kind = one.format if one.way == "forced" else detect_format(path)
    log = RuleLog(file=path.name) if one.logged else None
    rows = 0
    for batch in open_records(path, kind, config=config, log=log):  # pyright: ignore[reportArgumentType]
        _check(batch, RAW_SCHEMA)
        rows += batch.num_rows
    return rows


def _curated(config: ReadConfig, path: Path) -> int:
    from biodata.curate.steps import FileSteps
    from biodata.sources.local import find_files

    log, rows = RuleLog(file=path.name), 0
    for file in find_files(config.inputs, log=log, drop_bad=False):
        for batch, _, _ in FileSteps(config, file, log, None).batches():
            _check(batch, SCHEMA)
            rows += batch.num_rows
    return rows


def _check(batch: Any, schema: Any) -> None:
    first = batch.schema.names[: len(schema)]  # readers of our own files give more
    assert batch.select(first).schema.equals(schema), batch.schema
    batch.validate(full=True)
    assert not batch["id"].null_count and not batch["sequence"].null_count


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _Hang("too much processor time")


def _say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
