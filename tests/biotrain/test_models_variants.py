"""Positions, grouped keys, packing and caches of every model; each learns eight sequences by heart."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain.layers.positions import alibi_bias, alibi_slopes, places_in_documents, rope_table, rotate
from biotrain.layers.transformer import Transformer
from biotrain.models import MODELS, ModelConfig, MoEConfig, build_model
from tests.vocabularies import dna_tokens

LANGUAGE = [name for name in MODELS if not MODELS.load(name).takes & {"image", "pair"}]
"""Models that give logits over the vocabulary; the others have tests of their own."""

CASES: list[tuple[str, Any, bool]] = [
    (name, position, both)
    for name in LANGUAGE
    for position, both in itertools.product(MODELS.load(name).positions, MODELS.load(name).directions)
    if not (position == "none" and both and MODELS.load(name).attends)
]


def model_of(name: str, **changes: Any) -> Transformer:
    shape: dict[str, Any] = {"layers": 2, "width": 32, "ffn": 24, "context": 24, **changes}
    if "heads" in MODELS.load(name).takes:
        shape.setdefault("heads", 4)
    if name in ("llama", "moe"):
        shape.setdefault("kv_heads", 2)
    if name == "moe":
        shape.setdefault("moe", MoEConfig(experts=4))
    config = ModelConfig(name=name, **shape)
    config = config.architecture.of_tokens(config, dna_tokens(30))
    model = build_model(config, vocab_size=30, seed=3).eval()
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.1)
    return model


def ids_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(6, 30, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "position", "both"), CASES)
def test_packed_documents_are_the_separate_ones(name: str, position: str, both: bool) -> None:
    model = model_of(name, position=position, bidirectional=both)
    ids, lengths = ids_of(2, 20), ([7, 1, 9, 3], [20])
    documents = torch.stack([torch.repeat_interleave(torch.tensor(row)) for row in lengths])
    packed = model(ids, documents=documents)
    for row, sizes in enumerate(lengths):
        pieces = [model(piece[None])[0] for piece in ids[row].split(sizes)]
        torch.testing.assert_close(packed[row], torch.cat(pieces), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LANGUAGE)
def test_padding_at_the_end_of_a_packed_row_never_enters(name: str) -> None:
    model, ids = model_of(name), ids_of(1, 12)
    documents, mask = torch.tensor([[0] * 5 + [1] * 4 + [2] * 3]), torch.arange(12)[None] < 9
    torch.testing.assert_close(
        model(ids, documents=documents, mask=mask)[:, :9], model(ids[:, :9], documents=documents[:, :9]),
        atol=2e-6, rtol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "position"), [(n, p) for n, p, both in CASES if not both])
def test_cache_gives_the_same_logits(name: str, position: str) -> None:
    model, ids = model_of(name, position=position, bidirectional=False), ids_of(3, 20)
    cache = model.new_cache(3, 24)
    pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 7), (7, 8), (8, 12), (12, 20))]
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "position", "both"), CASES)
def test_padding_never_enters_and_only_causal_models_are_blind(name: str, position: str, both: bool) -> None:
    model, ids = model_of(name, position=position, bidirectional=both), ids_of(2, 14)
    mask = torch.arange(14) < torch.tensor([[14], [9]])
    rubbish = model(ids.masked_fill(~mask, 7), mask=mask)
    together = model(ids, mask=mask)
    torch.testing.assert_close(together[1, :9], model(ids[1:, :9])[0], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(rubbish[1, :9], together[1, :9], atol=1e-6, rtol=1e-6)
    changed = ids.clone()
    changed[:, -1] = 6 + (ids[:, -1] - 5) % 24
    same = torch.allclose(model(changed)[:, :-1], model(ids)[:, :-1], atol=1e-6)
    assert same is not both and model.causal is not both


@pytest.mark.parametrize("position", ["rope", "alibi"])
def test_relative_positions_see_distances_only(position: str) -> None:
    """What stands far enough to the left to be another document shifts nothing."""
    model, ids = model_of("gpt2", position=position, bidirectional=True), ids_of(1, 8)
    shifted = torch.cat((torch.full((1, 9), 5), ids), 1)
    mask = (torch.arange(17) >= 9)[None]
    torch.testing.assert_close(model(shifted, mask=mask)[:, 9:], model(ids), atol=2e-6, rtol=1e-5)


def test_rope_is_that_of_transformers() -> None:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    x = torch.randn(2, 11, 3, 8, generator=torch.Generator().manual_seed(0))
    table = rope_table(torch.arange(11), width=8, base=500.0)
    cos, sin = (t[:, 0][None] for t in table)
    expected, _ = llama.apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cos, sin)
    torch.testing.assert_close(rotate(x, table), expected.transpose(1, 2), atol=0, rtol=0)
    angle = 7 / 500 ** (2 / 8)  # place 7, second pair: dimensions 1 and 5
    a, b = x[0, 7, 0, 1].item(), x[0, 7, 0, 5].item()
    turned = a * torch.cos(torch.tensor(angle)) - b * torch.sin(torch.tensor(angle))
    assert rotate(x, table)[0, 7, 0, 1].item() == pytest.approx(turned.item(), abs=1e-6)


@pytest.mark.parametrize("heads", [4, 6, 8, 12])
def test_alibi_is_that_of_bloom(heads: int) -> None:
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 9), heads, torch.float32).view(heads, 9)
    ours = alibi_bias(torch.arange(9), heads=heads, new=9)
    torch.testing.assert_close(ours[:, 8], theirs - theirs[:, 8:], atol=1e-6, rtol=0)
    assert torch.equal(ours, ours.mT) and len(alibi_slopes(heads)) == heads


def test_alibi_attention_is_the_plain_formula() -> None:
    model, ids = model_of("gpt2", position="alibi", layers=1), ids_of(1, 9)
    block, x = model.blocks[0], model.tokens(ids)
    q, k, v = block.attention.qkv(block.norm1(x)).double().view(9, 3, 4, 8).permute(1, 2, 0, 3)
    scores = q @ k.mT / 8**0.5
    for head, i, j in itertools.product(range(4), range(9), range(9)):
        scores[head, i, j] += -(2.0 ** (-2 * (head + 1))) * (i - j) if j <= i else -torch.inf
    y = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1).float()
    x = x + block.attention.out(y)
    x = x + block.mlp.down(F.gelu(block.mlp.up(block.norm2(x)), approximate="tanh"))
    torch.testing.assert_close(model(ids), model.head(model.norm(x)), atol=1e-5, rtol=1e-5)


def test_places_start_again_in_each_document() -> None:
    documents = torch.tensor([[3, 3, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0]])
    expected = torch.tensor([[0, 1, 0, 1, 2, 0], [0, 1, 2, 3, 4, 5]])
    assert torch.equal(places_in_documents(documents), expected)


@pytest.mark.parametrize(("name", "both"), [(n, b) for n in LANGUAGE for b in MODELS.load(n).directions])
def test_learns_eight_sequences_by_heart(name: str, both: bool) -> None:
    heads = {"heads": 2} if "heads" in MODELS.load(name).takes else {}
    config = ModelConfig(name=name, layers=2, width=32, ffn=48, context=16, bidirectional=both, **heads)
    config = config.architecture.of_tokens(config, dna_tokens(30))
    model, ids = build_model(config, vocab_size=30), ids_of(8, 12)
    inputs, rows = ids.clone(), torch.zeros(8, 12, dtype=torch.bool)
    if both:
        rows[:, 3:9:2] = True
        inputs[rows], targets = 4, ids[rows]
    else:
        rows[:, 2:11] = True  # two tokens say which of the eight it is
        targets = ids[:, 1:][rows[:, :-1]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range({"moe": 250, "hyena": 400}.get(name, 120)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs, rows=rows), targets)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize("name", LANGUAGE)
def test_bf16_autocast_is_near_and_has_gradients(name: str) -> None:
    model, ids = model_of(name, width=64).train(), ids_of(2, 16)
    exact = model(ids)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(ids)
    near.float().square().mean().backward()
    assert (near.float() - exact).abs().max() < 0.15 * exact.abs().max()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "gpt2", "kv_heads": 2}, r"model 'gpt2' has no option kv_heads \(llama, moe have\)"),
        ({"name": "llama", "moe": MoEConfig()}, r"model 'llama' has no option moe \(only 'moe' has\)"),
        ({"name": "llama", "moe": MoEConfig(experts=3)}, "model .llama. has no option moe.experts "),
        ({"name": "gpt2", "rope_base": 1e4}, "rope_base 10000 needs position 'rope', got 'learned'"),
        ({"name": "llama", "rope_base": 0.5}, "model rope_base must be 1.001 or more, got 0.5"),
        ({"name": "llama", "heads": 4, "kv_heads": 3}, "heads 4 is not divisible by kv_heads 3"),
        ({"name": "llama", "width": 75, "heads": 3}, "needs heads of even width, got width 75 / heads 3"),
        ({"name": "bert", "position": "none"}, "position 'none' needs a causal model"),
        ({"position": "sinus"}, "position 'sinus'"),
    ],
)
def test_options_that_do_nothing_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ModelConfig(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"experts": 0}, {"experts": 2, "top_k": 3}, {"balance_loss": -1.0}])
def test_bad_experts_are_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"model {list(settings)[-1]} must be"):
        MoEConfig(**settings)


def test_resolved_configurations_are_accepted_again() -> None:
    from biodata.configs import from_dict, to_dict

    for name, position, both in CASES:
        config = ModelConfig(name=name, position=position, bidirectional=both)
        assert from_dict(ModelConfig, to_dict(config)) == config
