"""Shares cases out to worker processes, watches them, and counts what came of them."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
SILENCE = 600
"""Seconds without a word after which a worker is taken for hung where no signal reaches it."""
PER_PROCESS = 1000


@dataclass(slots=True)
class Report:
    """Counts by format and result, and every violation."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, found: dict[str, Any]) -> None:
        self.counts[found.get("format", "?"), found["result"]] += 1
        if found["result"] == "violation":
            self.violations.append(found)

    def table(self) -> str:
        """Markdown: a row per format."""
        results = ("rows", "none", "refused", "violation")
        lines = ["| format | inputs | " + " | ".join(results) + " |", "|" + "---|" * (len(results) + 2)]
        for kind in [*sorted({kind for kind, _ in self.counts}), "all"]:
            row = [
                sum(n for (k, r), n in self.counts.items() if kind in (k, "all") and r == result)
                for result in results
            ]
            lines.append(f"| {kind} | {sum(row):,} | " + " | ".join(f"{n:,}" for n in row) + " |")
        return "\n".join(lines)


def run(first: int, count: int, *, jobs: int = 1) -> Report:
    """Cases `first` to `first + count - 1`, in worker processes.

    Args:
        first: number of the first case.
        count: how many.
        jobs: worker processes at a time.
    """
    report = Report()
    size = min(PER_PROCESS, -(-count // jobs))
    shares = [range(at, min(at + size, first + count)) for at in range(first, first + count, size)]
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(_share, shares):
            for one in found:
                report.add(one)
            print(f"{report.total} of {count}, {len(report.violations)} violations", file=sys.stderr)
    return report


def _share(numbers: range) -> list[dict[str, Any]]:
    """Results of some cases; after one that ends its worker another goes on."""
    found: list[dict[str, Any]] = []
    while len(found) < len(numbers):
        found += _worker(list(numbers[len(found) :]))
    return found


def _worker(numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Results of a worker; one that dies or falls silent gives a violation for the case it was at."""
    command = [sys.executable, "-m", "tests.fuzz", "--work", str(numbers[0]), str(numbers[-1] + 1)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        at = None
        while line := _next_line(process):
            found = json.loads(line)
            at = found["number"]
            if "result" in found:
                yield found
        finished = process.poll() is not None or process.wait() is not None
        if at == numbers[-1] and finished and not process.returncode:
            return
        process.kill()
        if at is None:
            raise SystemExit(f"a worker could not begin:\n{process.stderr.read()}")
        problem = f"the process ended with {process.returncode}: {process.stderr.read()[-1500:]}"
        yield {"number": at, "result": "violation", "problem": problem}


def _next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(SILENCE):
            process.kill()
            return ""
    return process.stdout.readline()
