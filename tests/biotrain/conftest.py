"""A tiny dataset, its codon tokenizer, and configurations that train in about a second."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from biodata.codon import CODONS
from biodata.files import write_json
from biodata.schema import BioSequence, table_from_records
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biotrain.config import OptimConfig, TrainConfig
from biotrain.models import ModelConfig

TINY = ModelConfig(layers=2, width=32, heads=2, context=32)


def records(split: str, count: int, *, longest: int = 40) -> list[BioSequence]:
    """Genes that walk through the codons with a constant stride, so that there is something to learn."""
    choose = random.Random(split)
    made = []
    for number in range(count):
        at, stride = choose.randrange(64), choose.choice((1, 5, 9))
        codons = [CODONS[(at + stride * i) % 64] for i in range(choose.randint(4, longest))]
        made.append(BioSequence(id=f"{split}{number}", sequence="".join(codons), alphabet="dna", split=split))
    return made


def write_splits(folder: Path, tables: dict[str, pa.Table]) -> Path:
    """A dataset folder with these splits."""
    (folder / "data").mkdir(parents=True)
    files = []
    for split, table in tables.items():
        name = f"data/{split}-00000-of-00001.parquet"
        pq.write_table(table, folder / name)
        files.append({"name": name, "split": split, "rows": len(table)})
    manifest = {"schema_version": "2", "files": files, "splits": {f["split"]: f["rows"] for f in files}}
    manifest |= {"alphabet": next(iter(tables.values()))["alphabet"][0].as_py()}
    write_json(folder / "manifest.json", {**manifest, "fingerprint": f"of {folder.name}"})
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small tensors on many threads are slow, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = {"train": 96, "validation": 24, "test": 8}
    folder = tmp_path_factory.mktemp("tiny") / "dataset"
    return write_splits(
        folder, {split: table_from_records(records(split, count)) for split, count in tables.items()}
    )


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_data: Path) -> Path:
    folder = tiny_data.parent / "tokenizer"
    train_tokenizer(TokenizerConfig(kind="codon", data=tiny_data, out=folder))
    return folder


@pytest.fixture
def tiny_config(tiny_data: Path, tiny_tokenizer: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A function from changed settings to a configuration."""

    def make(**changes: Any) -> TrainConfig:
        config = TrainConfig(
            data=tiny_data,
            tokenizer=tiny_tokenizer,
            out=tmp_path / "run",
            model=TINY,
            optim=OptimConfig(lr=3e-3),
            batch_size=8,
            max_steps=12,
            eval_every=5,
            eval_batches=2,
            checkpoint_every=5,
            log_every=3,
            precision="fp32",
            device="cpu",
            threads=1,
        )
        return dataclasses.replace(config, **changes)

    return make
