"""Encoding speed against `tokenizers.encode_batch`, interleaved in one process, identical ids asserted.

    python benchmarks/encode.py [--letters 20000000] [--row 1000] [--repeats 5] [--json FILE]

Prints a Markdown table (megabytes of sequence per second of wall time, median of the repeats) and, with
`--json`, writes all timings. Peers: `encode_batch` and the faster `encode_batch_fast` on lists of strings,
with as many Rayon threads as stated. Ours gets an Arrow column and stays on one thread in every line; the
peer's list of strings is made outside the clock. Overlapping 6-mers cannot be expressed in `tokenizers`: the
peer gets text in which they are written out with spaces (as for DNABERT), timed with and without writing it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers

from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import nuc
from biodata.tokenizers.protocol import Encoded, Tokenizer

PEERS = ("encode_batch", "encode_batch_fast")


def make_rows(letters: int, row: int, seed: int = 0) -> list[str]:
    """Random rows of `row` letters give or take 20 %, of any remainder by three; 0.1 % of letters are N."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(int(0.8 * row), int(1.2 * row) + 1, max(letters // row, 1))
    text = np.frombuffer(b"ACGT", np.uint8)[generator.integers(0, 4, int(lengths.sum()))]
    text[generator.random(len(text)) < 0.001] = ord("N")
    data = text.tobytes().decode()
    ends = np.cumsum(lengths).tolist()
    return [data[start:stop] for start, stop in zip([0, *ends], ends)]


def write_out(tokenizer: KmerTokenizer, row: str) -> str:
    """The k-mers of a row with spaces, as DNABERT wants its text; a k-mer with N as `<unk>`."""
    k, stride = tokenizer.k, tokenizer.stride
    words = [row[i : i + k] for i in range(0, len(row) - k + 1, stride)]
    return " ".join("<unk>" if "N" in word else word for word in words)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of a call, and what it gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def assert_equal(ours: Encoded, theirs: list[tokenizers.Encoding]) -> None:
    """Stops unless every id of every row is the same."""
    flat = np.concatenate([np.array(e.ids, ours.ids.dtype) for e in theirs])
    sizes = np.array([len(e.ids) for e in theirs])
    assert np.array_equal(ours.ids, flat), "ids differ"
    assert np.array_equal(np.diff(ours.offsets), sizes), "row lengths differ"


def compare(name: str, tokenizer: Tokenizer, rows: list[str], repeats: int) -> dict[str, Any]:
    """Times both on the same rows, one after the other in turn."""
    portable = tokenizers.Tokenizer.from_str(tokenizer.portable.to_str())
    column = pa.array(rows, pa.large_string())
    writing, text = 0.0, rows
    if isinstance(tokenizer, KmerTokenizer) and tokenizer.overlap:
        writing, text = timed(lambda kmers=tokenizer: [write_out(kmers, row) for row in rows])
    seconds: dict[str, list[float]] = {"seqloom": [], **{peer: [] for peer in PEERS}}
    for _ in range(repeats):
        taken, ours = timed(lambda: tokenizer.encode_column(column))
        seconds["seqloom"].append(taken)
        for peer in PEERS:
            taken, theirs = timed(lambda peer=peer: getattr(portable, peer)(text))
            seconds[peer].append(taken)
            assert_equal(ours, theirs)
            del theirs
    return {"name": name, "letters": sum(map(len, rows)), "rows": len(rows), "seconds": seconds,
            "writing_seconds": writing}  # fmt: skip


CASES: dict[str, Callable[[], Tokenizer]] = {
    "codon": codon,
    "nuc": nuc,
    "6mer": six_mer,
    "6mer, overlap 5": lambda: KmerTokenizer("kmer", 6, overlap=5),
}


def run_with_threads(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All cases with this process's number of Rayon threads."""
    results = []
    for name, build in CASES.items():
        # Spaced 6-mers are seven times the text and a Python object each at the peer: a fifth of the letters.
        letters = options.letters // 5 if "overlap" in name else options.letters
        results.append(compare(name, build(), make_rows(letters, options.row), options.repeats))
    return results


def table(results: dict[int, list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    lines = [
        "| tokenizer | threads of the peer | seqloom, 1 thread, MB/s | `encode_batch` MB/s | ratio "
        "| `encode_batch_fast` MB/s | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for threads, cases in results.items():
        for case in cases:
            speed = {n: case["letters"] / 1e6 / statistics.median(s) for n, s in case["seconds"].items()}
            cells = [f"{case['name']}", f"{threads}", f"{speed['seqloom']:.0f}"]
            for peer in PEERS:
                cells += [f"{speed[peer]:.1f}", f"{speed['seqloom'] / speed[peer]:.0f}x"]
            lines.append("| " + " | ".join(cells) + " |")
            if case["writing_seconds"]:
                spaced = statistics.median(case["seconds"][PEERS[1]]) + case["writing_seconds"]
                rate = case["letters"] / 1e6 / spaced
                ratio = speed["seqloom"] / rate
                lines.append(f"| … k-mers written out too | {threads} | | | | {rate:.1f} | {ratio:.0f}x |")
    return "\n".join(lines)


def in_own_process(threads: int, arguments: list[str]) -> list[dict[str, Any]]:
    """Rayon reads its number of threads once a process: one process for each number."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads),
                   "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}  # fmt: skip
    command = [sys.executable, __file__, *arguments, "--inner"]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--letters", type=int, default=20_000_000, help="letters of sequence")
    parser.add_argument("--row", type=int, default=1000, help="mean letters of a row")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of the peer")
    parser.add_argument("--json", type=Path, help="write all timings here")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(run_with_threads(options)))
        return
    arguments = [
        "--letters",
        str(options.letters),
        "--row",
        str(options.row),
        "--repeats",
        str(options.repeats),
    ]
    results = {threads: in_own_process(threads, arguments) for threads in options.threads}
    print(table(results))
    if options.json:
        versions = {"python": platform.python_version(), "tokenizers": tokenizers.__version__,
                    "numpy": np.__version__, "pyarrow": pa.__version__}  # fmt: skip
        options.json.write_text(json.dumps({"versions": versions, "threads": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
