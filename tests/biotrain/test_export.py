"""An exported folder loads in transformers with the same logits, and here bit-identically."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from biodata.codon import CODONS
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.export import export_model, load_model
from biotrain.export_config import ModelExportConfig, run_export
from biotrain.layers.transformer import Transformer
from biotrain.models import MODELS, ModelConfig, MoEConfig, build_model
from biotrain.models.based_config import BasedConfig
from biotrain.models.caduceus import complement_ids
from biotrain.models.ssm_config import SsmConfig

transformers = pytest.importorskip("transformers")
VOCAB = 70
COMPLEMENT = complement_ids((*SPECIAL_TOKENS, *CODONS))


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "README.md").write_text("the tokenizer's own card")
    return folder


pytestmark = pytest.mark.usefixtures("offline_hub")


def trained(name: str, *, tied: bool = True, **settings: Any) -> Transformer:
    """A model whose every parameter, biases and norms too, has an unlikely value."""
    shape = {"layers": 2, "width": 32, "ffn": 48, "context": 24, "tie_embeddings": tied, **settings}
    if "heads" in MODELS.load(name).takes:
        shape.setdefault("heads", 4)
    config = ModelConfig(name=name, **shape)
    model = build_model(config, vocab_size=VOCAB)
    # Keeps logits below 10 and last bits last ones: more makes sharp attention, and sines of steep sines.
    noise, size = torch.Generator().manual_seed(5), 0.15 if config.ssm or config.hyena else 0.2
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * size)
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


NATIVE = {
    "gpt2": ("gpt2", {}, "GPT2LMHeadModel"),
    "bert": ("bert", {}, "BertForMaskedLM"),
    "bert-causal": ("bert", {"bidirectional": False}, "BertLMHeadModel"),
    "llama": ("llama", {"kv_heads": 2, "rope_base": 500_000.0}, "LlamaForCausalLM"),
    "moe": ("moe", {"kv_heads": 2, "moe": MoEConfig(experts=4)}, "MixtralForCausalLM"),
    "mamba": ("mamba", {"ffn": 0}, "MambaForCausalLM"),
    "mamba2": ("mamba2", {"ffn": 0, "ssm": SsmConfig(state_size=8, head_channels=16)}, "Mamba2ForCausalLM"),
}
OWN = {
    "gpt2-bidirectional": ("gpt2", {"bidirectional": True}),
    "gpt2-alibi": ("gpt2", {"position": "alibi"}),
    "gpt2-none": ("gpt2", {"position": "none"}),
    "bert-rope": ("bert", {"position": "rope"}),
    "bert-alibi-causal": ("bert", {"position": "alibi", "bidirectional": False}),
    "llama-bidirectional": ("llama", {"bidirectional": True, "kv_heads": 2}),
    "llama-alibi": ("llama", {"position": "alibi", "kv_heads": 2}),
    "moe-bidirectional": ("moe", {"bidirectional": True, "moe": MoEConfig(experts=3)}),
    "moe-learned": ("moe", {"position": "learned"}),
    "based": ("based", {}),
    "based-windows": (
        "based",
        {"based": BasedConfig(linear_layers=(1,), window_layers=(0,), attention_window=4)},
    ),
    "based-both-sides": (
        "based",
        {"based": BasedConfig(window_layers=(1,)), "position": "rope", "bidirectional": True},
    ),
    "hyena": ("hyena", {}),
    "hyena-both-sides": ("hyena", {"position": "learned", "bidirectional": True}),
    "mamba-helm": ("mamba", {"position": "learned"}),
    "mamba2-mlp": ("mamba2", {"ssm": SsmConfig(state_size=8)}),
    "bimamba": ("bimamba", {"position": "learned"}),
    "bimamba-plain": ("bimamba", {"ffn": 0}),
    "caduceus": ("caduceus", {"ffn": 0, "ssm": SsmConfig(complement=COMPLEMENT)}),
    "caduceus-one-strand": ("caduceus", {"ssm": SsmConfig(equivariant=False)}),
}
CASES = {**{key: value[:2] for key, value in NATIVE.items()}, **OWN}


def auto_class(model: Transformer) -> type:
    return transformers.AutoModelForCausalLM if model.causal else transformers.AutoModelForMaskedLM


@pytest.mark.parametrize("case", NATIVE)
@pytest.mark.parametrize("tied", [True, False])
def test_native_class_has_our_logits(tokenizer_dir: Path, tmp_path: Path, case: str, tied: bool) -> None:
    name, settings, class_name = NATIVE[case]
    model = trained(name, tied=tied, **settings)
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model", metadata={"step": 3})
    hf = load_auto(auto_class(model), folder)
    ids, mask = batch()
    with torch.no_grad():
        ours, theirs = model(ids, mask=mask), hf(ids, attention_mask=mask.long()).logits
        base = hf.base_model(ids, attention_mask=mask.long()).last_hidden_state
    assert type(hf).__name__ == class_name
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.hidden(ids, mask)[mask], base[mask], atol=1e-5, rtol=0)
    assert type(hf.config).__module__.startswith("transformers.models.")


@pytest.mark.parametrize("case", OWN)
@pytest.mark.parametrize("tied", [True, False])
def test_modeling_file_has_our_logits(tokenizer_dir: Path, tmp_path: Path, case: str, tied: bool) -> None:
    model = trained(OWN[case][0], tied=tied, **OWN[case][1])
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    hf = load_auto(auto_class(model), folder, trust_remote_code=True)
    ids, mask = batch()
    with torch.no_grad():
        ours, theirs = model(ids, mask=mask), hf(ids, attention_mask=mask.long()).logits
        states = hf.model(ids, attention_mask=mask, output_hidden_states=True)
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.hidden(ids, mask)[mask], states.last_hidden_state[mask])
    assert len(states.hidden_states) == 3


@pytest.mark.parametrize("case", ["gpt2", "llama", "moe", "mamba", "gpt2-alibi", "moe-learned",
                                  "bert-alibi-causal", "mamba-helm", "mamba2", "mamba2-mlp",
                                  "hyena", "based", "based-windows"])  # fmt: skip
def test_transformers_generates_what_we_would(tokenizer_dir: Path, tmp_path: Path, case: str) -> None:
    """Greedy, with their cache, for two prompts of unequal length padded on the left."""
    model = trained(CASES[case][0], **CASES[case][1])
    folder = export_model(model, tokenizer_dir, tmp_path / "model")
    hf = load_auto(transformers.AutoModelForCausalLM, folder, trust_remote_code=True)
    prompts = [[1, 20, 31, 42], [1, 9]]
    padded = torch.tensor([[0] * (4 - len(p)) + p for p in prompts])
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    made = hf.generate(padded, attention_mask=(padded != 0).long(), **options)
    for prompt, row in zip(prompts, made[:, 4:].tolist()):
        ids = list(prompt)
        for _ in range(6):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        assert row == ids[len(prompt) :]


def test_encoder_is_not_loaded_without_trust(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_model(trained("gpt2", bidirectional=True), tokenizer_dir, tmp_path / "model")
    with pytest.raises(ValueError, match="trust_remote_code"):
        transformers.AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=False)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip_is_bit_identical(tokenizer_dir: Path, tmp_path: Path, case: str, tied: bool) -> None:
    model = trained(CASES[case][0], tied=tied, dropout=0.1, **CASES[case][1])
    export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    ids, mask = batch()
    for path in (tmp_path / "run", tmp_path / "run" / "model"):
        loaded = load_model(path)
        assert loaded.config == model.config
        assert torch.equal(loaded(ids, mask=mask), model(ids, mask=mask))
        assert (loaded.head.weight is loaded.tokens.weight) is tied


def foreign() -> dict[str, tuple[type, object]]:
    t, common = transformers, {"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 40}
    common |= {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 24}
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 5e7}, "num_key_value_heads": 2}
    gpt2 = t.GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4)
    return {
        "gpt2": (t.GPT2LMHeadModel, gpt2),
        "bert": (t.BertForMaskedLM, t.BertConfig(**common)),
        "llama": (t.LlamaForCausalLM, t.LlamaConfig(**common, **rope)),
        "mixtral": (t.MixtralForCausalLM, t.MixtralConfig(**common, **rope, num_local_experts=3)),
        "mamba2": (
            t.Mamba2ForCausalLM,
            t.Mamba2Config(
                vocab_size=VOCAB,
                hidden_size=32,
                num_hidden_layers=2,
                state_size=8,
                num_heads=4,
                head_dim=16,
                n_groups=1,
            ),
        ),
        "mamba": (
            t.MambaForCausalLM,
            t.MambaConfig(
                vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=8, expand=3, conv_kernel=3
            ),
        ),
    }


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "mixtral", "mamba", "mamba2"])
def test_reads_what_transformers_wrote(tmp_path: Path, name: str) -> None:
    kind, shape = foreign()[name]
    torch.manual_seed(0)
    hf = kind(shape).eval()
    with torch.no_grad():
        for p in hf.parameters():
            p.add_(torch.randn(p.shape) * 0.2)
    hf.save_pretrained(tmp_path / "theirs")
    ids, mask = batch()
    with torch.no_grad():
        ours, theirs = load_model(tmp_path / "theirs")(ids, mask=mask), hf(ids, attention_mask=mask.long())
    torch.testing.assert_close(ours[mask], theirs.logits[mask], atol=1e-5, rtol=0)


def test_what_we_do_not_compute_is_refused(tmp_path: Path) -> None:
    kind, shape = foreign()["llama"]
    shape.attention_bias = True
    kind(shape).save_pretrained(tmp_path / "biased")
    with pytest.raises(DataError, match="attention_bias True is not supported"):
        load_model(tmp_path / "biased")


def test_folder_tells_where_it_comes_from(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "model", metadata={"dataset": "abc"})
    own = json.loads((folder / "biotrain.json").read_text())
    assert own["dataset"] == "abc" and own["vocab_size"] == VOCAB and own["model"]["width"] == 32
    card = (folder / "README.md").read_text()
    assert "AutoModelForCausalLM" in card and '"dataset": "abc"' in card and "own card" not in card
    own_code = export_model(trained("gpt2", position="rope"), tokenizer_dir, tmp_path / "own")
    said = (own_code / "README.md").read_text()  # the tokenizer asks for it as well
    assert said.count("trust_remote_code=True") == 2 and "trust_remote_code" not in card
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
    edit_config(folder, model_type="rwkv")


def damage_variant(folder: Path) -> None:
    edit_config(folder, activation_function="tanh")


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
        (damage_kind, "model_type 'rwkv'"),
        (damage_variant, "activation_function 'tanh' is not supported"),
    ],
)
def test_damaged_folder_is_one_line(tokenizer_dir: Path, tmp_path: Path, damage, message: str) -> None:
    folder = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "model")
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value) and str(caught.value).count(str(folder)) == 1


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b'{"version": "1.0"', b"\x80\x04N."])
def test_a_damaged_tokenizer_is_not_exported(
    tokenizer_dir: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = export_model(trained("gpt2"), tokenizer_dir, tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: not JSON"):
        run_export(ModelExportConfig(run=folder, to="hf", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_of_another_size_is_not_exported(tiny_tokenizer: Path, tmp_path: Path) -> None:
    model = build_model(ModelConfig(layers=1, width=32, context=24), vocab_size=40)
    folder = export_model(model, tiny_tokenizer, tmp_path / "model")
    with pytest.raises(DataError, match="the tokenizer has 70 tokens, the model 40"):
        run_export(ModelExportConfig(run=folder, to="hf", out=tmp_path / "out"))


def test_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no exported model there"):
        load_model(tmp_path)
