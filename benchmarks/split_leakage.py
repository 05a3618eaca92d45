"""How many held-out rows a plain LinClust split leaves similar to training rows, and what the repair costs.

Run `python benchmarks/split_leakage.py [--out FILE.json] [--rows N]`; prints a Markdown table and
writes the same as JSON. Data: the folder in SEQLOOM_REAL_DATA, or `../shared/data`. Timings of bare LinClust
and of the whole
split are taken one after the other in one process with the same number of threads.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from biodata.audit import audit
from biodata.mmseqs import available_threads, find_mmseqs, normalised
from biodata.split import PURGED, SplitConfig, repair_again, split_rows

COLUMNS = ("data", "rows", "clusters", "joined", "largest", "plain_leak", "leak", "purged", "rounds",
           "linclust_s", "split_s", "audit_s", "ratio")  # fmt: skip


def fasta(*paths: Path) -> Iterator[str]:
    """Sequences of gzipped FASTA files."""
    for path in paths:
        with gzip.open(path, "rt") as handle:
            for record in handle.read().removeprefix(">").split("\n>"):
                yield "".join(record.split("\n")[1:])


def table_column(path: Path, name: str, delimiter: str = ",") -> Iterator[str]:
    """One column of a gzipped table."""
    with gzip.open(path, "rt") as handle:
        for row in csv.DictReader(handle, delimiter=delimiter):
            yield row[name]


def data_sets(data: Path) -> dict[str, tuple[str, Callable[[], Iterator[str]]]]:
    """Name to alphabet and sequences."""
    cds, protein, mrna, tcr = data / "cds", data / "protein", data / "mrna", data / "tcr"
    return {
        "CDS of seven species": ("dna", lambda: fasta(*sorted(cds.glob("calm_validation_*.fasta.gz")))),
        "E. coli genes": ("dna", lambda: fasta(cds / "ecoli_CP033092_genes.fasta.gz")),
        "proteins": ("protein", lambda: fasta(protein / "mmseqs2_regression_query.fasta.gz")),
        "antibody CDS": ("dna", lambda: table_column(mrna / "antibody_inframe.csv.gz", "cds")),
        "antibody reads (OAS)": ("dna", lambda: fasta(mrna / "antibody_oas_subsample_1000.fasta.gz")),
        "TCR CDR3": ("protein", lambda: table_column(tcr / "tcrdb_PRJNA298417.tsv.gz", "AASeq", "\t")),
    }  # fmt: skip


def bare_linclust(texts: list[str], folder: Path, threads: int) -> float:
    """Seconds of `mmseqs easy-linclust` at the same thresholds."""
    path = folder / "all.fasta"
    path.write_text("".join(f">{at}\n{text}\n" for at, text in enumerate(texts)))
    command = [
        str(find_mmseqs().binary),
        "easy-linclust",
        str(path),
        str(folder / "bare"),
        str(folder / "tmp"),
        "--min-seq-id",
        "0.9",
        "-c",
        "0.8",
        "--cov-mode",
        "0",
        "--threads",
        str(threads),
        "-v",
        "1",
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(name: str, alphabet: str, texts: list[str], threads: int) -> dict[str, Any]:
    """One row of the table."""
    config = SplitConfig(threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bare = bare_linclust(texts, work, threads)
        column = normalised(pa.array(texts, pa.large_string()), alphabet=alphabet)
        start = time.perf_counter()
        split = split_rows(column, config, alphabet=alphabet, workdir=work)
        split_seconds, audit_seconds, rounds = time.perf_counter() - start, 0.0, 0
        while True:
            start = time.perf_counter()
            found = audit(column, split.split, alphabet=alphabet, settings=config.audit_settings(),
                          workdir=work, stop_early=True)  # fmt: skip
            audit_seconds += time.perf_counter() - start
            if not len(found.leaks.query):
                break
            split, rounds = repair_again(split, found.leaks, config), rounds + 1
    info, plain = split.info, split.info["plain"]
    return {
        "data": name, "rows": len(texts), "clusters": info["clustering"]["clusters"],
        "joined": info["joined"]["clusters"],
        "largest": f"{info['joined']['largest_component'] / len(texts):.1%}",
        "plain_leak": f"{plain['leaking_rows'] / max(1, plain['held_out_rows']):.2%}",
        "leak": f"{len(found.leaking_rows) / max(1, int((split.split > 0).sum())):.2%}",
        "purged": int((split.split == PURGED).sum()), "rounds": rounds,
        "linclust_s": round(bare, 2), "split_s": round(split_seconds, 2), "audit_s": round(audit_seconds, 2),
        "ratio": round((split_seconds + audit_seconds) / bare, 1),
        "exact": found.exact, "search": found.search,
    }  # fmt: skip


def main() -> None:
    """Measures every data set and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("split_leakage.json"))
    parser.add_argument("--rows", type=int, default=0, help="rows sampled of each data set, 0 for all")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    options = parser.parse_args()
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("SEQLOOM_REAL_DATA", default))
    results = []
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for name, (alphabet, read) in data_sets(data).items():
        texts = [text for text in dict.fromkeys(read()) if text.isalpha()]
        if options.rows and len(texts) > options.rows:
            texts = random.Random(0).sample(texts, options.rows)
        row = measure(name, alphabet, texts, available_threads(options.threads))
        results.append(row)
        print("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |", flush=True)
    options.out.write_text(json.dumps({"mmseqs": find_mmseqs().version, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
