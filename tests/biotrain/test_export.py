"""An exported folder loads in transformers with the same logits, and here bit-identically."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biodata.errors import ConfigError, DataError
from biotrain.export import export_model, load_model
from biotrain.layers.transformer import Transformer
from biotrain.models import ModelConfig, build_model

transformers = pytest.importorskip("transformers")
VOCAB = 70


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "README.md").write_text("the tokenizer's own card")
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


def trained(name: str, *, tied: bool = True) -> Transformer:
    """A model whose every parameter, biases and norms too, has an unlikely value."""
    config = ModelConfig(name=name, layers=2, width=32, heads=4, ffn=48, context=24, tie_embeddings=tied)
    model = build_model(config, vocab_size=VOCAB)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.3)
    return model.eval()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(6, VOCAB, (3, 20), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(20) < torch.tensor([[20], [11], [3]])
    return ids.masked_fill(~mask, 0), mask


def load_auto(cls: type, folder: Path, **options: object) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (FutureWarning, DeprecationWarning))
        model, info = cls.from_pretrained(folder, output_loading_info=True, **options)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    return model.eval()


@pytest.mark.parametrize("tied", [True, False])
def test_gpt2_has_the_logits_of_transformers(tokenizer_dir: Path, tmp_path: Path, tied: bool) -> None:
    model = trained("gpt2", tied=tied)
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model", metadata={"step": 3})
    hf = load_auto(transformers.AutoModelForCausalLM, folder)
    ids, mask = batch()
    with torch.no_grad():
        ours, theirs = model(ids, mask=mask), hf(ids, attention_mask=mask.long()).logits
        base = load_auto(transformers.AutoModel, folder)(ids).last_hidden_state
    assert type(hf).__name__ == "GPT2LMHeadModel"
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.hidden(ids), base, atol=1e-5, rtol=0)
    assert ("lm_head.weight" in load_file(folder / "model.safetensors")) is not tied


@pytest.mark.parametrize("tied", [True, False])
def test_encoder_has_the_logits_of_its_modeling_file(tokenizer_dir: Path, tmp_path: Path, tied: bool) -> None:
    model = trained("bert", tied=tied)
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    hf = load_auto(transformers.AutoModelForMaskedLM, folder, trust_remote_code=True)
    base = load_auto(transformers.AutoModel, folder, trust_remote_code=True)
    ids, mask = batch()
    with torch.no_grad():
        ours, theirs = model(ids, mask=mask), hf(ids, attention_mask=mask.long()).logits
        states = base(ids, attention_mask=mask, output_hidden_states=True)
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.hidden(ids, mask)[mask], states.last_hidden_state[mask])
    assert len(states.hidden_states) == 3


def test_encoder_is_not_loaded_without_trust(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_model(trained("bert"), tokenizer_dir, tmp_path / "model")
    with pytest.raises(ValueError, match="trust_remote_code"):
        transformers.AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=False)


@pytest.mark.parametrize("name", ["gpt2", "bert"])
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip_is_bit_identical(tokenizer_dir: Path, tmp_path: Path, name: str, tied: bool) -> None:
    model = trained(name, tied=tied)
    export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    ids, mask = batch()
    for path in (tmp_path / "run", tmp_path / "run" / "model"):
        loaded = load_model(path)
        assert loaded.config == model.config
        assert torch.equal(loaded(ids, mask=mask), model(ids, mask=mask))
        assert (loaded.head.weight is loaded.tokens.weight) is tied


def test_reads_what_transformers_wrote(tmp_path: Path) -> None:
    shape = transformers.GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4)
    hf = transformers.GPT2LMHeadModel(shape).eval()
    hf.save_pretrained(tmp_path / "theirs")
    ids, _ = batch()
    with torch.no_grad():
        difference = load_model(tmp_path / "theirs")(ids) - hf(ids).logits
    assert difference.abs().max() < 1e-5


def test_folder_tells_where_it_comes_from(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "model", metadata={"dataset": "abc"})
    own = json.loads((folder / "biotrain.json").read_text())
    assert own["dataset"] == "abc" and own["vocab_size"] == VOCAB and own["model"]["width"] == 32
    card = (folder / "README.md").read_text()
    assert "AutoModelForCausalLM" in card and '"dataset": "abc"' in card and "own card" not in card
    assert (folder / "tokenizer_config.json").read_text() == "{}"
    assert not [file for file in folder.iterdir() if file.name.endswith(".part")]


def test_export_is_the_same_every_time(tokenizer_dir: Path, tmp_path: Path) -> None:
    first = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "a", metadata={"seed": 1})
    second = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "b", metadata={"seed": 1})
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_export_needs_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tokenizer\.json in"):
        export_model(trained("gpt2"), tmp_path, tmp_path / "model")


def damage_truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def damage_garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04N." * 50)


def damage_absent(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def damage_missing_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.ln_f.bias"]
    save_file(tensors, folder / "model.safetensors")


def damage_shape(folder: Path) -> None:
    edit_config(folder, n_inner=64)


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt2"')


def damage_key(folder: Path) -> None:
    edit_config(folder, n_layer=None)


def damage_kind(folder: Path) -> None:
    edit_config(folder, model_type="llama")


def damage_variant(folder: Path) -> None:
    edit_config(folder, activation_function="relu")


def edit_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    values.update(changes)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_truncated, "cannot be read"),
        (damage_garbage, "cannot be read"),
        (damage_absent, "pickled weights are never read"),
        (damage_missing_tensor, "tensor 'transformer.ln_f.bias' is missing"),
        (damage_shape, r"has shape \(32, 48\), expected \(32, 64\)"),
        (damage_config, "not JSON"),
        (damage_key, "key 'n_layer' is missing"),
        (damage_kind, "model_type 'llama'"),
        (damage_variant, "activation_function 'relu' is not supported"),
    ],
)
def test_damaged_folder_is_one_line(tokenizer_dir: Path, tmp_path: Path, damage, message: str) -> None:
    folder = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "model")
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no exported model there"):
        load_model(tmp_path)
