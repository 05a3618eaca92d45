"""Based: sizes, its layers against plain loops, parallel against recurrent, padding, packing, memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from biodata.errors import ConfigError
from biodata.io.fasta import read_fasta
from biodata.tokenizers import load_tokenizer
from biodata.tokenizers.special import BOS, EOS
from biotrain.config import TrainConfig
from biotrain.export import load_model
from biotrain.generate import GenerateConfig, generate
from biotrain.layers import cuda_kernels, kernels, linear_attention
from biotrain.layers.linear_attention import taylor_attention, taylor_features, taylor_step
from biotrain.layers.window_attention import window_attention
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model, count_parameters
from biotrain.models.based import based_of, kind_of
from biotrain.models.based_config import BasedConfig

SMALL = BasedConfig(linear_layers=(1,), window_layers=(2,), attention_window=5, feature_width=4)


def shaken(**changes: object):
    """A small model with a layer of each kind, every parameter far from its start."""
    shape = {"layers": 3, "width": 24, "heads": 3, "ffn": 40, "context": 40, "based": SMALL, **changes}
    model = build_model(ModelConfig(name="based", **shape), vocab_size=30, seed=3).eval()
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.2)
    return model


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(6, 30, (5, 32), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(32) < torch.tensor([[32], [19], [3], [2], [1]])
    return ids.masked_fill(~mask, 0), mask


def heads(length: int, *, features: int = 4, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    noise = torch.Generator().manual_seed(length)
    shapes = [(2, 3, length, width) for width in (features, features, 6)]
    return [torch.randn(shape, generator=noise, dtype=dtype).requires_grad_() for shape in shapes]


def published_features(x: np.ndarray) -> np.ndarray:
    """1, x / d^(1/4), vec(x x^T) / (sqrt(2) sqrt(d)): 1 + d + d^2 numbers."""
    d = len(x)
    return np.concatenate([[1.0], x / d**0.25, np.outer(x, x).ravel() / math.sqrt(2 * d)])


def recurrent(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> np.ndarray:
    """Token by token with the published state, float64."""
    q, k, v = (x.detach().double().numpy() for x in (q, k, v))
    y = np.zeros_like(v)
    for n, h in itertools.product(range(q.shape[0]), range(q.shape[1])):
        sums, total = 0.0, 0.0
        for t in range(q.shape[2]):
            phi = published_features(k[n, h, t])
            sums, total = sums + np.outer(phi, v[n, h, t]), total + phi
            seen = published_features(q[n, h, t])
            y[n, h, t] = seen @ sums / (seen @ total)
    return y


@pytest.mark.parametrize("width", [1, 2, 16])
def test_features_multiply_to_the_polynomial(width: int) -> None:
    noise = torch.Generator().manual_seed(width)
    q, k = (torch.randn(50, width, generator=noise, dtype=torch.float64) * 3 for _ in "qk")
    s = (q * k).sum(-1) / math.sqrt(width)
    product = (taylor_features(q) * taylor_features(k)).sum(-1)
    torch.testing.assert_close(product, 1 + s + s * s / 2)
    assert (product >= 0.5 - 1e-12).all() and taylor_features(q).shape[-1] == 1 + width + width * (
        width + 1
    ) // 2
    published = [published_features(a) @ published_features(b) for a, b in zip(q.numpy(), k.numpy())]
    np.testing.assert_allclose(product.numpy(), published)


@pytest.mark.parametrize("form", ["pairs", "kernel", "chunks"])
@pytest.mark.parametrize("length", [1, 5, 16, 70])
def test_parallel_equals_recurrent(form: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_attention, "CHUNK", 16)
    monkeypatch.setattr(linear_attention, "QUADRATIC", 0 if form == "chunks" else 512)
    monkeypatch.setattr(kernels, "MIN_ROWS", 1)
    dtype = torch.float32 if form == "kernel" else torch.float64  # the kernel is for float32
    q, k, v = heads(length, dtype=dtype)
    y = taylor_attention(q, k, v, real=None, causal=True)
    tolerance = 1e-5 if form == "kernel" else 1e-11
    np.testing.assert_allclose(y.detach().numpy(), recurrent(q, k, v), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("form", ["kernel", "chunks"])
def test_gradients_are_those_of_all_pairs(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_attention, "CHUNK", 16)
    monkeypatch.setattr(kernels, "MIN_ROWS", 1)
    dtype = torch.float32 if form == "kernel" else torch.float64
    inputs = heads(150, dtype=dtype)
    outer = torch.randn(2, 3, 150, 6, generator=torch.Generator().manual_seed(1), dtype=dtype)
    with kernels.plain_kernels():
        expected = torch.autograd.grad(taylor_attention(*inputs, real=None, causal=True), inputs, outer)
    monkeypatch.setattr(linear_attention, "QUADRATIC", 0 if form == "chunks" else 512)
    found = torch.autograd.grad(taylor_attention(*inputs, real=None, causal=True), inputs, outer)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("limit", [0, 512])
def test_two_sided_sums_over_all_real_tokens(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_attention, "QUADRATIC", limit)
    q, k, v = heads(9)
    real = torch.arange(9) < torch.tensor([[9], [4]])
    y = taylor_attention(q, k, v, real=real, causal=False).detach()
    for n, h, t in itertools.product(range(2), range(3), range(4)):
        s = (q[n, h, t] * k[n, h]).sum(-1) / 2.0
        weights = torch.where(real[n], 1 + s + s * s / 2, 0.0)
        torch.testing.assert_close(y[n, h, t], (weights @ v[n, h] / weights.sum()).detach())


def test_state_has_one_size_whatever_was_read() -> None:
    state = None
    for length in (1, 7, 30):
        q, k, v = heads(length, features=16)
        _, state = taylor_step(q, k, v, state)
        assert state.shape == (2, 3, 153, 7)


@pytest.mark.parametrize(("length", "window"), [(1, 3), (6, 3), (7, 3), (20, 3), (21, 5), (12, 1), (4, 9)])
@pytest.mark.parametrize("causal", [True, False])
def test_window_equals_masked_softmax(length: int, window: int, causal: bool) -> None:
    noise = torch.Generator().manual_seed(length)
    q, k, v = (torch.randn(2, 3, length, 4, generator=noise, dtype=torch.float64) for _ in "qkv")
    real = torch.arange(length) < torch.tensor([[length], [max(1, length // 2)]])
    y = window_attention(q, k, v, window=window, real=real, causal=causal)
    for n in range(2):
        for i in range(int(real[n].sum())):
            js = [j for j in range(i - window + 1, i + 1 if causal else i + window)
                  if 0 <= j < int(real[n].sum())]  # fmt: skip
            weights = (torch.einsum("he,hje->hj", q[n, :, i], k[n][:, js]) / 2).softmax(-1)
            torch.testing.assert_close(y[n, :, i], torch.einsum("hj,hje->he", weights, v[n][:, js]))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gated_convolution_equals_loops(bidirectional: bool) -> None:
    mixer = shaken(bidirectional=bidirectional, position="learned").blocks[0].mixer
    u = torch.randn(1, 7, 96, generator=torch.Generator().manual_seed(1))
    first, gate = u[0].double().split(48, -1)
    taps = mixer.short.weight[:, 0].double()
    y = torch.zeros(7, 48, dtype=torch.float64)
    for t, tap in itertools.product(range(7), range(3)):
        source = t + tap - (1 if bidirectional else 2)
        if 0 <= source < 7:
            y[t] += taps[:, tap] * first[source]
    torch.testing.assert_close(mixer._mix(u, None)[0].double(), F.silu(y) * gate, atol=1e-5, rtol=1e-5)


def test_kernels_equal_plain_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MIN_ROWS", 1)
    model, (ids, mask) = shaken().train(), padded_batch()
    outer = torch.randn(5, 32, 30, generator=torch.Generator().manual_seed(2)) * mask[..., None]

    def run(width: int) -> list[torch.Tensor]:
        logits = model(ids[:, :width], mask=mask[:, :width])
        gradients = torch.autograd.grad(logits, list(model.parameters()), outer[:, :width])
        return [logits[mask[:, :width]].detach(), *gradients]

    for width in (32, 2, 1):
        fast = run(width)
        with kernels.plain_kernels():
            plain = run(width)
        for a, b in zip(fast, plain):
            torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("position", ["none", "rope", "learned"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_and_packing_do_not_matter(position: str, bidirectional: bool) -> None:
    config = {"bidirectional": bidirectional, "position": position}
    if position == "rope":
        config |= {"heads": 2}
    model, (ids, mask) = shaken(**config), padded_batch()
    together, rubbish = model(ids, mask=mask), model(ids.masked_fill(~mask, 29), mask=mask)
    lengths = mask.sum(1).tolist()
    alone = [model(ids[row : row + 1, :length])[0] for row, length in enumerate(lengths)]
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row, :length], alone[row], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[row, :length], rubbish[row, :length], atol=1e-6, rtol=1e-6)
    packed = torch.cat([*(ids[row, :n] for row, n in enumerate(lengths)), torch.zeros(7, dtype=torch.long)])
    numbers = torch.cat([torch.full((n,), i) for i, n in enumerate([*lengths, 7])]).view(2, 32)
    logits = model(packed.view(2, 32), mask=numbers < 5, documents=numbers).flatten(0, 1)
    expected = torch.cat(alone)
    torch.testing.assert_close(logits[: len(expected)], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("limit", [0, 512])
@pytest.mark.parametrize("name", ["based", "hyena"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_alone_gives_no_nan(
    name: str, bidirectional: bool, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_attention, "QUADRATIC", limit)
    config = ModelConfig(name=name, layers=3, width=16, context=32, bidirectional=bidirectional)
    model, (ids, mask) = build_model(config, vocab_size=30), padded_batch()
    mask[4] = False
    numbers = torch.arange(32).expand(5, 32) // 8  # documents of padding alone among them
    for documents in (None, numbers):
        model.zero_grad()
        model(ids, mask=mask, documents=documents)[mask].square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("position", ["none", "rope", "learned"])
def test_memory_gives_the_same_logits(position: str) -> None:
    model, (ids, _) = shaken(position=position, heads=2), padded_batch()
    cache, full = model.new_cache(5, 32), model(ids)
    cuts = ((0, 5), (5, 6), (6, 7), (7, 20), *((t, t + 1) for t in range(20, 32)))
    pieces = [model(ids[:, a:b], cache=cache) for a, b in cuts]
    torch.testing.assert_close(torch.cat(pieces, 1), full, atol=1e-5, rtol=1e-5)
    assert cache.of[2]["keys"].shape[2] == 4 and cache.of[1]["sums"].shape[2] == 15
    cache.keep(torch.tensor([True, False, True, False, False]))
    more = model(ids[[0, 2], :1], cache=cache)
    again = torch.cat((ids[[0, 2]], ids[[0, 2], :1]), 1)
    torch.testing.assert_close(more[:, 0], model(again)[:, -1], atol=1e-5, rtol=1e-5)


def test_blocks_are_the_published_ones() -> None:
    config = ModelConfig(name="based", layers=27, width=1024)
    based = based_of(config)
    assert based.linear_layers == (1, 6, 11, 16, 21) and based.window_layers == (2, 7, 12, 17, 22)
    assert config.heads == 16 and config.ffn == 2048 and based.feature_width == 16
    gpt2 = count_parameters(config, vocab_size=50_280)["total"]
    assert gpt2 / 1e6 == pytest.approx(362, abs=1)  # "360M"
    small = ModelConfig(name="based", layers=3, width=16, heads=2)
    assert [kind_of(small, layer) for layer in range(3)] == ["conv", "linear", "window"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"position": "learned"},
        {"tie_embeddings": False, "bidirectional": True},
        {"layers": 1, "based": None},
    ],
)
def test_closed_form_equals_the_built_model(changes: dict) -> None:
    model = shaken(**changes)
    counts = count_parameters(model.config, vocab_size=30)
    assert counts["total"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("based", "message"),
    [
        ({"linear_layers": (1, 9)}, "model linear_layers has 9, but there are 3 blocks .allowed: 0 to 2."),
        ({"linear_layers": (1,), "window_layers": (1,)}, "block 1 stands in both"),
        ({"attention_window": 0}, "model attention_window must be 1 or more, got 0"),
        ({"conv_expand": 1}, "model conv_expand must be 2 or more, got 1"),
    ],
)
def test_refusals_are_one_line(based: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(name="based", layers=3, width=16, heads=2, based=BasedConfig(**based))


@pytest.mark.parametrize("name", ["based", "hyena"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_overfits_eight_sequences(name: str, bidirectional: bool) -> None:
    """Causal: each next token. Two-sided: every token of which a third is hidden."""
    config = ModelConfig(name=name, layers=3, width=32, context=24, bidirectional=bidirectional,
                         position="learned")  # fmt: skip
    model = build_model(config, vocab_size=20, seed=1).train()
    ids = torch.randint(6, 20, (8, 16), generator=torch.Generator().manual_seed(1))
    hidden = torch.rand(8, 16, generator=torch.Generator().manual_seed(2)) < 0.3
    inputs = ids.masked_fill(hidden, 4) if bidirectional else ids[:, :-1]
    targets = ids[hidden] if bidirectional else ids[:, 1:].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    loss = torch.tensor(torch.inf)
    for _ in range(70):
        logits = model(inputs)
        loss = F.cross_entropy(logits[hidden] if bidirectional else logits.flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.25  # ln 14 = 2.64 at the start; causal at best 0.18, as first tokens are a guess


@pytest.mark.parametrize("name", ["based", "hyena"])
def test_trains_and_generates_what_the_slow_way_would(
    name: str, tiny_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = tiny_config(model=ModelConfig(name=name, layers=3, width=16, context=32), max_steps=3, pack=True)
    assert math.isfinite(train(config)["val_loss"])
    out = tmp_path / "new.fasta"
    generate(GenerateConfig(run=config.out, out=out, num=3, temperature=0, max_length=20, batch_size=2))
    model, tokenizer = load_model(config.out), load_tokenizer(config.tokenizer)
    ids = [BOS]
    for step in range(20):
        logits = model(torch.tensor([ids]))[0, -1]
        logits[[token for token in range(6) if token != EOS or step == 0]] = -torch.inf
        ids.append(int(logits.argmax()))
        if ids[-1] == EOS:
            break
    made = [row["sequence"] for batch in read_fasta(out) for row in batch.to_pylist()]
    assert made == [tokenizer.decode(ids)] * 3


def played(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """What flash-linear-attention computes, by loops: [N, L, H, ..], each token over those up to it."""
    rows = []
    for i in range(q.shape[1]):
        s = torch.einsum("nhd,njhd->njh", q[:, i], k[:, : i + 1]) / math.sqrt(q.shape[-1])
        weights = 1 + s + s * s / 2
        rows.append((weights[..., None] * v[:, : i + 1]).sum(1) / (weights.sum(1) + 1e-6)[..., None])
    return torch.stack(rows, 1)


@pytest.mark.parametrize("kernel", [played, lambda q, k, v: v.cumsum(1)], ids=["right", "wrong"])
def test_the_cuda_kernel_serves_only_where_it_agrees(
    kernel: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def find(like: torch.Tensor, module: str, name: str) -> object:
        assert (module, name) == ("fla.ops.based", "fused_chunk_based")
        return lambda q, k, v: calls.append(q.shape[1]) or kernel(q, k, v)

    q, k, v = (torch.randn(2, 3, 20, width, dtype=torch.float64) for width in (4, 4, 5))
    plain = taylor_attention(q, k, v, real=None, causal=True)
    monkeypatch.setattr(cuda_kernels, "_kernel", find)
    found = taylor_attention(q, k, v, real=None, causal=True)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    assert (20 in calls) == (kernel is played)
    assert ("is off by" in capsys.readouterr().err) == (kernel is not played)
    two_sided = taylor_attention(q, k, v, real=None, causal=False)
    assert two_sided.isfinite().all() and calls.count(20) == int(kernel is played)


def test_nothing_needs_flash_linear_attention() -> None:
    assert not cuda_kernels.has_taylor(torch.device("cpu"))
