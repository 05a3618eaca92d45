"""biotrain.layers.spans: attention within documents equals attention under a mask, in value and gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from biotrain.layers import scene
from biotrain.layers.spans import find_spans
from biotrain.models import ModelConfig, build_model

SHAPE: dict[str, Any] = {"layers": 2, "width": 32, "heads": 4, "context": 16}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "moe"])
def test_equals_a_mask(name: str, bidirectional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    grouped = {"kv_heads": 2} if name in ("llama", "moe") else {}
    config = ModelConfig(name=name, bidirectional=bidirectional, **SHAPE, **grouped)
    model = build_model(config, vocab_size=20, seed=1)
    ids = torch.randint(6, 20, (3, 12), generator=torch.Generator().manual_seed(0))
    lengths = ([5, 1, 4], [12], [2, 3, 3])  # the first and the last row end in padding
    documents, mask = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, sizes in enumerate(lengths):
        documents[row, : sum(sizes)] = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        documents[row, sum(sizes) :], mask[row, : sum(sizes)] = len(sizes), True
    found = []
    for masked in (False, True):
        if masked:
            monkeypatch.setattr(scene, "find_spans", lambda *args: None)
        model.zero_grad()
        logits = model(ids, mask=mask, documents=documents)[mask]
        logits.square().sum().backward()
        found.append((logits, [p.grad for p in model.parameters()]))
    torch.testing.assert_close(found[0], found[1])


def test_where_documents_lie() -> None:
    documents = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    spans = find_spans(ModelConfig(**SHAPE), documents, mask)
    assert spans is not None and spans.sizes == [2, 1, 1, 4] and spans.longest == 4
    assert spans.bounds.tolist() == [0, 2, 3, 4, 8] and spans.causal
    assert find_spans(ModelConfig(position="alibi", **SHAPE), documents, mask) is None
