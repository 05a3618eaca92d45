"""Sequence metrics against the plain ways of computing them; prints Markdown, writes JSON.

Usage: python benchmarks/metrics.py [--letters N] [--out FILE.json]

Each line runs in this process, one after the other, best of three, CPU seconds of the process
(`time.process_time`), so that a busy machine disturbs ratios little.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from biodata.files import write_json
from bioeval.metrics.cgr import cgr_points, fcgr
from bioeval.metrics.kmer import kmer_counts
from bioeval.metrics.persistence import persistence_diagrams, sliced_wasserstein
from bioeval.metrics.sequence_set import SequenceSet

K = 6
POINTS = (500, 1000, 2000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=1_000_000, help="letters of the random sequence")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    arguments = parser.parse_args()
    codes = np.random.default_rng(0).integers(0, 4, arguments.letters)
    text = np.frombuffer(b"ACGT", np.uint8)[codes].tobytes().decode()
    rows = [*counting(text), *drawing(text), *topology()]
    print_table(rows)
    if arguments.out:
        write_json(arguments.out, {"letters": arguments.letters, "k": K, "rows": rows})


def counting(text: str) -> list[dict[str, Any]]:
    """k-mer counts: ours, a Counter over slices, the count_overlap way of Biopython."""
    from Bio.Seq import Seq

    found = kmer_counts(SequenceSet.from_strings([text]), K)
    plain = counter(text)
    assert {kmer: n for kmer, n in zip(kmers(K), found.tolist()) if n} == dict(plain)
    ours = seconds(lambda: kmer_counts(SequenceSet.from_strings([text]), K))
    # counting all 4^k words one by one is linear in 4^k: a part of them is timed and scaled
    words = kmers(K)[:: 4**K // 16]
    sequence = Seq(text)
    overlaps = (
        seconds(lambda: [sequence.count_overlap(word) for word in words], repeats=1) * 4**K / len(words)
    )
    return compared(
        f"{K}-mer counts of {len(text):,} letters", ours,
        {"Python Counter loop": seconds(lambda: counter(text), repeats=1),
         f"Biopython Seq.count_overlap (scaled from {len(words)} of {4**K} words)": overlaps},
    )  # fmt: skip


def drawing(text: str) -> list[dict[str, Any]]:
    """FCGR and the CGR walk: ours against letter-by-letter loops."""
    codes = SequenceSet.from_strings([text]).row_codes(0)
    sample = text[: min(len(text), 200_000)]
    scale = len(text) / len(sample)
    matrix = fcgr(kmer_counts(SequenceSet.from_strings([sample]), K))
    assert np.array_equal(matrix, loop_fcgr(sample))
    assert np.array_equal(cgr_points(codes[:5000]), np.array(loop_walk(text[:5000])))
    return [
        *compared(f"FCGR, k = {K}, {len(text):,} letters",
                  seconds(lambda: fcgr(kmer_counts(SequenceSet.from_strings([text]), K))),
                  {"Python loop": seconds(lambda: loop_fcgr(sample), repeats=1) * scale}),
        *compared(f"CGR walk, {len(text):,} letters", seconds(lambda: cgr_points(codes)),
                  {"Python loop": seconds(lambda: loop_walk(sample), repeats=1) * scale}),
    ]  # fmt: skip


def topology() -> list[dict[str, Any]]:
    """H0 and H1 of a planar cloud, and the distance of two diagrams."""
    rows = []
    rng = np.random.default_rng(1)
    for size in POINTS:
        cloud, other = (cgr_points(rng.integers(0, 4, size).astype(np.uint8)) for _ in range(2))
        ours = seconds(lambda cloud=cloud: persistence_diagrams(cloud))
        rows += compared(f"persistent homology H0 + H1, {size:,} points", ours, rips(cloud))
        pair = persistence_diagrams(cloud)[1], persistence_diagrams(other)[1]
        rows += compared(f"sliced Wasserstein, {size:,} points",
                         seconds(lambda pair=pair: sliced_wasserstein(*pair)), persim(*pair))  # fmt: skip
    return rows


def rips(cloud: np.ndarray) -> dict[str, float | None]:
    """ripser.py on the same cloud (Vietoris-Rips: other values, the same use)."""
    if importlib.util.find_spec("ripser") is None:
        return {"ripser": None}
    from ripser import ripser  # pyright: ignore[reportMissingImports]

    return {"ripser": seconds(lambda: ripser(cloud, maxdim=1), repeats=1)}


def persim(first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """persim's sliced Wasserstein distance of the same diagrams."""
    if importlib.util.find_spec("persim") is None:
        return {"persim": None}
    from persim import sliced_wasserstein as theirs  # pyright: ignore[reportMissingImports]

    return {"persim": seconds(lambda: theirs(first, second, M=50), repeats=1)}


def kmers(k: int) -> list[str]:
    """All k-mers in alphabetical order."""
    words = [""]
    for _ in range(k):
        words = [word + letter for word in words for letter in "ACGT"]
    return words


def counter(text: str) -> Counter[str]:
    return Counter(text[i : i + K] for i in range(len(text) - K + 1))


def loop_walk(text: str) -> list[tuple[float, float]]:
    corner = {"A": (0, 0), "C": (0, 1), "G": (1, 1), "T": (1, 0)}
    x = y = 0.5
    walk = []
    for letter in text:
        a, b = corner[letter]
        x, y = (x + a) / 2, (y + b) / 2
        walk.append((x, y))
    return walk


def loop_fcgr(text: str) -> np.ndarray:
    side = 2**K
    matrix = np.zeros((side, side), dtype=np.int64)
    for x, y in loop_walk(text)[K - 1 :]:
        matrix[side - 1 - int(y * side), int(x * side)] += 1
    return matrix


def seconds(work: Callable[[], Any], *, repeats: int = 3) -> float:
    """Least CPU seconds of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def compared(task: str, ours: float, others: dict[str, float | None]) -> list[dict[str, Any]]:
    return [
        {"task": task, "seqloom_s": ours, "peer": peer, "peer_s": theirs,
         "ratio": None if theirs is None else theirs / ours}
        for peer, theirs in others.items()
    ]  # fmt: skip


def print_table(rows: list[dict[str, Any]]) -> None:
    print("| task | seqloom, CPU s | peer | peer, CPU s | ratio |\n|---|---|---|---|---|")
    for row in rows:
        theirs = "not run: not installed" if row["peer_s"] is None else f"{row['peer_s']:.4f}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}x"
        print(f"| {row['task']} | {row['seqloom_s']:.4f} | {row['peer']} | {theirs} | {ratio} |")


if __name__ == "__main__":
    main()
