"""GenBank with all annotation: seqloom against Biopython, gb-io, `datasets` and biobear, in one run.

    python benchmarks/data_genbank.py [--copies 12] [--repeats 3] [--tools ...] [--peer-python PYTHON]
                                      [--work DIR] [--json FILE]

Input: real files of the folder `SEQLOOM_REAL_DATA` names (a plastid, a bacterium, a yeast chromosome,
plasmids, influenza segments, orchid genes), one after the other in one plain file, `--copies` times. Every
measurement is a fresh process; the clock starts after the imports, and the tools take turns. seqloom gives
Arrow batches with sequence, every feature with location and all qualifiers, organism, taxon and labels of the
header; Biopython gives `SeqRecord`s with the same; gb-io gives its records, of which nothing is looked at;
`datasets` and biobear give tables. Prints a Markdown table of medians. 1 MB is 10^6 bytes of file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

FILES = (
    "NC_000932.gb.gz", "NC_005816.gb", "Mmycoides_Afade_multi_record.gbff.gz", "yeast_chrI_NC_001133.gb.gz",
    "influA_California.gbff", "influA_Korea.gbff", "influA_NewYork.gbff", "arab1.gb.gz", "ls_orchid.gbk.gz",
)  # fmt: skip
LABELS = {
    "seqloom": "seqloom, to Arrow with all features",
    "biopython": "Biopython SeqIO, SeqRecords",
    "gb_io": "gb-io, its records only",
    "datasets": "HF `datasets` genbank builder",
    "biobear": "biobear, to Arrow",
}


def seqloom(file: str):
    from biodata.io.genbank import read_genbank

    return lambda: sum(batch.num_rows for batch in read_genbank(file))


def biopython(file: str):
    from Bio import SeqIO

    warnings.simplefilter("ignore")
    return lambda: sum(1 for _ in SeqIO.parse(file, "genbank"))


def gb_io(file: str):
    import gb_io

    return lambda: sum(1 for _ in gb_io.iter(file))


def datasets(file: str):
    from datasets import load_dataset

    cache = tempfile.mkdtemp(dir=os.path.dirname(file))
    return lambda: len(load_dataset("genbank", data_files=[file], split="train", cache_dir=cache))


def biobear(file: str):
    import biobear

    session = biobear.connect()
    return lambda: sum(
        batch.num_rows for batch in session.read_genbank_file(file).to_arrow_record_batch_reader()
    )


def child(tool: str, file: str) -> None:
    """One measurement: rows, wall and CPU seconds, after the imports."""
    read = globals()[tool](file)
    wall, cpu = time.perf_counter(), _cpu()
    rows = read()
    print(json.dumps({"rows": rows, "wall_s": time.perf_counter() - wall, "cpu_s": _cpu() - cpu}))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(tool: str, file: Path, python: str) -> dict[str, float] | str:
    """A measurement in a process of its own, or the last line of what went wrong."""
    own = tool == "seqloom"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1]) if own else ""
    command = [sys.executable if own else python, __file__, "--child", tool, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:200]
    return json.loads(done.stdout.splitlines()[-1])


def make_input(folder: Path, work: Path, copies: int) -> Path:
    """The real files, one after the other, `copies` times."""
    from biodata.io.streams import open_binary

    path = work / f"genbank-{copies}.gb"
    texts = []
    for name in FILES:
        with open_binary(folder / "genbank" / name) as stream:
            texts.append(stream.read().rstrip(b"\n") + b"\n")
    path.write_bytes(b"".join(texts) * copies)
    return path


def table(runs: dict[str, list[dict[str, float]]], failed: dict[str, str], mb: float) -> str:
    lines = ["| tool | records | records/s | MB/s | CPU ms/MB | seqloom is faster by | its CPU is |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    middle = {
        tool: {key: statistics.median(run[key] for run in found) for key in ("rows", "wall_s", "cpu_s")}
        for tool, found in runs.items() if found
    }  # fmt: skip
    ours = middle.get("seqloom")
    for tool, x in middle.items():
        ratio = (
            f"{x['wall_s'] / ours['wall_s']:.2f} x | {ours['cpu_s'] / x['cpu_s']:.2f} x" if ours else " | "
        )
        lines.append(f"| {LABELS[tool]} | {x['rows']:,.0f} | {x['rows'] / x['wall_s']:,.0f} "
                     f"| {mb / x['wall_s']:.1f} | {1000 * x['cpu_s'] / mb:.1f} | {ratio} |")  # fmt: skip
    lines += [f"| {LABELS[tool]} | not measured: {why} | | | | | |" for tool, why in failed.items()]
    return "\n".join(lines)


def main() -> None:
    args = arguments()
    if args.child:
        child(*args.child)
        return
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        file = make_input(args.data, Path(work), args.copies)
        runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in args.tools}
        failed: dict[str, str] = {}
        for repeat in range(args.repeats):
            for tool in [tool for tool in args.tools if tool not in failed]:
                found = measure(tool, file, args.peer_python)
                print(f"{repeat + 1}/{args.repeats} {tool}: {found}", file=sys.stderr)
                if isinstance(found, str):
                    failed[tool] = found
                else:
                    runs[tool].append(found)
        mb = file.stat().st_size / 1e6
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; {mb:.1f} MB of GenBank; medians of {args.repeats} interleaved runs\n")
    print(table(runs, failed, mb))
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine, "mb": mb, "runs": runs, "failed": failed}, indent=2)
        )


def arguments() -> argparse.Namespace:
    real = os.environ.get("SEQLOOM_REAL_DATA")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--data", type=Path, default=Path(real) if real else None, help="default: SEQLOOM_REAL_DATA")
    option("--copies", type=int, default=12)
    option("--repeats", type=int, default=3)
    option("--tools", nargs="+", choices=tuple(LABELS), default=list(LABELS))
    option("--peer-python", default=sys.executable, help="interpreter that has the peers")
    option("--work", type=Path, help="where the input is made; default: the system's folder for such files")
    option("--json", type=Path)
    option("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.child and args.data is None:
        parser.error("--data or SEQLOOM_REAL_DATA must name the folder of real files")
    return args


if __name__ == "__main__":
    main()
