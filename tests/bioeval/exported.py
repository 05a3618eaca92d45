"""Small models of every backbone in the layout that `seqloom train` leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biodata.codon import CODONS
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.export import export_model
from biotrain.models import MODELS, ModelConfig, build_model
from tests.bioeval.conftest import write_codon_tokenizer

VOCAB = 70


def export(folder: Path, name: str, *, metadata: dict[str, Any] | None = None, **shape: Any) -> Path:
    """An exported model of two layers whose every weight has an unlikely value; codons, context 24."""
    import torch

    if "heads" in MODELS.load(name).takes:
        shape.setdefault("heads", 4)
    config = ModelConfig(name=name, **{"layers": 2, "width": 32, "ffn": 48, "context": 24, **shape})
    config = config.architecture.of_tokens(config, (*SPECIAL_TOKENS, *CODONS))
    model = build_model(config, vocab_size=VOCAB)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.15)
    tokenizer = folder.parent / f"{folder.name}-tokenizer"
    tokenizer.mkdir(parents=True)
    write_codon_tokenizer(tokenizer)
    return export_model(model.eval(), tokenizer, folder, metadata=metadata)
