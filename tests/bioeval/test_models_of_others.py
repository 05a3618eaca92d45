"""Models that seqloom did not make: encoders of larger models, weights and tokenizers that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.errors import DataError
from bioeval.backends import EmbedSettings, open_model, open_scorer
from bioeval.backends.settings import ScoreSettings
from bioeval.probes.finetune import LowRank
from tests.bioeval.conftest import write_codon_tokenizer

SEQUENCES = ["ACGACGTTT", "TTTACG", "ACG"]


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of two layers."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    shape: dict[str, Any] = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = T5Config(vocab_size=70, pad_token_id=0, **shape)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    write_codon_tokenizer(folder)
    return folder


def embedded(folder: Path, **settings: Any) -> np.ndarray:
    return open_model(str(folder), EmbedSettings(device="cpu", **settings)).embed(SEQUENCES)


def test_of_an_encoder_and_decoder_the_encoder_is_read(t5: Path) -> None:
    import torch
    from transformers import AutoTokenizer, T5EncoderModel

    model, tokenizer = T5EncoderModel.from_pretrained(t5).eval(), AutoTokenizer.from_pretrained(t5)
    every = embedded(t5, layer="all")
    for row, layers, sequence in zip(embedded(t5), every, SEQUENCES):
        with torch.inference_mode():
            out = model(**tokenizer(sequence, return_tensors="pt"), output_hidden_states=True)
        assert row == pytest.approx(out.last_hidden_state[0, 1:-1].mean(0).numpy(), abs=1e-5)
        hidden = np.concatenate([state[0, 1:-1].mean(0).numpy() for state in out.hidden_states])
        assert layers == pytest.approx(hidden, abs=1e-5)
    twin = open_model(f"random-init:{t5}", EmbedSettings(device="cpu", seed=3)).embed(SEQUENCES)
    assert not np.allclose(twin, embedded(t5))


def test_its_attention_is_adapted(t5: Path) -> None:
    from bioeval.probes.low_rank import adapt

    model = open_model(str(t5), EmbedSettings(device="cpu")).fresh_model()  # pyright: ignore
    chosen = adapt(model, rank=LowRank().rank, alpha=1.0)
    assert len(chosen) == 4 and {name.rsplit(".")[-1] for name in chosen} == {"q", "v"}


def test_weights_that_do_not_fit_are_no_model(gpt2: Path, t5: Path, tmp_path: Path) -> None:
    """They would all be drawn at random, and the model would pass for a trained one."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "other"
    shutil.copytree(gpt2 / "model", folder)
    weights = load_file(folder / "model.safetensors")
    named = {f"other.{name}": value for name, value in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"no weights for h\.0\..* of AutoModel \(\d+ missing\)"):
        embedded(folder)
    with pytest.raises(DataError, match=r"no weights for transformer\.h\.0"):
        open_scorer(str(folder), ScoreSettings(device="cpu")).score(SEQUENCES)


def test_a_pooler_may_be_missing(tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertModel

    shape: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    with torch.random.fork_rng(devices=[]):
        model = BertForMaskedLM(BertConfig(vocab_size=70, **shape))
    model.save_pretrained(tmp_path)
    write_codon_tokenizer(tmp_path)
    assert BertModel(model.config).pooler is not None
    assert embedded(tmp_path).shape == (3, 16)


def test_a_tokenizer_of_another_model_is_one_line(gpt2: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(gpt2 / "model", folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"TTT": 69', '"TTT": 99'))
    for ask in (lambda: embedded(folder), lambda: open_scorer(str(folder)).score(SEQUENCES)):
        with pytest.raises(DataError, match="its tokenizer gives token 99, the model knows 0 to 69"):
            ask()


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "tokenizer.model"])
def test_every_file_of_a_tokenizer_is_part_of_the_key(gpt2: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(gpt2 / "model", folder)
    key = open_model(str(folder)).key
    (folder / name).write_text("{}")
    changed = open_model(str(folder)).key
    (folder / name).write_text("{ }")
    assert len({key, changed, open_model(str(folder)).key}) == 3
    (folder / name).unlink()
    (folder / "README.md").write_text("a card")
    assert open_model(str(folder)).key == key
