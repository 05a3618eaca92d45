"""The real `megatron-core` reads what is written; its own builder writes the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.dataset import Dataset
from biodata.errors import ConfigError, DataError
from biodata.export import ExportConfig, export_dataset
from biodata.export.megatron import write_indexed
from biodata.tokenizers.kmer import codon
from biodata.tokenizers.protocol import Encoded

needs_megatron = pytest.mark.skipif(
    sys.version_info >= (3, 14) or sys.platform != "linux",
    reason="PyPI has wheels of megatron-core 0.16 for Linux and Python up to 3.13 only",
)


PROGRAM = """
import json, sys
from types import SimpleNamespace
import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
from megatron.core.datasets.utils import get_blend_from_list

folder = sys.argv[1]
found = {}
for split in ("train", "validation", "test"):
    prefix, about = f"{folder}/x_{split}", {}
    for mmap in (True, False):
        data = IndexedDataset(prefix, mmap=mmap)
        about[f"mmap {mmap}"] = [data[i].tolist() for i in range(len(data))]
    about["part"] = data.get(1, offset=2, length=3).tolist()
    about["documents"] = data.document_indices.tolist()
    about["dtype"] = str(data[0].dtype)
    builder = IndexedDatasetBuilder(f"{folder}/again_{split}.bin", dtype=data.index.dtype)
    for row in about["mmap True"]:
        builder.add_document(torch.tensor(row), [len(row)])
    builder.finalize(f"{folder}/again_{split}.idx")
    found[split] = about

tokenizer = SimpleNamespace(eod=2, pad=0, vocab_size=70, unique_identifiers={"class": "seqloom"})
config = GPTDatasetConfig(
    random_seed=1, sequence_length=32, path_to_cache=f"{folder}/cache", tokenizer=tokenizer,
    reset_position_ids=True, reset_attention_mask=True, eod_mask_loss=True, mmap_bin_files=True,
    blend_per_split=[get_blend_from_list([f"{folder}/x_{s}"]) for s in ("train", "validation")] + [None],
)
built = BlendedMegatronDatasetBuilder(GPTDataset, [20, 5, 0], lambda: True, config).build()
found["samples"] = [
    [data[i][key].tolist() for key in ("tokens", "labels", "loss_mask")]
    for data in built[:2] for i in range(min(len(data), 20))
]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exported(
    dataset: Dataset, codons: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder of an export, and what a process with megatron (it warns of much) reads there."""
    folder = tmp_path_factory.mktemp("megatron")
    result = export_dataset(
        ExportConfig(data=dataset.path, to="megatron", out=folder / "x", tokenizer=codons)
    )
    assert (
        result["dtype"] == "uint16" and result["eod_id"] == 2 and set(result["rows"]) == set(dataset.splits)
    )
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@needs_megatron
@pytest.mark.slow
def test_indexed_dataset_reads_it_and_its_builder_writes_the_same_bytes(
    dataset: Dataset, exported: tuple[Path, dict[str, Any]]
) -> None:
    folder, read = exported
    for split in ("train", "validation", "test"):
        found = read[split]
        expected = [codon().encode(s) for s in dataset.sequences(split).to_pylist()]
        assert found["mmap True"] == found["mmap False"] == expected and found["dtype"] == "uint16"
        assert found["part"] == expected[1][2:5]
        assert found["documents"] == list(range(len(expected) + 1))
        for ending in ("bin", "idx"):
            ours, theirs = (folder / f"{name}_{split}.{ending}" for name in ("x", "again"))
            assert ours.read_bytes() == theirs.read_bytes()


@needs_megatron
def test_gpt_dataset_trains_on_it(dataset: Dataset, exported: tuple[Path, dict[str, Any]]) -> None:
    documents = {
        tuple(codon().encode(s))
        for split in ("train", "validation")
        for s in dataset.sequences(split).to_pylist()
    }
    samples = exported[1]["samples"]
    assert len(samples) >= 20
    for tokens, labels, weights in samples:
        assert len(tokens) == 32 and tokens[1:] == labels[:-1]
        assert all(weight == (token != 2) for token, weight in zip(tokens, weights))
        rest = tokens[tokens.index(2) + 1 :] if 2 in tokens else []
        assert not rest or rest[0] == 1  # the next document begins
        if 2 in rest:
            assert tuple(rest[: rest.index(2) + 1]) in documents


def test_types_and_refusals(dataset: Dataset, tmp_path: Path) -> None:
    empty = Encoded(np.empty(0, np.uint8), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="no tokens to write"):
        write_indexed(tmp_path / "a.bin", tmp_path / "a.idx", empty, dtype=np.dtype("<u2"))
    with pytest.raises(ConfigError, match="megatron files hold token ids: give --tokenizer"):
        ExportConfig(data=dataset.path, to="megatron", out=tmp_path / "x")
    encoded = Encoded(np.array([1, 9, 2, 1, 2], np.uint32), np.array([0, 3, 5]))
    write_indexed(tmp_path / "a.bin", tmp_path / "a.idx", encoded, dtype=np.dtype("<i4"))
    assert np.fromfile(tmp_path / "a.bin", "<i4").tolist() == [1, 9, 2, 1, 2]
    index = (tmp_path / "a.idx").read_bytes()
    assert len(index) == 34 + 12 * 2 + 8 * 3 and index[17] == 4


def test_the_same_dataset_gives_the_same_bytes(dataset: Dataset, codons: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        out = tmp_path / name / "x"
        export_dataset(ExportConfig(data=dataset.path, to="megatron", out=out, tokenizer=codons))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "x.json",
        *(f"x_{s}.{e}" for s in ("test", "train", "validation") for e in ("bin", "idx")),
    ]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
