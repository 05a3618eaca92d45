"""`data build` at size: memory of all its processes, wall and CPU seconds, against the size of the input.

    python benchmarks/data_scale.py [--gb 1 2 5] [--engine local] [--alphabet dna] [--work DIR] [--json FILE]

Writes a synthetic FASTA in shards of about 100 MB: families of coding sequences, each an ancestor under the
codon usage of E. coli (300 to 1,500 letters, mean 900) with two to nine members of which up to 9 % of the
letters are substituted, spread over the shards. Then builds a dataset in a process of its own and adds up,
five times a second, the memory of that process and of all it started (worker processes, MMseqs2): PSS, which
counts pages shared between processes once, and RSS, which counts them in each. Seconds per GB that stay the
same from row to row are linear time; on a shared machine CPU seconds say more than wall seconds.

What is written is removed again; a build of n GB needs about 5 n GB of disk. `--gb 5` takes a while: each row
is printed, and written to `--json`, when it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARD = 100_000_000
_FAMILIES = 4_000  # made at once, about 20 MB
_LINE = 80


def write_fasta(folder: Path, letters: int, *, seed: int = 0) -> int:
    """Writes shards of about `letters` bytes in all; the number of records."""
    from biodata.codon import CODONS
    from biodata.simulate.species import get_species

    random = np.random.default_rng(seed)
    usage = np.array(get_species("Escherichia coli").usage)
    codons = np.frombuffer("".join(CODONS).encode(), np.uint8).reshape(-1, 3)
    files = [open(folder / f"part-{n:04d}.fa", "wb") for n in range(max(1, round(letters / SHARD)))]  # noqa: SIM115
    written = records = 0
    while written < letters:
        for text in _families(random, usage / usage.sum(), codons, records):
            files[records % len(files)].write(text)
            written += len(text)
            records += 1
            if written >= letters:
                break
    for file in files:
        file.close()
    return records


def _families(random: np.random.Generator, usage: np.ndarray, codons: np.ndarray, first: int):
    """FASTA records of some families, their members next to each other."""
    lengths = random.integers(100, 501, _FAMILIES)
    letters = codons[random.choice(len(usage), int(lengths.sum()), p=usage)].reshape(-1)
    ends = np.cumsum(3 * lengths)
    alphabet = np.frombuffer(b"ACGT", np.uint8)
    number = first
    for end, length, members in zip(ends.tolist(), (3 * lengths).tolist(), random.integers(2, 10, _FAMILIES)):
        ancestor = letters[end - length : end]
        for share in random.uniform(0, 0.09, members):
            text = ancestor.copy()
            at = random.integers(0, length, int(share * length))
            text[at] = alphabet[random.integers(0, 4, len(at))]
            yield b">gene%09d\n%s\n" % (number, text.tobytes())
            number += 1


class Memory(threading.Thread):
    """Peak memory of a process and its descendants, sampled five times a second."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.pss = self.rss = 0
        self.at_peak: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            found = {process: _memory(process) for process in _family(self.process)}
            pss = sum(pss for pss, _ in found.values())
            if pss > self.pss:
                self.pss = pss
                self.at_peak = [
                    f"{_name(process)} {size / 1e6:.0f} MB" for process, (size, _) in found.items()
                ]
            self.rss = max(self.rss, sum(rss for _, rss in found.values()))


def _family(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        parents.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def _memory(process: int) -> tuple[int, int]:
    """PSS and RSS in bytes, 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return sizes.get("Pss", 0), sizes.get("Rss", 0)


def _name(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return "ended"
    return " ".join(Path(word).name[:20] for word in words[:3])


BUILD = """
import json, resource, sys, time
from pathlib import Path
from biodata.build import BuildConfig, ReadConfig, build_dataset
source, out, alphabet, engine = sys.argv[1:]
config = BuildConfig(read=ReadConfig(inputs=(source,), alphabet=alphabet), engine=engine)
start = time.perf_counter()
found = build_dataset(config, Path(out))
print(json.dumps({"rows": found["rows"], "clusters": found["clusters"], "splits": found["splits"],
                  "purged": sum(found["repair"]["rows_purged"].values()),
                  "rounds": found["repair"]["rounds_after_audit"], "audit": found["audit"],
                  "wall_s": time.perf_counter() - start}))
"""


def measure(gb: float, args: argparse.Namespace) -> dict[str, Any]:
    """One build of `gb` * 10^9 bytes of FASTA in a process of its own."""
    work = Path(tempfile.mkdtemp(prefix="data-scale-", dir=args.work))
    try:
        source = work / "in"
        source.mkdir()
        records = write_fasta(source, int(gb * 1e9))
        command = [sys.executable, "-c", BUILD, str(source), str(work / "out"), "dna", args.engine]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {
            "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # fmt: skip
        memory = Memory(process.pid)
        memory.start()
        before = os.times()
        output, _ = process.communicate()
        memory.done.set()
        memory.join()
        if process.returncode:
            raise SystemExit(f"the build of {gb} GB failed with exit code {process.returncode}")
        after = os.times()
        found = json.loads(output.splitlines()[-1])
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {"gb": gb, "records": records, "cpu_s": cpu, "pss_mb": memory.pss / 1e6,
                "rss_mb": memory.rss / 1e6, "at_peak": memory.at_peak, **found}  # fmt: skip
    finally:
        shutil.rmtree(work)


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| GB of FASTA | records | wall s | CPU s | CPU s / GB | peak PSS MB | peak RSS MB | clusters | "
             "held-out rows searched, leaking | planted found |", "|" + "---:|" * 10]  # fmt: skip
    for x in results:
        audit, search = x["audit"], x["audit"]["search"]
        searched = search.get("held_out_rows_searched", x["splits"]["validation"] + x["splits"]["test"])
        lines.append(
            f"| {x['gb']:g} | {x['records']:,} | {x['wall_s']:.0f} | {x['cpu_s']:.0f} | "
            f"{x['cpu_s'] / x['gb']:.0f} | {x['pss_mb']:.0f} | {x['rss_mb']:.0f} | {x['clusters']:,} | "
            f"{searched:,}, {audit['leaking_rows']} | {search['planted_found']} of {search['planted']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--gb", type=float, nargs="+", default=[1.0, 2.0, 5.0], help="10^9 bytes of FASTA")
    option("--engine", choices=("local", "dask"), default="local")
    option("--work", type=Path, default=Path(tempfile.gettempdir()), help="folder with room")
    option("--json", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    results: list[dict[str, Any]] = []
    for gb in args.gb:
        results.append(measure(gb, args))
        print(json.dumps(results[-1]), file=sys.stderr)
        if args.json:
            args.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2))
    print(f"{machine}, engine {args.engine}\n\n{table(results)}")


if __name__ == "__main__":
    main()
