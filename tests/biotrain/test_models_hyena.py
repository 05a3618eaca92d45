"""Hyena: published sizes, its formulas in plain loops, padding, packing, memory, the CPU kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from biodata.errors import ConfigError
from biotrain.layers import kernels
from biotrain.layers.hyena import HyenaMixer
from biotrain.layers.long_conv import fft_size, long_conv
from biotrain.models import ModelConfig, build_model, count_parameters
from biotrain.models.hyena_config import HyenaConfig
from biotrain.optim import OptimConfig
from biotrain.optim.groups import parameter_groups


def shaken(seed: int = 5, **changes: object):
    """A small model whose every parameter is far from its start, less so in the filters: with weights of 0.2
    three layers of sin(10 x) make 1000 times as much of a rounding error, and of the order of summation."""
    shape = {"layers": 2, "width": 24, "ffn": 40, "context": 40, **changes}
    model = build_model(ModelConfig(name="hyena", **shape), vocab_size=30, seed=3).eval()
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn(p.shape, generator=noise) * (0.04 if ".filter." in name else 0.2))
    return model


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(6, 30, (5, 32), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(32) < torch.tensor([[32], [19], [3], [2], [1]])
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.parametrize(("layers", "width", "total"), [(2, 128, 436_096), (8, 256, 6_550_528)])
def test_hyenadna_has_the_published_number_of_parameters(layers: int, width: int, total: int) -> None:
    config = ModelConfig(name="hyena", layers=layers, width=width, context=1026)
    assert count_parameters(config, vocab_size=16)["total"] == total
    with torch.device("meta"):
        assert sum(p.numel() for p in config.architecture.build(config, 16).parameters()) == total


def test_helms_mixer_has_its_number_of_parameters() -> None:
    hyena = HyenaConfig(filter_features=3)
    with torch.device("meta"):
        mixer = HyenaMixer(ModelConfig(name="hyena", width=768, context=444, hyena=hyena))
    assert sum(p.numel() for p in mixer.parameters()) == 2_430_144


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("position", ["none", "learned"])
def test_closed_form_equals_the_built_model(bidirectional: bool, position: str) -> None:
    hyena = HyenaConfig(filter_width=10, filter_features=7, short_conv=5)
    config = ModelConfig(name="hyena", layers=2, width=12, ffn=20, context=9, hyena=hyena, position=position,
                         bidirectional=bidirectional, tie_embeddings=False)  # pyright: ignore # fmt: skip
    counts = count_parameters(config, vocab_size=13)
    assert counts["total"] == sum(p.numel() for p in build_model(config, vocab_size=13).parameters())


def filter_by_hand(mixer: HyenaMixer, t: int) -> np.ndarray:
    """k_t of every channel (and side) in float64, from HyenaDNA's formulas."""
    f, c = mixer.filter, mixer.context
    w = {name: p.detach().double().numpy() for name, p in f.named_parameters()}
    bands = np.linspace(1e-4, f.bands - 1, f.bands)
    z = np.exp(-1j * bands * 2 * math.pi * t / c)
    h = np.concatenate([[t / (c - 1)], z.real, z.imag])
    h = np.sin(w["frequency"] * (w["first.weight"] @ h + w["first.bias"]))
    for i in range(2):
        h = np.sin(w["frequency"] * (w[f"inner.{i}.weight"] @ h + w[f"inner.{i}.bias"]))
    deltas = np.abs(np.linspace(math.log(1e-2) / 1.5, math.log(1e-2) / 0.3, f.width))
    k = (w["last.weight"] @ h).reshape(-1, f.width)
    return k * (np.exp(-t / (c - 1) * deltas) + 0.05)


def mixer_by_hand(mixer: HyenaMixer, x: np.ndarray) -> np.ndarray:
    """[L, D] to [L, D] by loops over places in float64."""
    w = {name: p.detach().double().numpy() for name, p in mixer.named_parameters()}
    length, d = x.shape
    u = x @ w["inner.weight"].T + w["inner.bias"]
    taps = w["short.weight"][:, 0]
    first = -1 if mixer.two_sided else -2
    short = np.zeros_like(u) + w["short.bias"]
    for t in range(length):
        for tap in range(3):
            if 0 <= t + first + tap < length:
                short[t] += taps[:, tap] * u[t + first + tap]
    x0, x1, v = short[:, :d], short[:, d : 2 * d], short[:, 2 * d :]
    v = v * x1
    k = [filter_by_hand(mixer, t) for t in range(length)]
    y = v * w["skip"]
    for t in range(length):
        for s in range(length):
            if s <= t:
                y[t] += k[t - s][0] * v[s]
            if s >= t and mixer.two_sided:
                y[t] += k[s - t][1] * v[s]
    return (y * x0) @ w["out.weight"].T + w["out.bias"]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("length", [1, 2, 17])
def test_mixer_equals_plain_loops(bidirectional: bool, length: int) -> None:
    model = shaken(bidirectional=bidirectional)
    mixer = model.blocks[0].mixer
    x = torch.randn(2, length, 24, generator=torch.Generator().manual_seed(2))
    blank = torch.zeros(2, length, dtype=torch.long)
    found: list[torch.Tensor] = []
    hook = mixer.register_forward_hook(lambda module, inputs, output: found.extend((inputs[0], output)))
    model(blank)
    hook.remove()
    inputs, output = found
    for row in range(2):
        expected = mixer_by_hand(mixer, inputs[row].detach().double().numpy())
        np.testing.assert_allclose(output[row].detach().numpy(), expected, atol=2e-5, rtol=2e-5)
    assert x.shape == inputs.shape


@pytest.mark.parametrize("sides", [1, 2])
def test_long_convolution_and_its_gradient_equal_loops(sides: int) -> None:
    noise = torch.Generator().manual_seed(4)
    v = torch.randn(2, 3, 6, generator=noise, dtype=torch.float64).requires_grad_()
    k = torch.randn(sides, 3, 6, generator=noise, dtype=torch.float64).requires_grad_()
    expected = torch.zeros(2, 3, 6, dtype=torch.float64)
    for t in range(6):
        for s in range(6):
            if s <= t:
                expected[..., t] += (k[0, :, t - s] * v[..., s]).detach()
            if s >= t and sides == 2:
                expected[..., t] += (k[1, :, s - t] * v[..., s]).detach()
    torch.testing.assert_close(long_conv(v, k), expected)
    assert torch.autograd.gradcheck(long_conv, (v, k))


def test_transforms_are_long_enough_and_of_fast_sizes() -> None:
    for length in range(1, 700):
        size = rest = fft_size(length)
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1 and 2 * length - 1 <= size <= 1.25 * (2 * length - 1) + 1


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_padding_and_neighbours_do_not_matter(
    bidirectional: bool, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "MIN_ROWS", 1)
    monkeypatch.setattr(kernels, "_allowed", not plain)
    model, (ids, mask) = shaken(bidirectional=bidirectional, position="learned"), padded_batch()
    together, rubbish = model(ids, mask=mask), model(ids.masked_fill(~mask, 29), mask=mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = model(ids[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[row, :length], rubbish[row, :length], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_documents_are_as_alone(bidirectional: bool) -> None:
    model, (ids, mask) = shaken(bidirectional=bidirectional, position="learned"), padded_batch()
    lengths = mask.sum(1).tolist()
    documents = [ids[row, :length] for row, length in enumerate(lengths)]
    packed = torch.cat([documents[0], *documents[1:], torch.zeros(7, dtype=torch.long)]).view(2, 32)
    numbers = torch.cat([torch.full((n,), i) for i, n in enumerate([*lengths, 7])]).view(2, 32)
    real = numbers < 5
    logits = model(packed, mask=real, documents=numbers).flatten(0, 1)
    expected = torch.cat([model(d[None])[0] for d in documents])
    torch.testing.assert_close(logits[: len(expected)], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_kernel_equals_plain_pytorch(bidirectional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MIN_ROWS", 1)
    model, (ids, mask) = shaken(bidirectional=bidirectional).train(), padded_batch()
    outer = torch.randn(5, 32, 30, generator=torch.Generator().manual_seed(2)) * mask[..., None]

    def run() -> list[torch.Tensor]:
        logits = model(ids, mask=mask)
        return [logits[mask].detach(), *torch.autograd.grad(logits, list(model.parameters()), outer)]

    fast = run()
    with kernels.plain_kernels():
        plain = run()
    for a, b in zip(fast, plain):
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-5)


def test_memory_gives_the_same_logits() -> None:
    model, (ids, _) = shaken(position="learned"), padded_batch()
    cache, full = model.new_cache(5, 32), model(ids)
    cuts = ((0, 5), (5, 6), (6, 7), (7, 20), *((t, t + 1) for t in range(20, 32)))
    pieces = [model(ids[:, a:b], cache=cache) for a, b in cuts]
    torch.testing.assert_close(torch.cat(pieces, 1), full, atol=1e-5, rtol=1e-5)
    cache.keep(torch.tensor([True, False, True, False, False]))
    more = model(ids[[0, 2], :1], cache=cache)
    again = torch.cat((ids[[0, 2]], ids[[0, 2], :1]), 1)
    torch.testing.assert_close(more[:, 0], model(again)[:, -1], atol=1e-5, rtol=1e-5)


def test_transforms_are_float32_in_bf16() -> None:
    model, (ids, _) = shaken(), padded_batch()
    with torch.autocast("cpu", torch.bfloat16):
        k, logits = model.blocks[0].mixer.filter(32), model(ids)
    assert k.dtype == torch.float32 and torch.equal(k, model.blocks[0].mixer.filter(32))
    full = model(ids)
    assert (logits.float() - full).abs().mean() < 0.02 * full.abs().mean()


def test_filters_are_not_decayed() -> None:
    model = shaken()
    groups = parameter_groups(model, OptimConfig(weight_decay=0.1))
    spared = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    filters = [p for block in model.blocks for p in block.mixer.filter.parameters()]
    assert filters and all(id(p) in spared for p in filters)
    assert id(model.blocks[0].mixer.short.weight) not in spared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 2}, "model 'hyena' has no option heads"),
        ({"position": "rope"}, r"model 'hyena' has no position 'rope' \(allowed: none, learned\)"),
        ({"hyena": {"short_conv": 4}}, "model short_conv must be odd"),
        ({"hyena": {"filter_features": 1}}, "model filter_features must be 3 or more, got 1"),
        ({"name": "gpt2", "hyena": {}}, r"model 'gpt2' has no option hyena \(only 'hyena' has\)"),
    ],
)
def test_refusals_are_one_line(changes: dict, message: str) -> None:
    if "hyena" in changes:
        with pytest.raises(ConfigError, match=message):
            ModelConfig(**{"name": "hyena", **changes, "hyena": HyenaConfig(**changes["hyena"])})
        return
    with pytest.raises(ConfigError, match=message):
        ModelConfig(name="hyena", **changes)


def test_starts_as_published() -> None:
    model = build_model(ModelConfig(name="hyena", layers=2, width=256, context=64), vocab_size=20)
    mixer = model.blocks[0].mixer
    assert (mixer.filter.frequency == 10).all() and mixer.skip.std().item() == pytest.approx(1, rel=0.15)
    assert mixer.short.weight.abs().max() <= 1 / math.sqrt(3) and mixer.short.weight.std() > 0.3
    assert mixer.out.weight.std().item() == pytest.approx(0.02 / 2, rel=0.05)
    assert isinstance(mixer.inner, nn.Linear) and not mixer.inner.bias.any()
