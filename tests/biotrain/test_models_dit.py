"""Diffusion transformers: published sizes, presets, and the same numbers in transformers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from biotrain.diffusion.gaussian import sample
from biotrain.diffusion.image_model import DitImage
from biotrain.diffusion.paint import guided
from biotrain.export import export_model, load_model
from biotrain.models import ModelConfig, build_model, count_parameters
from biotrain.models.diffusion_config import DitConfig, ImageConfig

from .test_models_presets import config_of, meta_parameters

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("offline_hub")
VOCAB = 20

DIT = {
    "s": (12, 384, 6, 32.87),
    "b": (12, 768, 12, 130.3),
    "l": (24, 1024, 16, 457.8),
    "xl": (28, 1152, 16, 674.8),
}
"""Layers, width, heads and millions of parameters of DiT-X/2 (arXiv:2212.09748, table 1)."""

TOKENS = {"14m": (7, 384), "50m": (14, 512), "100m": (13, 768), "320m": (24, 1024), "1b": (25, 1792)}
"""Layers and width of the presets, MDLM's backbone in other sizes."""


@pytest.mark.parametrize("size", DIT)
def test_pictures_have_dit_s_parameters(size: str) -> None:
    """Published: four latent channels, 1000 labels and one for none, a variance beside each number."""
    layers, width, heads, millions = DIT[size]
    config = config_of(f"dit-image-{size}")
    assert (config.layers, config.width, config.heads) == (layers, width, heads)
    ours = count_parameters(config, vocab_size=16)["total"]
    assert ours == meta_parameters(config, 16)
    assert config.image is not None and config.image.numbers == 4 * 2 * 2
    names = tuple(f"n{number:04d}" for number in range(1000))
    image = replace(config.image, label="synset", classes=names, learned_variance=True)
    published = replace(config, image=image)
    count = count_parameters(published, vocab_size=16)["total"]
    assert count / 1e6 == pytest.approx(millions, rel=2e-4) and count == meta_parameters(published, 16)


def test_tokens_have_mdlm_s_parameters() -> None:
    config = ModelConfig(name="dit", layers=12, width=768, context=1024, tie_embeddings=False)
    count = count_parameters(config, vocab_size=50_258)["total"]
    assert count == meta_parameters(config, 50_258) and count / 1e6 == pytest.approx(169.6, abs=0.05)


@pytest.mark.parametrize("size", TOKENS)
def test_presets_of_tokens(size: str) -> None:
    layers, d = TOKENS[size]
    config = config_of(f"dit-{size}")
    assert (config.layers, config.width) == (layers, d)
    c = 128
    block = 4 * d * d + 8 * d * d + 5 * d + 6 * d * (c + 1) + 2 * d
    by_hand = layers * block + 257 * c + (c + 1) * c + d + 2 * d * (c + 1) + 2 * 70 * d + 70
    count = count_parameters(config, vocab_size=70)["total"]
    assert count == by_hand == meta_parameters(config, 70)
    advertised = float(size[:-1]) * (1e9 if size.endswith("b") else 1e6)
    assert count == pytest.approx(advertised, rel=0.05)


@pytest.mark.parametrize(
    "changes",
    [{}, {"position": "learned", "tie_embeddings": False}, {"dit": DitConfig(condition=12), "ffn": 20}],
)
def test_closed_form_equals_the_built_model(changes: dict[str, Any]) -> None:
    config = ModelConfig(name="dit", layers=2, width=24, heads=2, context=9, **changes)
    assert count_parameters(config, vocab_size=13)["total"] == meta_parameters(config, 13)


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def shaken(config: ModelConfig) -> Any:
    model = build_model(config, vocab_size=VOCAB)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.2)
    return model.eval()


def opened(cls: type, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (FutureWarning, DeprecationWarning))
        model, info = cls.from_pretrained(folder, output_loading_info=True, trust_remote_code=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return model.eval()


@pytest.mark.parametrize(
    "changes", [{}, {"position": "alibi", "tie_embeddings": False}, {"position": "learned"}]
)
def test_tokens_in_transformers(tokenizer_dir: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    model = shaken(ModelConfig(name="dit", layers=2, width=32, heads=4, context=24, **changes))
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    hf = opened(transformers.AutoModelForMaskedLM, folder)
    ids = torch.randint(6, VOCAB, (3, 12), generator=torch.Generator().manual_seed(1))
    ids[:, 3], ids[1, 5:8] = 4, 4
    mask = torch.arange(12) < torch.tensor([[12], [9], [4]])
    with torch.no_grad():
        ours, theirs = model(ids, mask=mask), hf(ids, attention_mask=mask.long())
        states = hf.model(ids, attention_mask=mask, output_hidden_states=True)
    torch.testing.assert_close(ours[mask], theirs.logits[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        model.hidden(ids, mask)[mask], states.last_hidden_state[mask], atol=1e-5, rtol=1e-5
    )
    assert len(states.hidden_states) == 3
    again = load_model(folder)
    assert again.config == model.config and torch.equal(again(ids, mask=mask), ours)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("tells", ["v", "eps"])
def test_pictures_in_transformers(tokenizer_dir: Path, tmp_path: Path, tells: Any, labelled: bool) -> None:
    image = ImageConfig(picture="color_square", side=8, patch=4, tells=tells)
    if labelled:
        image = replace(image, label="kind", classes=("a", "b"), learned_variance=True)
    model = shaken(ModelConfig(name="dit_image", layers=2, width=32, heads=4, context=64, image=image))
    folder = export_model(model, tokenizer_dir, tmp_path / "run" / "model")
    assert 'AutoModel.from_pretrained(".", trust_remote_code=True)' in (folder / "README.md").read_text()
    hf = opened(transformers.AutoModel, folder)
    noise = torch.Generator().manual_seed(2)
    x, times = torch.randn(3, 4, 8, 8, generator=noise), torch.tensor([0.0, 0.3, 0.999])
    with torch.no_grad():
        ours = model(x, times=times)
        torch.testing.assert_close(hf(x, times).last_hidden_state, ours, atol=1e-5, rtol=0)
        assert ours.shape[1] == (8 if labelled else 4)
        again = load_model(folder)
        assert isinstance(again, DitImage) and torch.equal(again(x, times=times), ours)
        start = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        expected = sample(guided(model, "b" if labelled else "", 2.0), start, steps=5, kind=tells)
        options = {"label": "b", "guidance": 2.0} if labelled else {}
        made = hf.sample(2, steps=5, generator=torch.Generator().manual_seed(3), **options)
        if labelled:
            classes = torch.tensor([0, 1, 2])
            theirs = hf(x, times, classes).last_hidden_state
            torch.testing.assert_close(theirs, model(x, times=times, labels=classes), atol=1e-5, rtol=0)
            assert torch.equal(theirs[2], ours[2]) or torch.allclose(theirs[2], ours[2], atol=1e-5)
            assert not torch.allclose(theirs[:2], ours[:2], atol=1e-3)
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=1e-3)
