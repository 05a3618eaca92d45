"""Files of embeddings: every form and back, the cache shared and gone on with, a file as a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.schema import checksum
from bioeval.backends import EmbedSettings, open_model
from bioeval.backends.settings import Running
from bioeval.backends.transformer import TransformerEmbedder
from bioeval.cache import EmbeddingCache
from bioeval.protocols import HasTokens
from bioeval.records.embedding import EmbedConfig, embed_file
from bioeval.records.embedding_files import read_embeddings
from bioeval.records.inputs import InputConfig, Records
from tests.bioeval.conftest import planted_records, write_dataset_folder

RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), 3 * n)) for n in (5, 20, 7, 40)]


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">s{i} text\n{s}\n" for i, s in enumerate(SEQUENCES)))
    return path


def config(run: Path, source: Path, out: Path, **changes: Any) -> EmbedConfig:
    how = {entry.name: changes.pop(entry.name) for entry in fields(Running) if entry.name in changes}
    read, running = InputConfig(inputs=(str(source),)), Running(**{"device": "cpu", **how})
    return EmbedConfig(model=str(run), read=read, out=out, running=running, **changes)


def opened(run: Path, **changes: Any) -> TransformerEmbedder:
    made = open_model(str(run), EmbedSettings(device="cpu", **changes))
    assert isinstance(made, TransformerEmbedder) and isinstance(made, HasTokens)
    return made


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
@pytest.mark.parametrize("layer", ["last", "all"])
def test_files_hold_what_the_embedder_gives(
    gpt2: Path, fasta: Path, tmp_path: Path, suffix: str, layer: str
) -> None:
    out = tmp_path / f"vectors{suffix}"
    said = embed_file(config(gpt2, fasta, out, layer=layer, pooling="max"))
    assert (said["n"], said["dimensions"], said["pooling"], said["layer"]) == (4, 16, "max", layer)
    held = read_embeddings(out)
    assert held.checksums == [checksum(s) for s in SEQUENCES] and held.offsets is None
    assert held.about["embedding_key"] == said["embedding_key"] and held.about["pooling"] == "max"
    assert len(held.layers) == (3 if layer == "all" else 1)
    for number, values in enumerate(held.layers):
        name = str(number) if layer == "all" else "last"
        assert values == pytest.approx(opened(gpt2, layer=name, pooling="max").embed(SEQUENCES), abs=1e-5)
    if suffix == ".parquet":
        assert pq.read_table(out)["id"].to_pylist() == ["s0", "s1", "s2", "s3"]
    before = out.read_bytes()
    embed_file(config(gpt2, fasta, out, layer=layer, pooling="max"))
    assert out.read_bytes() == before


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize(("unit", "rows"), [(0, [5, 20, 7, 40]), (1, [15, 60, 21, 120]), (3, [5, 20, 7, 40])])
def test_a_row_for_each_token_or_unit(
    gpt2: Path, fasta: Path, tmp_path: Path, suffix: str, unit: int, rows: list[int]
) -> None:
    out = tmp_path / f"tokens{suffix}"
    embed_file(config(gpt2, fasta, out, pooling="per-residue", unit=unit))
    held = read_embeddings(out)
    assert held.offsets is not None and np.diff(held.offsets).tolist() == rows
    expected = opened(gpt2).embed_tokens(SEQUENCES, width=unit)
    assert held.layers[0] == pytest.approx(np.concatenate(expected), abs=1e-5)
    back = open_model(str(out))
    assert isinstance(back, HasTokens)
    assert [len(r) for r in back.embed_tokens(SEQUENCES[::-1], width=unit)] == rows[::-1]
    with pytest.raises(ConfigError, match="holds a row for each token"):
        back.embed(SEQUENCES)
    with pytest.raises(ConfigError, match="has a row for"):
        back.embed_tokens(SEQUENCES, width=2)


def test_token_rows_are_the_hidden_states(gpt2: Path) -> None:
    """One by one in transformers; a letter has its token's row, a unit of two the mean of its tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(gpt2 / "model").eval(),
        AutoTokenizer.from_pretrained(gpt2 / "model"),
    )
    sequence = SEQUENCES[0] + "A"  # 5 codons and a rest
    with torch.inference_mode():
        states = model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0, 1:-1].numpy()
    assert len(states) == 6
    tokens, letters, pairs = (opened(gpt2).embed_tokens([sequence], width=w)[0] for w in (0, 1, 2))
    assert tokens == pytest.approx(states, abs=1e-5)
    assert letters == pytest.approx(np.repeat(states, 3, axis=0)[:16], abs=1e-5)
    assert pairs[1] == pytest.approx((states[0] + states[1]) / 2, abs=1e-5) and len(pairs) == 8
    pooled = opened(gpt2).embed([sequence])[0]
    assert pooled == pytest.approx(states.mean(axis=0), abs=1e-5)


def test_parameters_are_those_of_the_model(gpt2: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(gpt2 / "model")
    assert opened(gpt2).parameters == sum(p.numel() for p in model.parameters())


def test_layer_all_is_every_layer(gpt2: Path) -> None:
    whole = opened(gpt2, layer="all")
    assert whole.layers == 3
    found = whole.embed(SEQUENCES)
    for number, part in enumerate(np.split(found, 3, axis=1)):
        assert part == pytest.approx(opened(gpt2, layer=str(number)).embed(SEQUENCES), abs=1e-5)


def test_a_file_is_a_model(gpt2: Path, fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    embed_file(config(gpt2, fasta, out, layer="all"))
    for layer, number in (("last", 2), ("0", 0), ("-2", 1)):
        model = open_model(str(out), EmbedSettings(layer=layer))
        expected = opened(gpt2, layer=str(number)).embed(SEQUENCES)
        assert model.embed(SEQUENCES[::-1]) == pytest.approx(expected[::-1], abs=1e-5)
    with pytest.raises(DataError, match=r"1 of 2 sequences are not in it, the first is 'ACG' \(3 letters\)"):
        open_model(str(out)).embed([SEQUENCES[0], "ACG"])
    with pytest.raises(ConfigError, match=r"layer = 3, .* has 0 .* to 2"):
        open_model(str(out), EmbedSettings(layer="3"))
    with pytest.raises(ConfigError, match=r"pooling = 'cls', .* holds mean"):
        open_model(str(out), EmbedSettings(pooling="cls"))
    with pytest.raises(ConfigError, match="no such file of embeddings"):
        open_model("no/such.npz")


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
def test_all_layers_of_a_file_are_all_layers_of_the_model(
    gpt2: Path, fasta: Path, tmp_path: Path, suffix: str
) -> None:
    out, one = tmp_path / f"all{suffix}", tmp_path / "one.npz"
    embed_file(config(gpt2, fasta, out, layer="all"))
    embed_file(config(gpt2, fasta, one, layer="1"))
    file, expected = (open_model(str(m), EmbedSettings(layer="all", device="cpu")) for m in (out, gpt2))
    assert file.embed(SEQUENCES) == pytest.approx(expected.embed(SEQUENCES), abs=1e-5)
    said = {
        layer: open_model(str(out), EmbedSettings(layer=layer)).settings["layer"]  # pyright: ignore
        for layer in ("all", "last", "-2")
    }
    assert said == {"all": "all", "last": "2", "-2": "1"}
    assert open_model(str(one)).settings["layer"] == "1"  # pyright: ignore
    with pytest.raises(ConfigError, match=r"layer = all, .* holds layer 1"):
        open_model(str(one), EmbedSettings(layer="all"))


def test_a_sequence_with_two_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    for second, fine in (([1.0, 2.0], True), ([1.0, 3.0], False)):
        rows = {"sequence": ["AC", "GT", "AC"], "embedding": [[1.0, 2.0], [3.0, 4.0], second]}
        pq.write_table(pa.table(rows), path)
        if fine:
            assert open_model(str(path)).embed(["AC"]).tolist() == [[1, 2]]
            continue
        with pytest.raises(DataError, match="rows 1 and 3 are of one sequence and differ"):
            open_model(str(path))


def test_a_strangers_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"sequence": ["AC", "GT"], "embedding": [[1.0, 2.0], [3.0, 4.0]]}), path)
    assert open_model(str(path)).embed(["GT", "AC"]).tolist() == [[3, 4], [1, 2]]
    for table, text in (
        ({"sequence": ["AC"], "vector": [[1.0]]}, r"no columns embedding .*there are: sequence, vector"),
        ({"id": ["AC"], "embedding": [[1.0]]}, r"there are: id, embedding \(give the sequences"),
        ({"sequence": ["A", "C"], "embedding": [[1.0], [1.0, 2.0]]}, "differ in length"),
        ({"sequence": ["A", "C"], "embedding": [[1.0], None]}, "1 rows of column 'embedding' are empty"),
    ):
        pq.write_table(pa.table(table), path)
        with pytest.raises(DataError, match=text):
            read_embeddings(path)
    for name in ("broken.parquet", "broken.npz", "lone.npy"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=r"no embeddings can be read|is not beside it"):
            read_embeddings(tmp_path / name)


def test_a_file_is_evaluated_like_its_model(gpt2: Path, planted_task: Path, tmp_path: Path) -> None:
    from bioeval.evaluate import EvalConfig, evaluate

    out = tmp_path / "vectors.parquet"
    embed_file(config(gpt2, tmp_path / "set", out))
    found = evaluate(
        EvalConfig(models=(str(gpt2), str(out)), tasks=(str(planted_task),), out=tmp_path / "scores",
                   resamples=100, baselines=False, device="cpu")
    )  # fmt: skip
    model, file = found["results"]
    assert file["value"] == pytest.approx(model["value"], abs=1e-6)


def test_inputs_of_many_kinds(tmp_path: Path) -> None:
    def read(**changes: Any) -> tuple[list[str], list[str]]:
        pieces = list(Records(InputConfig(**changes)).pieces(letters=50))
        return [i for p in pieces for i in p.ids], [s for p in pieces for s in p.sequences]

    folder = write_dataset_folder(tmp_path / "set", planted_records(20))
    (folder / "manifest.json").write_text("{}")
    assert len(read(inputs=(str(folder),))[0]) == 20
    ids, _ = read(inputs=(str(folder),), split="test")
    assert ids == ["r8", "r9", "r18", "r19"]
    table = tmp_path / "t.csv"
    table.write_text("name,stuff,protein\na,1,MKV\nb,2,mwy*\n")
    assert read(inputs=(str(table),)) == (["a", "b"], ["MKV", "mwy*"])
    table.write_text("letters\nMKV\n")
    assert read(inputs=(str(table),), sequence_column="letters") == (["t.csv:2"], ["MKV"])
    fasta = tmp_path / "e.fasta"
    fasta.write_text(">a\nACG\n>b\n>c\nA\n")
    with pytest.raises(DataError, match="record 'b' has no letters"):
        read(inputs=(str(fasta),))
    with pytest.raises(ConfigError, match=r"split = 'test', but .* is no dataset folder"):
        Records(InputConfig(inputs=(str(fasta),), split="test"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"out": Path("x.txt")}, r"out = 'x.txt', allowed: a name that ends in \.parquet, \.npz, \.npy"),
        ({"unit": 3}, "unit = 3, allowed: 0, or with pooling per-residue"),
        ({"running": Running(seed=1)}, "seed = 1 does nothing for run"),
        ({"layer": "x"}, "layer = 'x', allowed: last, all or a whole number"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replace(config(Path("run"), Path("in.fasta"), Path("out.npy")), **changes)


def test_what_makes_no_sense_is_refused(gpt2: Path, fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    with pytest.raises(ConfigError, match="cannot hold one row a residue"):
        embed_file(config(gpt2, fasta, out, pooling="per-residue"))
    assert not out.exists()


OTHER = """
import sys, time
from pathlib import Path
import numpy as np
from bioeval import cache

class Slow:
    name, key = "slow", "k"
    def embed(self, sequences):
        time.sleep(0.01 * len(sequences))
        with open(sys.argv[2], "a") as log:
            log.write("".join(s + "\\n" for s in sequences))
        return np.array([[len(s), s.count("A")] for s in sequences], dtype=np.float32)

cache._ROWS_PER_BLOCK = 5
cache.ShelfWriter.__init__.__globals__["_ROWS_PER_FILE"] = 5
letters = np.random.default_rng(1).choice(list("ACGT"), (200, 12))
sequences = ["".join(row)[: 4 + i % 9] + "A" * (i // 9 % 3) for i, row in enumerate(letters)]
found = cache.EmbeddingCache(Path(sys.argv[1])).embed(Slow(), sequences)
assert found.tolist() == [[len(s), s.count("A")] for s in sequences]
"""


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", OTHER, str(folder), str(log)], env=os.environ)


def test_two_processes_fill_one_cache_and_a_killed_one_is_gone_on_with(tmp_path: Path) -> None:
    folder, logs = (
        tmp_path / "shared",
        [tmp_path / f"{name}.log" for name in ("killed", "one", "two", "after")],
    )
    killed = start(folder, logs[0])
    while not list(folder.glob("*/*.parquet")):
        time.sleep(0.01)
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = sum(pq.read_metadata(file).num_rows for file in folder.glob("*/*.parquet"))
    both = [start(folder, log) for log in logs[1:3]]
    assert [process.wait() for process in both] == [0, 0]
    assert kept >= 5 and killed.returncode == -signal.SIGKILL
    asked = [log.read_text().split() for log in logs[1:3] if log.exists()]
    first = set(logs[0].read_text().split()[:kept])
    assert all(not first & set(some) for some in asked)  # what the killed one had written is not made again
    assert start(folder, logs[3]).wait() == 0 and not logs[3].exists()


def test_ragged_rows_come_back_whole(tmp_path: Path) -> None:
    class Tokens:
        name, key = "tokens", "k"

        def embed(self, sequences) -> np.ndarray:
            return np.zeros((len(sequences), 1))

        def embed_tokens(self, sequences, *, width: int) -> list[np.ndarray]:
            return [np.full((len(s), 2), len(s), np.float32) for s in sequences]

    sequences = ["A", "ACG", "AC"]
    for _ in range(2):
        rows = EmbeddingCache(tmp_path).embed_tokens(Tokens(), sequences, width=1)
        assert [row.tolist() for row in rows] == [[[len(s)] * 2] * len(s) for s in sequences]
    (file,) = tmp_path.glob("*/*.parquet")
    assert json.loads(json.dumps(pq.read_table(file)["checksum"].to_pylist()))[0] == checksum("ACG")
