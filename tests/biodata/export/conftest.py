from __future__ import annotations

import random
from pathlib import Path

import pytest

from biodata.build import BuildConfig, build_dataset
from biodata.dataset import Dataset, open_dataset
from biodata.read_config import ReadConfig
from biodata.splits.split import SplitConfig
from biodata.tokenizers.kmer import codon


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """60 random sequences, built and split as any dataset."""
    folder = tmp_path_factory.mktemp("exported")
    drawn = random.Random(1)
    texts = ["".join(drawn.choices("ACGT", k=drawn.randint(60, 400))) for _ in range(60)]
    records = (f">s{at} description {at}\n{text}\n" for at, text in enumerate(texts))
    (folder / "in.fasta").write_text("".join(records))
    config = BuildConfig(read=ReadConfig(inputs=(str(folder / "in.fasta"),)), split=SplitConfig(threads=1))
    build_dataset(config, folder / "dataset")
    return open_dataset(folder / "dataset")


@pytest.fixture(scope="session")
def codons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved codon tokenizer."""
    path = tmp_path_factory.mktemp("tokenizer") / "codon"
    codon().save(path)
    return path
