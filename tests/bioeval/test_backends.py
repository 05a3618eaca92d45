"""Embeddings against transformers used directly; windows, pooling, keys, cache, code that may run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.backends import BACKENDS, EmbedSettings, backend_of, open_model
from bioeval.backends.windows import Frame, batches, cut
from bioeval.cache import EmbeddingCache
from bioeval.protocols import Embedder, HasTwin

RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), 3 * n)) for n in (1, 5, 30, 7, 12, 30, 2, 64)]
SHORT = [s for s in SEQUENCES if len(s) <= 90]  # 30 codons and two specials fill the context of 32


def opened(run: Path, **settings) -> Embedder:
    return open_model(str(run), EmbedSettings(device="cpu", **settings))


def direct(run: Path, sequence: str, layer: int | None = None) -> np.ndarray:
    """Hidden states of one sequence, specials included."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(run / "model").eval()
    ids = AutoTokenizer.from_pretrained(run / "model")(sequence, return_tensors="pt")
    with torch.inference_mode():
        out = model(**ids, output_hidden_states=True)
    states = out.last_hidden_state if layer is None else out.hidden_states[layer]
    return states[0].numpy()


@pytest.mark.parametrize(
    ("pooling", "reduce"),
    [
        ("mean", lambda h: h[1:-1].mean(0)),
        ("max", lambda h: h[1:-1].max(0)),
        ("last", lambda h: h[-2]),
        ("cls", lambda h: h[0]),
    ],
)
def test_pooling_equals_transformers_one_by_one(gpt2: Path, pooling: str, reduce) -> None:
    found = opened(gpt2, pooling=pooling, batch_size=3).embed(SHORT)
    assert found.dtype == np.float32 and found.shape == (len(SHORT), 16)
    for row, sequence in zip(found, SHORT):
        assert row == pytest.approx(reduce(direct(gpt2, sequence)), abs=1e-5)


@pytest.mark.parametrize("layer", [0, 1, -2])
def test_layers(gpt2: Path, layer: int) -> None:
    found = opened(gpt2, layer=str(layer)).embed(SHORT[:2])
    for row, sequence in zip(found, SHORT):
        assert row == pytest.approx(direct(gpt2, sequence, layer)[1:-1].mean(0), abs=1e-5)


def test_batch_of_one_equals_batch_of_many(gpt2: Path) -> None:
    many = opened(gpt2, batch_size=8).embed(SEQUENCES)
    one = opened(gpt2, batch_size=1).embed(SEQUENCES)
    alone = np.concatenate([opened(gpt2).embed([s]) for s in SEQUENCES])
    assert np.abs(many - one).max() < 1e-5 and np.abs(many - alone).max() < 1e-5


def test_u_and_t_are_the_same(gpt2: Path) -> None:
    model = opened(gpt2)
    assert np.array_equal(model.embed(SEQUENCES), model.embed([s.replace("T", "U") for s in SEQUENCES]))


def test_a_long_sequence_is_embedded_in_windows(gpt2: Path) -> None:
    long = SEQUENCES[-1]  # 64 codons; 30 fit beside two specials
    parts = [long[:66], long[66:129], long[129:]]  # 22, 21, 21
    found = opened(gpt2).embed([long])[0]
    states = np.concatenate([direct(gpt2, part)[1:-1] for part in parts])
    assert len(states) == 64
    assert found == pytest.approx(states.mean(0), abs=1e-5)
    counts = opened(gpt2).counts(SEQUENCES)  # pyright: ignore[reportAttributeAccessIssue]
    assert counts["sequences_in_several_windows"] == 1 and counts["windows"] == len(SEQUENCES) + 2
    assert counts["tokens"] == sum(len(s) for s in SEQUENCES) // 3 and counts["unknown"] == 0


def test_windows_lose_and_repeat_nothing() -> None:
    contents = [list(range(10, 10 + n)) for n in (1, 6, 7, 20)]
    windows = cut(contents, Frame((1,), (2,)), 8)
    for owner, content in enumerate(contents):
        mine = [w for w in windows if w.owner == owner]
        assert [i for w in mine for i in w.ids[w.start : w.end]] == content
    assert max(len(w.ids) for w in windows) <= 8
    assert [len(w.ids) for b in batches(windows, 2) for w in b] == sorted(
        (len(w.ids) for w in windows), reverse=True
    )
    with pytest.raises(ConfigError, match="leave no room"):
        cut([[1]], Frame((1,), (2,)), 2)


def test_random_twin(gpt2: Path) -> None:
    import torch

    state = torch.random.get_rng_state()
    trained = opened(gpt2)
    assert isinstance(trained, HasTwin)
    a, again, b = (trained.twin(seed=s) for s in (1, 1, 2))
    named = open_model(f"random-init:{gpt2}", EmbedSettings(device="cpu", seed=1))
    vectors = [m.embed(SHORT) for m in (trained, a, again, b, named)]
    assert np.array_equal(vectors[1], vectors[2]) and np.array_equal(vectors[1], vectors[4])
    assert not np.allclose(vectors[0], vectors[1]) and not np.allclose(vectors[1], vectors[3])
    assert a.key == again.key == named.key and len({trained.key, a.key, b.key}) == 3
    assert torch.equal(state, torch.random.get_rng_state())


def test_key_follows_content_not_place(gpt2: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(gpt2, copy)
    key = opened(gpt2).key
    assert opened(copy).key == key == open_model(str(copy / "model"), EmbedSettings(device="cpu")).key
    changed = {opened(gpt2, **s).key for s in ({"layer": "1"}, {"pooling": "max"}, {"dtype": "bfloat16"})}
    assert len({key, *changed}) == 4
    assert opened(gpt2, batch_size=1).key == key
    weights = copy / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert opened(copy).key != key


def test_unknown_tokens_are_told(gpt2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(gpt2).embed(["acgacg"])
    assert "100.0% of the tokens are unknown to its tokenizer (of 1 " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gpt2", "hyena", "based"])
def test_our_encoder_runs_and_foreign_code_does_not(name: str, project: Path, tmp_path: Path) -> None:
    from biodata.files import write_json
    from biotrain.layout import to_hf_config
    from biotrain.models import ModelConfig
    from tests.bioeval.conftest import write_codon_tokenizer

    shape = ModelConfig(name=name, bidirectional=True, layers=1, width=8, context=16)
    source = project / "biotrain" / "modeling" / f"{shape.architecture.modeling.module}.py"
    folder = tmp_path / "encoder"
    write_codon_tokenizer(folder)
    shutil.copyfile(source, folder / source.name)
    write_json(folder / "config.json", to_hf_config(shape, 70))
    settings = EmbedSettings(device="cpu", seed=3)
    many = open_model(f"random-init:{folder}", settings).embed(SEQUENCES)
    one = np.concatenate([open_model(f"random-init:{folder}", settings).embed([s]) for s in SEQUENCES[:3]])
    assert np.abs(many[:3] - one).max() < 1e-5
    (folder / source.name).write_text(source.read_text() + "\nprint('hello')\n")
    with pytest.raises(ConfigError, match=rf"brings code of its own \({source.name}\)"):
        open_model(f"random-init:{folder}", settings)
    shutil.copyfile(source, folder / source.name)
    (folder / "modeling_more.py").write_text("print('hello')\n")
    with pytest.raises(ConfigError, match="brings code of its own"):
        open_model(f"random-init:{folder}", settings)


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        ("/no/such/run", ConfigError, "no model folder /no/such/run"),
        ("os:nothing", ConfigError, "no attribute 'nothing'"),
        ("os:sep", ConfigError, "is no Embedder"),
        ("nomodule:x", ConfigError, "No module named 'nomodule'"),
    ],
)
def test_no_such_model(model: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        open_model(model)


def test_damaged_folders_are_one_line(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no config\.json"):
        open_model(str(tmp_path / "empty"))
    copy = tmp_path / "copy"
    shutil.copytree(gpt2, copy)
    (copy / "model" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="transformers cannot load it"):
        opened(copy).embed(["ACG"])
    (copy / "model" / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        opened(copy)
    (copy / "model" / "config.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        opened(copy)


def test_a_model_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "seqloom_dit_image"}')
    with pytest.raises(ConfigError, match="is a model of pictures of sequences: it has no vector"):
        open_model(str(tmp_path), EmbedSettings())


def test_wrong_layer_and_empty_sequence(gpt2: Path) -> None:
    with pytest.raises(ConfigError, match=r"layer = 7, .* has 0 \(embeddings\) to 2"):
        opened(gpt2, layer="7").embed(["ACG"])
    with pytest.raises(DataError, match="gives no token"):
        opened(gpt2).embed(["ACG", ""])
    with pytest.raises(ConfigError, match="max_tokens = 99"):
        opened(gpt2, max_tokens=99).embed(["ACG"])


def test_every_backend_of_the_catalog_is_named_by_some_model() -> None:
    models = ("random-init:x", "/", "a.b:c", "someone/model", "model", "vectors.npz")
    assert {backend_of(m) for m in models} == set(BACKENDS)


class Counting:
    """An embedder that counts how many sequences it was asked for."""

    name, key = "counting", "k1"

    def __init__(self, *, stop_after: int = 10**9) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after

    def embed(self, sequences) -> np.ndarray:
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += sequences
        return np.array([[len(s), s.count("A")] for s in sequences], dtype=np.float64)


def test_cache_computes_each_sequence_once(tmp_path: Path) -> None:
    cache, model = EmbeddingCache(tmp_path), Counting()
    first = cache.embed(model, ["A", "CA", "A"])
    assert first.dtype == np.float32 and first.tolist() == [[1, 1], [2, 1], [1, 1]]
    assert cache.embed(model, ["GGG", "CA"]).tolist() == [[3, 0], [2, 1]]
    assert model.asked == ["CA", "A", "GGG"]  # the longest first
    other = Counting()
    other.key = "k2"
    cache.embed(other, ["A"])
    assert other.asked == ["A"]


def test_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bioeval.cache._ROWS_PER_BLOCK", 2)
    cache, sequences = EmbeddingCache(tmp_path), ["A", "AC", "ACG", "ACGT", "ACGTA"]
    with pytest.raises(KeyboardInterrupt):
        cache.embed(Counting(stop_after=4), sequences)
    model = Counting()
    assert cache.embed(model, sequences)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert model.asked == ["A"]


def test_cache_files_say_what_they_are_and_damage_is_told(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.embed(Counting(), ["A"])
    (file,) = tmp_path.glob("*/*.parquet")
    assert pq.read_schema(file).metadata[b"seqloom.embedding_key"] == b"k1"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match="damaged cache file"):
        cache.embed(Counting(), ["A"])


def test_wrong_embedders_are_told(tmp_path: Path) -> None:
    class Nan(Counting):
        def embed(self, sequences) -> np.ndarray:
            return np.full((len(sequences), 2), np.nan)

    class Flat(Counting):
        def embed(self, sequences) -> np.ndarray:
            return np.zeros(len(sequences))

    with pytest.raises(DataError, match="holds values that are no finite numbers"):
        EmbeddingCache(tmp_path).embed(Nan(), ["A"])
    with pytest.raises(DataError, match=r"shape \[1\]"):
        EmbeddingCache(tmp_path).embed(Flat(), ["A"])


def test_settings_are_checked() -> None:
    for wrong in (
        {"layer": "x"},
        {"batch_size": 0},
        {"max_tokens": 2},
        {"pooling": "sum"},
        {"dtype": "int8"},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            EmbedSettings(**wrong)  # pyright: ignore[reportArgumentType]
    assert json.dumps(EmbedSettings().key())
