"""Learning byte pairs against the trainers of `tokenizers` and `sentencepiece`, each run in its own process.

    python benchmarks/data_bpe.py [--letters 8000000] [--piece 512] [--vocab 128 4096] [--fasta FILE]
                                  [--repeats 3] [--json FILE]

Runs take turns. Prints a Markdown table of the run with the least CPU time: wall and CPU seconds, peak
memory, letters per token on the same letters, and whether the merges are those of ours. Text: random
letters with the mix of bases of a bacterium, and repeats of earlier stretches; or the sequences of a
FASTA file (plain). The peers may use all cores (`sentencepiece` is called with one thread, as our kind
does), ours has one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("seqloom", "tokenizers", "sentencepiece")


def make_pieces(options: argparse.Namespace) -> list[str]:
    """Pieces of `options.piece` letters."""
    if options.fasta:
        from Bio.SeqIO.FastaIO import SimpleFastaParser

        with open(options.fasta) as handle:
            text = "".join(s.upper() for _, s in SimpleFastaParser(handle))
        text = "".join(c for c in text[: 2 * options.letters] if c in "ACGT")[: options.letters]
    else:
        random = np.random.default_rng(0)
        drawn = np.frombuffer(b"ACGT", np.uint8)[
            random.choice(4, options.letters, p=[0.24, 0.26, 0.26, 0.24])
        ]
        drawn = drawn.copy()
        for _ in range(options.letters // 5000):  # a tenth of the text comes again
            source, target = random.integers(0, options.letters - 500, 2)
            drawn[target : target + 500] = drawn[source : source + 500].copy()
        text = drawn.tobytes().decode()
    return [text[i : i + options.piece] for i in range(0, len(text), options.piece)]


def learn_seqloom(pieces: list[str], vocab: int) -> Any:
    """Ours."""
    from biodata.tokenizers.bpe import train_bpe

    return train_bpe(pieces, alphabet="dna", vocab_size=vocab)


def learn_tokenizers(pieces: list[str], vocab: int) -> Any:
    """The trainer of `tokenizers`, wrapped as ours."""
    from biodata.tokenizers.bpe import _by_trainer

    return _by_trainer(pieces, "dna", vocab)


def learn_sentencepiece(pieces: list[str], vocab: int) -> Any:
    """`sentencepiece`, as our kind of this name calls it."""
    from biodata.tokenizers.sentencepiece import train_sentencepiece

    return train_sentencepiece(pieces, alphabet="dna", vocab_size=vocab)


LEARN: dict[str, Callable[[list[str], int], Any]] = {
    "seqloom": learn_seqloom,
    "tokenizers": learn_tokenizers,
    "sentencepiece": learn_sentencepiece,
}


def one_run(options: argparse.Namespace) -> dict[str, Any]:
    """One trainer in this process."""
    pieces = make_pieces(options)
    LEARN[options.inner](["ACGTACGT"], 12)  # what is imported, is imported before the clock starts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    tokenizer = LEARN[options.inner](pieces, options.vocab[0])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown = pieces[:2000]
    tokens = sum(len(tokenizer.encode(p, add_special_tokens=False)) for p in shown)
    content = json.loads(tokenizer.portable.to_str())["model"]
    merges = hashlib.sha256(json.dumps(content["merges"]).encode()).hexdigest()
    return {"name": options.inner, "vocab": options.vocab[0], "wall": wall, "cpu": cpu, "mb": after / 1024,
            "mb_before": before / 1024, "letters_per_token": sum(map(len, shown)) / tokens, "merges": merges,
            "letters": sum(map(len, pieces))}  # fmt: skip


def in_own_process(name: str, vocab: int, options: argparse.Namespace) -> dict[str, Any]:
    """A run of one trainer, apart from what the others left in memory."""
    command = [sys.executable, __file__, "--inner", name, "--vocab", str(vocab)]
    command += ["--letters", str(options.letters), "--piece", str(options.piece)]
    command += ["--fasta", str(options.fasta)] if options.fasta else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(runs: list[dict[str, Any]]) -> str:
    """The fastest run of each as Markdown; ratios are theirs over ours."""
    lines = ["| trainer | vocabulary | wall s | CPU s | ours is faster: wall, CPU | peak MB | letters/token "
             "| merges of ours |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for vocab in dict.fromkeys(run["vocab"] for run in runs):
        best = {n: min((r for r in runs if (r["name"], r["vocab"]) == (n, vocab)), key=lambda r: r["cpu"])
                for n in NAMES}  # fmt: skip
        ours = best["seqloom"]
        for name, run in best.items():
            same = "yes" if run["merges"] == ours["merges"] else "no"
            ratio = f"{run['wall'] / ours['wall']:.1f}x, {run['cpu'] / ours['cpu']:.1f}x"
            cells = [name, vocab, f"{run['wall']:.1f}", f"{run['cpu']:.1f}", ratio, f"{run['mb']:.0f}"]
            cells += [f"{run['letters_per_token']:.3f}", same]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--letters", type=int, default=8_000_000)
    parser.add_argument("--piece", type=int, default=512, help="letters of a line of the trainers")
    parser.add_argument("--vocab", type=int, nargs="+", default=[128, 4096])
    parser.add_argument("--fasta", type=Path, help="real sequences instead of made ones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all runs here")
    parser.add_argument("--inner", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(one_run(options)))
        return
    runs = [in_own_process(name, vocab, options)
            for vocab in options.vocab for _ in range(options.repeats) for name in NAMES]  # fmt: skip
    print(table(runs))
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
