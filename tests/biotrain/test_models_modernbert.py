"""ModernBERT against transformers' class; packing, padding and gradients are in the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from biodata.errors import ConfigError, DataError
from biodata.files import read_json, write_json
from biotrain.export import export_model, load_model
from biotrain.layers.transformer import Transformer
from biotrain.models import ModelConfig, build_model, count_parameters
from biotrain.models.modern_config import ModernConfig

transformers = pytest.importorskip("transformers")


@pytest.fixture
def tokenizer_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def trained(**changes: Any) -> Transformer:
    modern = ModernConfig(local_attention=6, global_every=3, local_rope_base=500.0)
    shape: dict[str, Any] = {"layers": 5, "width": 32, "heads": 4, "ffn": 40, "context": 40, "modern": modern}
    model = build_model(ModelConfig(name="modernbert", rope_base=9000.0, **shape | changes), vocab_size=30)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.2)
    return model.eval()


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"modern": ModernConfig(global_every=1)}])
def test_opens_in_transformers_and_is_read_back(
    tokenizer_dir: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = trained(**changes)
    out = export_model(model, tokenizer_dir, tmp_path / "model")
    theirs, told = transformers.AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(theirs).__name__ == "ModernBertForMaskedLM"
    ids = torch.randint(6, 30, (3, 36), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(36) < torch.tensor([[36], [20], [3]])
    found = theirs.eval()(ids, attention_mask=mask.long()).logits[mask]
    torch.testing.assert_close(found, model(ids, mask=mask)[mask], atol=1e-5, rtol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")  # in the words of transformers 5
    for folder in (out, tmp_path / "theirs"):
        again = load_model(folder)
        assert again.config == model.config
        torch.testing.assert_close(again(ids, mask=mask), model(ids, mask=mask), atol=0, rtol=0)


def test_base_has_transformers_parameters() -> None:
    config = ModelConfig(name="modernbert", layers=22, width=768, heads=12, ffn=1152, context=8192)
    with torch.device("meta"):
        theirs = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig())
    expected = sum(p.numel() for p in theirs.parameters())
    assert count_parameters(config, vocab_size=50368)["total"] == expected


def test_layers_that_are_not_every_nth_are_refused(tokenizer_dir: Path, tmp_path: Path) -> None:
    out = export_model(trained(), tokenizer_dir, tmp_path / "model")
    kinds = ["full_attention", "full_attention", "sliding_attention", "full_attention", "full_attention"]
    write_json(out / "config.json", read_json(out / "config.json") | {"layer_types": kinds})
    with pytest.raises(DataError, match="layer_types must have full_attention in every n-th layer") as caught:
        load_model(out)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bidirectional": False}, "model 'modernbert' has no bidirectional False"),
        ({"position": "learned"}, "model 'modernbert' has no position 'learned'"),
        ({"name": "bert", "modern": ModernConfig()}, "model 'bert' has no option modern"),
    ],
)
def test_what_does_not_fit_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**{"name": "modernbert", **settings})
    with pytest.raises(ConfigError, match="local_attention must be even, got 7"):
        ModernConfig(local_attention=7)
