"""OAS data units: seqloom against pandas and polars, in one run.

    python benchmarks/data_oas.py --unit UNIT.csv.gz [--mb 200] [--repeats 3] [--work DIR] [--json FILE]

Every measurement is a fresh process (interpreter start and imports included), and the tools take turns, so
that a busy machine slows all of them. The input is the given unit's table, repeated under the same metadata
until it has `--mb` (10^6 bytes uncompressed), as two gzip members.

What each does: `seqloom` reads, keeps productive chains, locates regions and gives sequences, features and
labels in Arrow, in bounded memory; `seqloom cds` also finds the reading frames, cuts to whole codons and
compares translations; `pandas` reads the table (`header=1`) and keeps the sequences of productive rows, once
with all columns and once with `usecols`, `polars` the same with its own reader: these only read. `pandas same
work` also locates the regions by IMGT gaps and coordinates and collects the labels, row by row, as scripts
do. Prints a Markdown table of medians and, with `--json`, writes every measurement.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOOLS = ("seqloom", "seqloom cds", "pandas", "pandas usecols", "pandas same work", "polars")
_COLUMNS = ["sequence", "productive"]
_LABELS = ["locus", "v_call", "d_call", "j_call", "junction_aa", "cdr3_aa", "vj_in_frame", "stop_codon",
           "Redundancy", "ANARCI_status"]  # fmt: skip
_SEGMENTS = [f"{segment}_sequence_{end}" for segment in "vdj" for end in ("start", "end")]
_IMGT = {"FR1": 78, "CDR1": 114, "FR2": 165, "CDR2": 195, "FR3": 312}


# --- the work of each tool, run in a process of its own ---------------------------------------------------


def run_seqloom(path: str, take: str) -> int:
    from biodata.curate.rules import RuleLog
    from biodata.io import open_records
    from biodata.read_config import ReadConfig

    config = ReadConfig(alphabet="dna", take=take)  # pyright: ignore[reportArgumentType]
    return sum(batch.num_rows for batch in open_records(Path(path), "oas", config=config, log=RuleLog()))


def run_pandas(path: str, columns: list[str] | None) -> int:
    import pandas

    frame = pandas.read_csv(path, header=1, compression="gzip", usecols=columns, low_memory=False)
    return len(frame.loc[frame["productive"] == "T", "sequence"])


def run_pandas_same_work(path: str) -> int:
    import pandas
    import pyarrow as pa

    names = [*_COLUMNS, *_LABELS, "sequence_alignment", "junction", *_SEGMENTS]
    frame = pandas.read_csv(path, header=1, compression="gzip", usecols=names, low_memory=False)
    rows = []
    kept: Any = frame[frame["productive"] == "T"]
    for row in kept.to_dict("records"):
        gapped, features, start = row["sequence_alignment"], [], 0
        for name, end in _IMGT.items():
            end = len(gapped[:end].replace(".", "").replace("-", ""))
            features.append((name, start, end))
            start = end
        at = row["sequence"].find(row["junction"])
        if at >= 0:
            features.append(("CDR3", at + 3, at + len(row["junction"]) - 3))
        for segment in "vdj":
            first, last = row[f"{segment}_sequence_start"], row[f"{segment}_sequence_end"]
            if first == first and last == last:
                features.append((segment.upper(), int(first) - 1, int(last)))
        found = [{"type": kind, "start": a, "end": b} for kind, a, b in features]
        labels = [{"name": k, "text": str(row[k])} for k in _LABELS if row[k] == row[k]]
        rows.append({"sequence": row["sequence"], "features": found, "labels": labels})
    return pa.Table.from_pylist(rows).num_rows


def run_polars(path: str) -> int:
    import polars

    frame = polars.read_csv(path, skip_rows=1, infer_schema_length=0)
    return len(frame.filter(polars.col("productive") == "T")["sequence"])


def work(tool: str, path: str) -> int:
    """Rows that a tool kept."""
    if tool.startswith("seqloom"):
        return run_seqloom(path, "cds" if tool.endswith("cds") else "records")
    if tool == "pandas same work":
        return run_pandas_same_work(path)
    if tool.startswith("pandas"):
        return run_pandas(path, _COLUMNS if tool.endswith("usecols") else None)
    return run_polars(path)


# --- measuring --------------------------------------------------------------------------------------------


def grow(unit: Path, out: Path, megabytes: float) -> int:
    """Writes the unit's rows again and again; returns the uncompressed bytes of the table."""
    with gzip.open(unit, "rt", newline="") as handle:
        reader = csv.reader(handle)
        metadata = next(reader)[0]
        table = handle.read()
    header, _, rows = table.partition("\n")
    times = max(1, round(megabytes * 1e6 / len(rows)))
    about = json.loads(metadata) | {"Unique sequences": rows.count("\n") * times}
    line = io.StringIO()
    csv.writer(line).writerow([json.dumps(about)])
    with open(out, "wb") as plain:
        plain.write(gzip.compress(line.getvalue().encode(), mtime=0))
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=plain, mtime=0) as packed:
            packed.write(header.encode() + b"\n")
            for _ in range(times):
                packed.write(rows.encode())
    return len(header) + 1 + len(rows) * times


def measure(tool: str, path: Path) -> dict[str, Any]:
    """Wall and CPU seconds, peak memory and rows of one process."""
    started = time.perf_counter()
    script = [sys.executable, __file__, "--one", tool, str(path)]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env={**os.environ})
    return {"tool": tool, "wall": time.perf_counter() - started, **json.loads(done.stdout)}


def table(results: list[dict[str, Any]], size: int) -> str:
    """Medians as Markdown."""
    lines = ["| tool | rows kept | CPU s | wall s | MB/s (CPU) | peak MB |", "|---|---|---|---|---|---|"]
    for tool in TOOLS:
        runs = [r for r in results if r["tool"] == tool]
        if not runs:
            continue
        cpu, wall, peak = (statistics.median(r[key] for r in runs) for key in ("cpu", "wall", "peak_mb"))
        rate = size / 1e6 / cpu
        lines.append(f"| {tool} | {runs[0]['rows']} | {cpu:.1f} | {wall:.1f} | {rate:.0f} | {peak:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--unit", type=Path)
    parser.add_argument("--mb", type=float, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.one:
        rows = work(*options.one)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        result = {"rows": rows, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
        print(json.dumps(result))
        return
    if options.unit is None:
        parser.error("--unit is needed: an OAS data unit")
    with tempfile.TemporaryDirectory() as scratch:
        path = (options.work or Path(scratch)) / "unit.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = grow(options.unit, path, options.mb)
        results = [measure(tool, path) for _ in range(options.repeats) for tool in TOOLS]
    print(f"{size / 1e6:.0f} MB uncompressed\n\n{table(results, size)}")
    if options.json:
        options.json.write_text(json.dumps({"bytes": size, "results": results}, indent=1))


if __name__ == "__main__":
    main()
