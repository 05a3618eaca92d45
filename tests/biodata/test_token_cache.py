"""biodata.token_cache: the ids of memory, also after a stop at any row group, and never stale ones."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.dataset import Dataset, open_dataset
from biodata.files import write_json
from biodata.schema import SCHEMA_VERSION
from biodata.token_cache import IDS, MANIFEST, STATE, cache_key, split_tokens
from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import nuc


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make(tmp_path / "data", seed=0)


def make(folder: Path, *, seed: int) -> Dataset:
    """Two training files of several row groups, an empty validation file."""
    random = np.random.default_rng(seed)
    rows = ["".join(random.choice(list("ACGTN"), random.integers(0, 60))) for _ in range(100)]
    (folder / "data").mkdir(parents=True)
    files = []
    for name, part in {"train-00000-of-00002": rows[:70], "train-00001-of-00002": rows[70:],
                       "validation-00000-of-00001": []}.items():  # fmt: skip
        table = pa.table({"sequence": pa.array(part, pa.large_string())})
        pq.write_table(table, folder / "data" / f"{name}.parquet", row_group_size=20)
        files.append({"name": f"data/{name}.parquet", "split": name.split("-")[0], "rows": len(part)})
    manifest = {"schema_version": SCHEMA_VERSION, "files": files, "splits": {"train": 100}}
    write_json(folder / "manifest.json", {**manifest, "fingerprint": f"seed {seed}"})
    return open_dataset(folder)


class Tables:
    """The same rows in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.rows = pa.concat_tables([pq.read_table(path) for path in dataset.files("train")])

    def table(self, split: str, columns=None) -> pa.Table:
        return self.rows


@pytest.mark.parametrize(
    ("tokenizer", "dtype"), [(codon(), "u1"), (six_mer(), "<u2"), (KmerTokenizer("kmer", 3, overlap=2), "u1")]
)
def test_cached_ids_are_those_encoded_in_memory(dataset: Dataset, tokenizer, dtype: str) -> None:
    expected = split_tokens(Tables(dataset), "train", tokenizer)
    for _ in range(2):  # encoded, then opened
        found = split_tokens(dataset, "train", tokenizer)
        assert found.encoded.ids.dtype == np.dtype(dtype) and not found.encoded.ids.flags.writeable
        assert np.array_equal(found.encoded.ids, expected.encoded.ids)
        assert np.array_equal(found.encoded.offsets, expected.encoded.offsets)
        assert (found.rows, found.unknown) == (100, expected.unknown) and found.unknown > 0


def test_it_goes_on_after_the_last_whole_row_group(dataset: Dataset, cache: Path) -> None:
    whole = codon()
    folder = cache / cache_key(dataset, "train", whole)
    split_tokens(dataset, "train", whole)
    expected = {name: (folder / name).read_bytes() for name in os.listdir(folder)}

    class Stopping(KmerTokenizer):
        left = 0
        seen = 0

        def encode_column(self, column, *, add_special_tokens=True):
            if Stopping.left == 0:
                raise KeyboardInterrupt
            Stopping.left -= 1
            Stopping.seen += len(column)
            return super().encode_column(column, add_special_tokens=add_special_tokens)

    for name in expected:
        (folder / name).unlink()
    stopping = Stopping("codon", 3)
    for left in (0, 1, 2):
        Stopping.left = left
        with pytest.raises(KeyboardInterrupt):
            split_tokens(dataset, "train", stopping)
        with open(folder / IDS, "ab") as handle:
            handle.write(b"half a row group")
        assert not (folder / MANIFEST).exists()
    Stopping.left = 99
    split_tokens(dataset, "train", stopping)
    assert Stopping.seen == 100 and not (folder / STATE).exists()
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == expected


def test_another_dataset_tokenizer_or_file_has_another_key(dataset: Dataset, tmp_path: Path) -> None:
    keys = {cache_key(dataset, "train", t) for t in (codon(), six_mer(), nuc(), KmerTokenizer("kmer", 3))}
    keys |= {cache_key(dataset, "train", KmerTokenizer("kmer", 3, overlap=n)) for n in (1, 2)}
    keys.add(cache_key(dataset, "validation", codon()))
    keys.add(cache_key(make(tmp_path / "other", seed=1), "train", codon()))
    os.utime(dataset.files("train")[0], ns=(1, 1))
    keys.add(cache_key(dataset, "train", codon()))
    assert len(keys) == 9


def test_damaged_caches_are_made_again(
    dataset: Dataset, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = split_tokens(dataset, "train", codon()).encoded.ids.copy()
    (cache / cache_key(dataset, "train", codon()) / IDS).write_bytes(b"x")
    assert np.array_equal(split_tokens(dataset, "train", codon()).encoded.ids, first)
    assert "cached tokens are damaged: encoding again" in capsys.readouterr().err


def test_an_empty_split_and_a_look_that_writes_nothing(dataset: Dataset, cache: Path) -> None:
    assert split_tokens(dataset, "train", codon(), write=False).rows == 100
    assert not cache.exists()
    empty = split_tokens(dataset, "validation", codon())
    assert empty.rows == 0 and len(empty.encoded.ids) == 0 and empty.unknown_rate == 0


def test_two_at_once_give_one_cache(dataset: Dataset) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(split_tokens(dataset, "train", nuc()).encoded.ids.tobytes())
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
