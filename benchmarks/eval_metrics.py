"""Sequence metrics beside the programs that people use for them; prints a table, writes JSON.

    python -m venv peers && peers/bin/pip install ripser persim complexcgr
    python benchmarks/eval_metrics.py --peer-python peers/bin/python [--kmc PATH]
    [--rounds 5]

All in CPU seconds (of the process; of KMC and Jellyfish those of the child, system time included), which a
busy machine disturbs little; both sides of a line take turns within a round, and ratios are of medians.
Python peers live in an environment of their own and are timed there, after imports and one warm-up; values
are compared with ours. KMC and Jellyfish are whole programs, so their line also has ours as a whole process
with its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

K, POINTS, DIRECTIONS = 6, 2000, 50


def main() -> None:
    arguments = options().parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    rows = compared(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="python with ripser, persim and complexcgr")
    parser.add_argument("--kmc", default=shutil.which("kmc"), help="the program; by default what is on PATH")
    parser.add_argument("--jellyfish", default=shutil.which("jellyfish"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabases", type=int, default=100, help="letters that k-mers are counted in")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser


def compared(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All lines against peers, printed as they come."""
    print("| task | seqloom, CPU s | peer | peer, CPU s | peer / seqloom | same values |")
    print("|---|---|---|---|---|---|", flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="seqloom-bench-") as folder:
        for row in chain(python_peers(arguments, Path(folder)), counting(arguments, Path(folder))):
            theirs = "not run: not there" if row["theirs"] is None else f"{row['theirs']:.4f}"
            ratio = "" if row["theirs"] is None else f"{row['theirs'] / row['ours']:.1f}"
            start = f"| {row['task']} | {row['ours']:.4f} | {row['peer']} | {theirs}"
            print(f"{start} | {ratio} | {row['same']} |", flush=True)
            rows.append(row)
    return rows


def counting(arguments: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """k-mers of a FASTA file: in a running process, and as a whole process against KMC and Jellyfish."""
    import numpy as np

    fasta = work / "random.fa"
    codes = np.random.default_rng(0).integers(0, 4, arguments.megabases * 1_000_000)
    fasta.write_bytes(b">random\n" + np.frombuffer(b"ACGT", np.uint8)[codes].tobytes() + b"\n")
    counts = np.zeros(4**K, dtype=np.int64)

    def ours() -> float:
        start = time.process_time()
        counts[:] = count_file(fasta)
        return time.process_time() - start

    whole = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
             f"from eval_metrics import count_file; count_file({str(fasta)!r})"]  # fmt: skip
    peers: dict[str, list[str] | None] = {
        "KMC, 1 thread": kmc_command(arguments.kmc, fasta, work),
        "Jellyfish, 1 thread": jellyfish_command(arguments.jellyfish, fasta, work),
    }
    jobs: dict[str, Callable[[], float]] = {"ours": ours, "whole": lambda: child_seconds(whole)}
    jobs |= {name: (lambda c=c: child_seconds(c)) for name, c in peers.items() if c}
    times = in_turns(jobs, arguments.rounds)
    task = f"{K}-mers of {arguments.megabases} Mb FASTA"
    same = {"KMC, 1 thread": kmc_agrees(arguments.kmc, work, counts)}
    return [
        {"task": f"{task}, {how}", "ours": times[key], "peer": name, "theirs": times.get(name),
         "same": same.get(name, "not compared")}
        for name in peers for how, key in (("in a process", "ours"), ("whole process", "whole"))
    ]  # fmt: skip


def count_file(fasta: str | Path) -> Any:
    """Counts of a file in one pass."""
    from bioeval.metrics.fasta_counts import count_fasta

    return count_fasta(fasta, K)


def kmc_command(kmc: str | None, fasta: Path, work: Path) -> list[str] | None:
    """One thread, no canonical k-mers, all counts kept, counters that do not saturate."""
    if not kmc:
        return None
    settings = f"-k{K} -b -t1 -ci1 -cs4294967295 -fm -m2".split()
    return [kmc, *settings, str(fasta), str(work / "kmc"), str(work)]


def jellyfish_command(jellyfish: str | None, fasta: Path, work: Path) -> list[str] | None:
    if not jellyfish:
        return None
    return [jellyfish, "count", "-m", str(K), "-s", "8192", "-t", "1", "-o", str(work / "jf"), str(fasta)]


def kmc_agrees(kmc: str | None, work: Path, counts: Any) -> str:
    """Whether KMC's table is ours."""
    dump = Path(kmc).with_name("kmc_dump") if kmc else None
    if dump is None or not dump.exists():
        return "not compared"
    subprocess.run([str(dump), str(work / "kmc"), str(work / "dump")], check=True, capture_output=True)
    theirs = dict(line.split() for line in (work / "dump").read_text().splitlines())
    names = ["".join("ACGT"[(n >> 2 * (K - 1 - i)) & 3] for i in range(K)) for n in range(4**K)]
    return "yes" if all(int(theirs.get(name, 0)) == c for name, c in zip(names, counts.tolist())) else "NO"


def child_seconds(command: list[str]) -> float:
    """CPU seconds of a program, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=one_thread())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python_peers(arguments: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """FCGR, persistent homology and the distance of diagrams, each side served by a process of its own."""
    make_inputs(work)
    mine = Server([sys.executable, __file__, "--serve", f"ours:{work}"])
    other = (
        Server([arguments.peer_python, __file__, "--serve", f"peer:{work}"])
        if arguments.peer_python
        else None
    )
    for task, peer, words in (
        ("fcgr", "complexcgr", f"FCGR, k = {K}, 1 Mb"),
        ("sliced", "persim", f"sliced Wasserstein of two H1 diagrams, {DIRECTIONS} directions"),
        ("homology", "ripser", f"H0 and H1 of {POINTS:,} chaos-game points (alpha against Rips complex)"),
    ):
        jobs: dict[str, Callable[[], float]] = {"ours": lambda task=task: mine.ask(task)["seconds"]}
        if other:
            jobs["theirs"] = lambda task=task: other.ask(task)["seconds"]
        times = in_turns(jobs, arguments.rounds)
        same = agreement(task, mine.last, other.last) if other else "not compared"
        yield {
            "task": words,
            "ours": times["ours"],
            "peer": peer,
            "theirs": times.get("theirs"),
            "same": same,
        }


def make_inputs(work: Path) -> None:
    """A random sequence, two clouds of real-like skew, and their diagrams."""
    import numpy as np

    from bioeval.metrics.cgr import cgr_points
    from bioeval.metrics.diagrams import persistence_diagrams

    rng = np.random.default_rng(1)
    (work / "text").write_bytes(np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, 1_000_000)].tobytes())
    clouds = [
        cgr_points(rng.choice(4, POINTS, p=p).astype(np.uint8)) for p in ([0.3, 0.2, 0.2, 0.3], [0.25] * 4)
    ]
    diagrams = [persistence_diagrams(cloud)[1] for cloud in clouds]
    np.savez(work / "clouds.npz", first=clouds[0], one=diagrams[0], two=diagrams[1])


def serve(what: str) -> None:
    """A process that does one task after the other and says how long each took."""
    side, _, folder = what.partition(":")
    tasks = our_tasks(Path(folder)) if side == "ours" else peer_tasks(Path(folder))
    warm: set[str] = set()
    for line in sys.stdin:
        work = tasks[line.strip()]
        if line not in warm:
            work()
            warm.add(line)
        start = time.process_time()
        value = work()
        print(json.dumps({"seconds": time.process_time() - start, "value": value}), flush=True)


def our_tasks(work: Path) -> dict[str, Callable[[], Any]]:
    import numpy as np

    from biodata.chaos_game import fcgr
    from bioeval.metrics.counting import kmer_counts
    from bioeval.metrics.diagrams import persistence_diagrams, sliced_wasserstein
    from bioeval.metrics.sequence_set import SequenceSet

    text, data = (work / "text").read_text(), np.load(work / "clouds.npz")
    cloud, one, two = data["first"], data["one"], data["two"]
    return {
        "fcgr": lambda: summed(fcgr(kmer_counts(SequenceSet.from_strings([text]), K)).T),
        "homology": lambda: float(persistence_diagrams(cloud)[0][:, 1].sum()),
        "sliced": lambda: sliced_wasserstein(one, two, directions=DIRECTIONS),
    }


def peer_tasks(work: Path) -> dict[str, Callable[[], Any]]:
    import numpy as np
    from complexcgr import FCGR  # pyright: ignore[reportMissingImports]
    from persim import sliced_wasserstein  # pyright: ignore[reportMissingImports]
    from ripser import ripser  # pyright: ignore[reportMissingImports]

    text, data = (work / "text").read_text(), np.load(work / "clouds.npz")
    cloud, one, two = data["first"], data["one"], data["two"]
    picture = FCGR(k=K)

    def homology() -> float:
        deaths = ripser(cloud, maxdim=1)["dgms"][0][:, 1]
        return float(deaths[np.isfinite(deaths)].sum() / 2)  # Rips has diameters, alpha radii

    return {
        "fcgr": lambda: summed(picture(text)),
        "homology": homology,
        "sliced": lambda: float(sliced_wasserstein(one, two, M=DIRECTIONS)),
    }


def summed(matrix: Any) -> list[float]:
    """Row sums and column sums of a picture: enough to see whether two are the same."""
    return [*map(float, matrix.sum(axis=0)), *map(float, matrix.sum(axis=1))]


def agreement(task: str, mine: dict[str, Any], other: dict[str, Any]) -> str:
    """Whether values agree to 1 part in 10,000; of homology H0, which both complexes share."""
    a, b = (v if isinstance(v, list) else [v] for v in (mine["value"], other["value"]))
    close = all(abs(x - y) <= 1e-4 * max(abs(x), abs(y), 1e-12) for x, y in zip(a, b))
    return ("H0 yes" if task == "homology" else "yes") if close else "NO"


class Server:
    """A process that answers tasks line by line."""

    def __init__(self, command: list[str]) -> None:
        root = str(Path(__file__).resolve().parents[1])
        environment = one_thread() | ({"PYTHONPATH": root} if command[0] == sys.executable else {})
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, task: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{task}: {self.process.args} ended")
        self.last: dict[str, Any] = json.loads(answer)
        return self.last


def in_turns(jobs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median seconds of each job, all in every round, every second one the other way round."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        order = list(jobs) if number % 2 == 0 else list(jobs)[::-1]
        for name in order:
            times[name].append(jobs[name]())
    return {name: statistics.median(values) for name, values in times.items()}


def one_thread() -> dict[str, str]:
    """The environment with one thread for every library."""
    return os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


if __name__ == "__main__":
    main()
