"""Training steps on real coding sequences: packed rows against three ways of padding.

    python benchmarks/packed_step.py [--rounds 5] [--threads 2] [--clock wall|cpu] [--data DIR] [--model gpt2]
                                     [--sequences 48] [--json F]

Every contender reads the same sequences once: drawn from the first 20,000 of every species in DIR (FASTA,
default `SEQLOOM_REAL_DATA`/cds, files `calm_validation_*`), as codons, those longer than the context of 1024
cut into windows. The model is the 8M GPT of `train_step.py` (10 layers x 256) or another of that shape; a
step is `biotrain.step.train_step`, float32, CPU, on 8 rows.

packed    rows of 1024 filled by `biotrain.packing`: `seqloom train --pack true`
sorted    8 sequences of like lengths, padded to the longest: what `seqloom train` does otherwise
padded    8 sequences as drawn, padded to the longest: what a plain data loader does
full      8 sequences padded to the context, as HELM does (here padding is learned too, at no other cost)

Tokens per second count real tokens only. How full the rows are is printed too.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from paired import Step, compare, options, save

CONTENDERS = ("packed", "sorted", "padded", "full")
CONTEXT, ROWS, FIRST = 1024, 8, 20_000
SHAPE: dict[str, Any] = {"layers": 10, "width": 256, "heads": 4}


def coding_sequences(folder: Path, count: int) -> list[str]:
    """Sequences of whole codons, drawn of all species alike."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    found: list[str] = []
    for path in sorted(folder.glob("calm_validation_*.fasta*")):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as handle:
            every = [sequence.upper() for _, (_, sequence) in zip(range(FIRST), SimpleFastaParser(handle))]
        found += [s for s in every if len(s) % 3 == 0 and set(s) <= set("ACGT")]
    chosen = np.random.default_rng(0).choice(len(found), count, replace=False)
    return [found[i] for i in chosen]


class Drawn:
    """The same sequences in every split."""

    def __init__(self, sequences: list[str]) -> None:
        from biodata.schema import BioSequence, table_from_records

        self.rows = table_from_records(
            [
                BioSequence(id=f"s{i}", sequence=s, alphabet="dna", split="train")
                for i, s in enumerate(sequences)
            ]
        )

    def table(self, split: str, columns: Any = None) -> Any:
        """The rows."""
        return self.rows.select(list(columns or self.rows.column_names))


def parts_of(name: str, sequences: list[str], model: str) -> Any:
    """What `seqloom train` would train."""
    import torch

    from biodata.tokenizers import TokenizerConfig, train_tokenizer
    from biotrain.config import TrainConfig
    from biotrain.device import choose_hardware
    from biotrain.models import ModelConfig
    from biotrain.parts import build_parts

    hardware = choose_hardware(device="cpu", precision="fp32", threads=torch.get_num_threads())
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        (folder / "one.fasta").write_text(f">one\n{sequences[0]}\n")
        train_tokenizer(TokenizerConfig(kind="codon", data=folder / "one.fasta", out=folder / "tokenizer"))
        config = TrainConfig(
            data=folder, tokenizer=folder / "tokenizer", out=folder / "run", pack=name == "packed",
            model=ModelConfig(name=model, context=CONTEXT, **SHAPE), batch_size=ROWS, precision="fp32",
            device="cpu",
        )  # fmt: skip
        return build_parts(config, Drawn(sequences), hardware)


def make(name: str, sequences: list[str], model: str) -> Step:
    """A contender's step: all sequences once, 8 rows at a time."""
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.step import train_step

    keep_freed_memory()
    parts = parts_of(name, sequences, model)
    order = np.arange(len(parts.train))
    if name == "sorted":
        order = order[np.argsort(-parts.train.length, kind="stable")]
    batches = [parts.train.rows(part) for part in np.split(order, range(ROWS, len(order), ROWS))]
    real = sum(int(rows.mask.sum()) for rows in batches)
    if name == "full":
        batches = [to_context(rows) for rows in batches]
    places = sum(rows.mask.size if rows.counts is None else len(rows.counts) * CONTEXT for rows in batches)
    print(f"{name}: rows {real / places:.1%} full", flush=True)

    def step() -> float:
        return sum(train_step(parts, rows, 1).loss.item() for rows in batches)

    return step


def to_context(rows: Any) -> Any:
    """The same as wide as the context, padding being read like tokens."""
    ids = np.pad(rows.ids, ((0, 0), (0, CONTEXT - rows.ids.shape[1])))
    return rows._replace(ids=ids, mask=np.ones(ids.shape, bool))


def tokens_of(sequences: list[str]) -> int:
    """Codons, `<bos>` and `<eos>`; and the token that a further window repeats."""
    sizes = [len(s) // 3 + 2 for s in sequences]
    return sum(size + max(0, -(-(size - 1) // (CONTEXT - 1)) - 1) for size in sizes)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEQLOOM_REAL_DATA", ".")) / "cds")
    parser.add_argument("--model", default="gpt2")
    parser.add_argument("--sequences", type=int, default=48)
    arguments = parser.parse_args()
    sequences = coding_sequences(arguments.data, arguments.sequences)
    contender = partial(make, sequences=sequences, model=arguments.model)
    result = compare(contender, CONTENDERS, arguments, tokens=tokens_of(sequences))
    save(result, arguments.json)


if __name__ == "__main__":
    main()
