"""Embedding 1,000 real coding sequences, beside a padded transformers loop.

    SEQLOOM_REAL_DATA=... python benchmarks/embed_cds.py [--model bert] [--rounds 2] [--clock cpu] [--sorted]

Coding sequences of seven species, evenly drawn; codons; the exported `bert` or `gpt2` of 4 layers x 256
(context 1,024, 3.4 million random weights: speed does not depend on what they are), float32, batches of 16,
mean over real tokens. Theirs is what a script does: tokenizer with padding to the longest of the batch and
truncation at the context, `AutoModel`, mask, mean, in the order of the file (`transformers`); `--sorted` adds
the same sorted by length first. Ours is the embedder without its cache. Both have the same number of threads.
Every vector of a sequence that fits into the context must agree to 1e-4 of the largest number; ours also
embeds the rest of what is longer, which theirs cuts off. Each contender lives in a process of its own, warms
up with some batches, and they take turns. A round takes one to two minutes on two idle cores.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from paired import Step, compare, options, save

BATCH, CONTEXT = 16, 1024
WARM_UP = 4 * BATCH
CONTENDERS = ("seqloom", "transformers")
SORTED = "transformers sorted"


def coding_sequences(data: Path, count: int) -> list[str]:
    """Evenly drawn of all species."""
    found: list[str] = []
    for path in sorted((data / "cds").glob("*.fasta.gz")):
        with gzip.open(path, "rt") as stream:
            records = stream.read().split(">")[1:]
        found += ["".join(record.splitlines()[1:]).upper() for record in records]
    whole = [sequence for sequence in found if sequence and len(sequence) % 3 == 0]
    return [whole[i * len(whole) // count] for i in range(count)]


def export(folder: Path, name: str) -> None:
    """A run's `model/`."""
    from biodata.tokenizers import TokenizerConfig, train_tokenizer
    from biotrain.export import export_model
    from biotrain.models import ModelConfig, build_model

    (folder / "one.fasta").write_text(">one\nATGTAA\n")
    train_tokenizer(TokenizerConfig(kind="codon", data=folder / "one.fasta", out=folder / "tokenizer"))
    config = ModelConfig(name=name, layers=4, width=256, heads=4, context=CONTEXT)
    export_model(build_model(config, vocab_size=70, seed=0), folder / "tokenizer", folder / "model")


def make(name: str, folder: Path, sequences: Sequence[str]) -> Step:
    """Embeds all and keeps the vectors; gives the mean of those of sequences that fit into the context."""
    import numpy as np

    if name == CONTENDERS[0]:
        from bioeval.backends import EmbedSettings, open_model

        embed = open_model(str(folder), EmbedSettings(device="cpu", batch_size=BATCH)).embed
    else:
        embed = their_embed(folder, sort=name == SORTED)
    embed(sequences[:: max(len(sequences) // WARM_UP, 1)])  # also loads the model
    fits = fitting(sequences)

    def step() -> float:
        vectors = embed(sequences)[fits]
        np.save(folder / f"{name}.npy", vectors)
        return float(abs(vectors).mean())

    return step


def fitting(sequences: Sequence[str]) -> list[bool]:
    """Which sequences are no longer than the context."""
    return [len(sequence) <= 3 * (CONTEXT - 2) for sequence in sequences]


def their_embed(folder: Path, *, sort: bool) -> Any:
    """The padded loop."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModel.from_pretrained(folder / "model").eval()

    def embed(sequences: Sequence[str]) -> np.ndarray:
        order = (
            sorted(range(len(sequences)), key=lambda i: -len(sequences[i])) if sort else range(len(sequences))
        )
        rows = np.zeros((len(sequences), model.config.hidden_size), np.float32)
        for start in range(0, len(order), BATCH):
            part = list(order[start : start + BATCH])
            batch = tokenizer([sequences[i] for i in part], padding=True, truncation=True, max_length=CONTEXT,
                              return_tensors="pt", return_special_tokens_mask=True)  # fmt: skip
            real = (1 - batch.pop("special_tokens_mask"))[..., None]
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            rows[part] = ((states * real).sum(1) / real.sum(1)).numpy()
        return rows

    return embed


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", choices=("bert", "gpt2"), default="bert")
    parser.add_argument("--count", type=int, default=1000, help="coding sequences, at most 1,400")
    parser.add_argument("--sorted", action="store_true", help="also theirs sorted by length")
    parser.set_defaults(rounds=2, warm_up=0, threads=2)
    arguments = parser.parse_args()
    data = os.environ.get("SEQLOOM_REAL_DATA")
    if not data:
        raise SystemExit("not run: set SEQLOOM_REAL_DATA to the folder of real data")
    sequences = coding_sequences(Path(data), arguments.count)
    tokens = sum(min(len(s) // 3, CONTEXT - 2) for s in sequences)
    longer = fitting(sequences).count(False)
    print(
        f"{arguments.count} CDS, {tokens} codons, {longer} longer than {CONTEXT - 2}; {arguments.model}, "
        f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock",
        flush=True,
    )
    names = (*CONTENDERS, SORTED) if arguments.sorted else CONTENDERS
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder), arguments.model)
        maker = partial(make, folder=Path(folder), sequences=sequences)
        result = compare(maker, names, arguments, tokens=tokens)
        apart = furthest(Path(folder), names)
    print(f"\nlargest difference of a number of a vector: {apart:.1e} of the largest")
    save(result | {"largest_difference": apart}, arguments.json)
    if apart > 1e-4:
        raise SystemExit("vectors are not the same")


def furthest(folder: Path, names: Sequence[str]) -> float:
    """The largest difference of a number of the first's vectors and of another's, over the largest."""
    import numpy as np

    mine, *others = (np.load(folder / f"{name}.npy") for name in names)
    return max(float(abs(mine - theirs).max() / abs(theirs).max()) for theirs in others)


if __name__ == "__main__":
    main()
