"""Families of sequence metrics on whole genomes: CPU seconds and peak memory; prints a table, writes JSON.

    SEQLOOM_REAL_DATA=... python benchmarks/eval_genomes.py [--families repeats wen] [--json FILE]

Genomes of 1.2, 4.6 and 12 Mb, each family in a fresh process after a warm-up on 20 kb, which pays for the
imports; "reading" is what a process needs before any metric. Families that take coding sequences, training
sequences or many sequences say nothing of one genome.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval_metrics import one_thread

FAMILIES = ("composition", "skew", "kmer", "fcgr", "entropy", "periodicity", "repeats", "mutual-information",
            "wen", "persistence", "c4dr", "genes")  # fmt: skip
READING = "reading"
_COLI, _YEAST = "GCF_000005845.2_ASM584v2_genomic.fna.gz", "sacCer3.fa.gz"
GENOMES = {
    "E. coli, first 1.2 Mb": (_COLI, 1_200_000),
    "E. coli, 4.6 Mb": (_COLI, 0),
    "yeast, 12 Mb": (_YEAST, 0),
}


def main() -> None:
    arguments = options().parse_args()
    if arguments.family:
        print(json.dumps(family_on(arguments.family, Path(arguments.genome), arguments.letters)))
        return
    genomes = whole_genomes(arguments.families)
    if arguments.json:
        arguments.json.write_text(json.dumps({"genomes": genomes}, indent=2) + "\n", encoding="utf-8")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="FAMILY")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--family", help=argparse.SUPPRESS)
    parser.add_argument("--genome", help=argparse.SUPPRESS)
    parser.add_argument("--letters", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def whole_genomes(families: Sequence[str]) -> list[dict[str, Any]]:
    """Features of every family on genomes of three lengths, a process each."""
    folder = Path(
        os.environ.get("SEQLOOM_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    )
    rows = []
    print("\n| family | " + " | ".join(f"{name}: CPU s | peak MB" for name in GENOMES) + " |")
    print("|---|" + "---|" * (2 * len(GENOMES)), flush=True)
    for family in (READING, *families):
        found = {
            name: ask_family(family, folder / "genome" / file, letters)
            for name, (file, letters) in GENOMES.items()
        }
        cells = " | ".join(f"{f['seconds']:.2f} | {f['peak_mb']:.0f}" for f in found.values())
        print(f"| {family} | {cells} |", flush=True)
        rows.append({"family": family, **found})
    return rows


def ask_family(family: str, genome: Path, letters: int) -> dict[str, float]:
    task = ["--family", family, "--genome", str(genome), "--letters", str(letters)]
    environment = one_thread() | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run([sys.executable, __file__, *task], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{family} on {genome.name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def family_on(family: str, genome: Path, letters: int) -> dict[str, float]:
    """CPU seconds of a family's features of a genome (and of one comparison), and the peak of the process."""
    from bioeval.metrics.sequence_set import SequenceSet
    from bioeval.sequences.inputs import read_set

    start = time.process_time()
    sequences = read_set(genome, split="test", limit=0, seed=0).sequences
    if letters:
        sequences = SequenceSet.from_strings([sequences.strings()[0][:letters]])
    if family != READING:
        run_family(family, SequenceSet.from_strings([sequences.sequence(0)[:20_000]]))
        start = time.process_time()
        run_family(family, sequences)
    return {"seconds": time.process_time() - start, "peak_mb": peak_megabytes()}


def run_family(family: str, sequences: Any) -> None:
    """Features, once, and their comparison with themselves."""
    import numpy as np

    from bioeval.metrics import METRICS
    from bioeval.metrics.setting import Setting

    setting = Setting(generated=sequences, reference=sequences, both_strands=family in ("kmer", "fcgr"))
    every = np.ones((1, len(sequences)), dtype=bool)
    for metric in METRICS.load(family).of_run(setting):
        features = metric.features(sequences)
        metric.compare(features, features, rows=every, others=every)


def peak_megabytes() -> float:
    """Of this process; `getrusage` would give that of the process it was forked from, where that is more."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
