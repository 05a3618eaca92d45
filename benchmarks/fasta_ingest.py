"""FASTA to validated, deduplicated Parquet: seqloom against `datasets` and biobear, in one run.

    python benchmarks/fasta_ingest.py [--mb 500] [--peer-mb 200] [--repeats 3] [--genomes FILE_OR_FOLDER ...]
                                      [--genome-mb 200] [--work DIR] [--json FILE]

Every measurement is a fresh process (interpreter start and imports included), and the tools take turns, so
that a busy machine slows all of them. Work of seqloom, `datasets` and `from_generator`: read, check every
letter against the IUPAC alphabet, drop exact duplicates by SHA-256, write Parquet; seqloom also hashes its
input for the manifest. biobear only turns FASTA into Arrow batches and throws them away. The two `datasets`
ways may be given a shorter file of the same kind (`--peer-mb`); rates are per MB of what a tool read, and
1 MB is 10^6 bytes of uncompressed FASTA.

Inputs, made with fixed seeds in `--work` and kept there: UniProt-like protein records, and the given genomes,
rotated at random points under new names as often as it takes to fill `--genome-mb` (so no two records are
equal), gzipped. Prints a Markdown table of medians and, with `--json`, writes every measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROTEIN = "ACDEFGHIKLMNPQRSTVWYUOBZJX"
DNA = "ACGTRYSWKMBDHVN"
TOOLS = ("seqloom", "datasets", "from_generator", "biobear")
LABELS = {
    "seqloom": "seqloom (read, check, dedupe, Parquet)",
    "datasets": "HF `datasets` fasta builder, same work",
    "from_generator": "HF `from_generator` over Biopython, same work",
    "biobear": "biobear, bare FASTA to Arrow",
}
Files = list[str]


# --- the work of each tool, run in a process of its own ---------------------------------------------------


def run_seqloom(files: Files, alphabet: str, out: Path) -> int:
    from biodata.ingest import ReadConfig, ingest

    return ingest(ReadConfig(inputs=tuple(files), alphabet=alphabet), out / "seqloom").rows  # pyright: ignore


def run_datasets(files: Files, alphabet: str, out: Path) -> int:
    from datasets import load_dataset

    # `record` would store every record's bytes a second time
    columns = ["id", "description", "sequence"]
    found = load_dataset("fasta", data_files=files, split="train", cache_dir=str(out), columns=columns)
    return _check_dedupe_write(found, alphabet, out)


def run_from_generator(files: Files, alphabet: str, out: Path) -> int:
    from datasets import Dataset, Features, Value

    features = Features(
        {"id": Value("string"), "description": Value("string"), "sequence": Value("large_string")}
    )
    found = Dataset.from_generator(
        _biopython, features=features, gen_kwargs={"files": files}, cache_dir=str(out)
    )
    return _check_dedupe_write(found, alphabet, out)


def run_biobear(files: Files, alphabet: str, out: Path) -> int:
    import biobear

    rows = 0
    for file in files:
        reader = biobear.connect().read_fasta_file(file).to_arrow_record_batch_reader()
        rows += sum(batch.num_rows for batch in reader)
    return rows


def _biopython(files: Files) -> Iterator[dict[str, str]]:
    import gzip

    from Bio.SeqIO.FastaIO import SimpleFastaParser

    for file in files:
        with gzip.open(file, "rt") if file.endswith(".gz") else open(file) as handle:
            for title, sequence in SimpleFastaParser(handle):
                id, _, description = title.partition(" ")
                yield {"id": id, "description": description, "sequence": sequence}


def _check_dedupe_write(found: Any, alphabet: str, out: Path) -> int:
    """What a careful user of `datasets` writes: one batched filter, then Parquet."""
    import hashlib

    letters = (PROTEIN if alphabet == "protein" else DNA).encode()
    seen: set[bytes] = set()

    def keep(sequences: list[str]) -> list[bool]:
        kept = []
        for sequence in sequences:
            data = sequence.upper().encode()
            digest = hashlib.sha256(data).digest()[:16]
            kept.append(not data.translate(None, letters) and digest not in seen)
            seen.add(digest)
        return kept

    found = found.filter(keep, batched=True, input_columns=["sequence"])
    found.to_parquet(str(out / "out.parquet"))
    return len(found)


# --- measuring --------------------------------------------------------------------------------------------


def measure(tool: str, files: Files, alphabet: str, work: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak MB of memory of one run of a tool, in a process of its own."""
    out = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    code = [sys.executable, __file__, "--child", tool, "--alphabet", alphabet, "--out", str(out), *files]
    quiet = {"HF_HOME": str(out), "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    environment = {**os.environ, **quiet, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    try:
        done = subprocess.run(code, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{tool} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(out)


def child(tool: str, files: Files, alphabet: str, out: Path) -> None:
    start = time.time() - _seconds_since_start()
    rows = globals()[f"run_{tool}"](files, alphabet, out)
    usage, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime + below.ru_utime + below.ru_stime
    peak = max(usage.ru_maxrss, below.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
    wall = time.time() - start
    print(json.dumps({"rows": rows, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak / 1e6}))


def _seconds_since_start() -> float:
    """Age of this process, so that starting the interpreter counts."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
        return float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def compare(case: str, files: dict[str, Files], alphabet: str, args: argparse.Namespace) -> dict[str, Any]:
    """Every tool in turn, `repeats` times; medians per MB of the text that a tool read."""
    runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in args.tools}
    for repeat in range(args.repeats):
        for tool in args.tools:
            found = measure(tool, files[tool], alphabet, args.work)
            runs[tool].append(found)
            print(f"{case} {repeat + 1}/{args.repeats} {tool}: {found}", file=sys.stderr)
    result = {}
    for tool, found in runs.items():
        mb = sum(text_mb(file) for file in files[tool])
        wall, cpu = (statistics.median(run[key] for run in found) for key in ("wall_s", "cpu_s"))
        result[tool] = {
            "mb": mb,
            "rows": found[0]["rows"],
            "mb_per_s": mb / wall,
            "cpu_ms_per_mb": 1000 * cpu / mb,
            "wall_s": wall,
            "cpu_s": cpu,
            "peak_mb": max(run["peak_mb"] for run in found),
            "runs": found,
        }
    return {"case": case, "alphabet": alphabet, "tools": result}


def table(result: dict[str, Any]) -> str:
    tools = result["tools"]
    ours = tools.get("seqloom")
    lines = [
        f"### {result['case']}",
        "",
        "| tool | MB read | rows out | MB/s | CPU ms/MB | peak MB | seqloom is faster by | its CPU is |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tool, x in tools.items():
        faster = f"{ours['mb_per_s'] / x['mb_per_s']:.2f} x" if ours else ""
        cheaper = f"{ours['cpu_ms_per_mb'] / x['cpu_ms_per_mb']:.2f} x" if ours else ""
        lines.append(
            f"| {LABELS[tool]} | {x['mb']:.0f} | {x['rows']:,} | {x['mb_per_s']:.1f} "
            f"| {x['cpu_ms_per_mb']:.2f} | {x['peak_mb']:.0f} | {faster} | {cheaper} |"
        )
    return "\n".join(lines)


def together(results: list[dict[str, Any]]) -> str:
    """All cases as one piece of work: seconds of wall and of CPU for each tool to do all of it."""
    lines = [
        "### All of it",
        "",
        "| tool | s | CPU s | seqloom is faster by | its CPU is |",
        "|---|---|---|---|---|",
    ]
    spent: dict[str, list[float]] = {}
    for tool in results[0]["tools"]:
        # a tool that was given a shorter file of the same kind is reckoned up to the whole one
        rows = [(r["tools"]["seqloom"]["mb"], r["tools"][tool]) for r in results]
        spent[tool] = [
            sum(mb / x["mb_per_s"] for mb, x in rows),
            sum(mb * x["cpu_ms_per_mb"] / 1000 for mb, x in rows),
        ]
    wall, cpu = spent["seqloom"]
    for tool, (s, c) in spent.items():
        lines.append(f"| {LABELS[tool]} | {s:.1f} | {c:.1f} | {s / wall:.2f} x | {cpu / c:.2f} x |")
    return "\n".join(lines)


# --- inputs -----------------------------------------------------------------------------------------------


def synthetic(work: Path, mb: int) -> Path:
    """A FASTA file of at least `mb` MB: records like those of UniProt (mean length 390)."""
    import numpy as np

    path = work / f"proteins-{mb}mb.fa"
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    residues = np.frombuffer(PROTEIN[:20].encode(), np.uint8)
    part, written, number = path.with_suffix(".part"), 0, 0
    with open(part, "wb") as out:
        while written < mb * 1_000_000:
            records = []
            for length in generator.gamma(2.0, 180, 2000).astype(int) + 30:
                text = residues[generator.integers(0, 20, length)].tobytes()
                head = b">sp|A%07d|protein %d of an organism OS=Homo sapiens OX=9606 GN=G PE=1" % (
                    number,
                    number,
                )
                records += [head, *(text[i : i + 60] for i in range(0, length, 60))]
                number += 1
            written += out.write(b"\n".join([*records, b""]))
    return part.rename(path)


def rotated(genomes: Files, work: Path, mb: int) -> Path:
    """The genomes again and again, every record cut at a random point and joined the other way round."""
    import gzip

    import numpy as np

    path = work / f"genomes-{mb}mb.fna.gz"
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    records = [(row["id"], row["sequence"]) for row in _biopython(genomes)]
    part, written, number = path.with_suffix(".part"), 0, 0
    with open(part, "wb") as plain, gzip.GzipFile("", "wb", 6, plain, mtime=0) as out:
        while written < mb * 1_000_000:
            id, sequence = records[number % len(records)]
            at = int(generator.integers(1, len(sequence)))
            text = sequence[at:] + sequence[:at]
            lines = [
                f">{id}.{number} rotated by {at}",
                *(text[i : i + 80] for i in range(0, len(text), 80)),
                "",
            ]
            written += out.write("\n".join(lines).encode())
            number += 1
    return part.rename(path)


def text_mb(file: str) -> float:
    """MB of a file's text."""
    import gzip

    if not file.endswith(".gz"):
        return os.path.getsize(file) / 1e6
    with gzip.open(file) as handle:
        return sum(len(block) for block in iter(lambda: handle.read(1 << 20), b"")) / 1e6


def genome_files(given: list[Path]) -> Files:
    patterns = ("*.fna.gz", "*.fa.gz")
    found = [file for path in given for file in ([path] if path.is_file() else
             (f for pattern in patterns for f in path.glob(pattern)))]  # fmt: skip
    return sorted(map(str, found))


def main() -> None:
    args = arguments()
    if args.child:
        child(args.child, args.files, args.alphabet, args.out)
        return
    args.work.mkdir(parents=True, exist_ok=True)
    results = []
    if args.mb:
        whole = [str(synthetic(args.work, args.mb))]
        short = [str(synthetic(args.work, min(args.peer_mb, args.mb)))]
        files = {tool: short if tool in ("datasets", "from_generator") else whole for tool in TOOLS}
        results.append(compare(f"{args.mb} MB of short protein records", files, "protein", args))
    if genomes := genome_files(args.genomes):
        made = str(rotated(genomes, args.work, args.genome_mb))
        files = {str(tool): [made] for tool in TOOLS}
        results.append(compare(f"{args.genome_mb} MB of real genomes, .gz", files, "dna", args))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; medians of {args.repeats} interleaved runs\n")
    print("\n\n".join(table(result) for result in results))
    if len(results) > 1 and "seqloom" in args.tools:
        print(f"\n{together(results)}")
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine, "repeats": args.repeats, "cases": results}, indent=2)
        )


def arguments() -> argparse.Namespace:
    real = os.environ.get("SEQLOOM_REAL_DATA")
    genomes = [Path(real) / "genome"] if real else []
    work = Path(tempfile.gettempdir()) / "seqloom-fasta-benchmark"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--mb", type=int, default=500, help="MB of short records; 0 leaves this case out")
    option("--peer-mb", type=int, default=200, help="MB of them for the two `datasets` ways")
    option("--repeats", type=int, default=3)
    option("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    option("--genomes", type=Path, nargs="*", default=genomes, help="default: genome/ of SEQLOOM_REAL_DATA")
    option("--genome-mb", type=int, default=200, help="MB of text made of them")
    option("--work", type=Path, default=work, help="folder for inputs, which are kept, and outputs")
    option("--json", type=Path)
    option("--child", choices=TOOLS, help=argparse.SUPPRESS)
    option("--alphabet", help=argparse.SUPPRESS)
    option("--out", type=Path, help=argparse.SUPPRESS)
    option("files", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
