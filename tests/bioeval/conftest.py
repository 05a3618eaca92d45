"""A tiny causal model in the Hugging Face layout, and a dataset in the layout of the contract."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from biodata.schema import BioSequence, table_from_records

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<mask>", "<sep>")


def write_codon_tokenizer(folder: Path) -> None:
    """Codons 6 to 69 in alphabetical order, `<bos> ... <eos>` around, U read as T."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {t: i for i, t in enumerate((*SPECIALS, *("".join(c) for c in product("ACGT", repeat=3))))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace("U", "T")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(".{1,3}"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    names = ("pad", "bos", "eos", "unk", "mask", "sep")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{f"{n}_token": f"<{n}>" for n in names})
    fast.save_pretrained(folder)


def write_gpt2(folder: Path, *, seed: int = 0, context: int = 32) -> Path:
    """A GPT-2 of two layers, width 16, seeded."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=70, n_positions=context, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        GPT2LMHeadModel(config).save_pretrained(folder)
    write_codon_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with `model/` inside."""
    run = tmp_path_factory.mktemp("run")
    write_gpt2(run / "model")
    return run


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the cache of the person who runs it."""
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def planted_records(n: int = 150, *, seed: int = 0) -> list[BioSequence]:
    """Random CDS-like DNA whose label `stability` is the share of G or C in third positions, plus noise."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        share = rng.uniform(0.2, 0.8)
        codons = [
            "".join(rng.choice(list("ACGT"), 2)) + rng.choice(list("GC" if rng.random() < share else "AT"))
            for _ in range(int(rng.integers(12, 24)))
        ]
        sequence = "".join(codons)
        third = sum(c[2] in "GC" for c in codons) / len(codons)
        split = "train" if i % 10 < 6 else "validation" if i % 10 < 8 else "test"
        records.append(
            BioSequence(
                id=f"r{i}", sequence=sequence, alphabet="dna", source="test", split=split, cluster=i // 2,
                labels={"stability": third + rng.normal(0, 0.02)},
            )
        )  # fmt: skip
    return records


def write_dataset_folder(folder: Path, records: list[BioSequence]) -> Path:
    """One shard for each split."""
    (folder / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        table = table_from_records([r for r in records if r.split == split])
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def planted_task(tmp_path: Path) -> Path:
    """A task file beside a dataset folder."""
    write_dataset_folder(tmp_path / "set", planted_records())
    path = tmp_path / "planted.yaml"
    path.write_text("name: planted\ndata: {dataset: set, label: stability}\nunit: codon\n")
    return path
