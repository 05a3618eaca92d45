"""Models: sizes, numbers of transformers, independence of padding and batch, the CPU kernels."""

from __future__ import annotations

import pytest
import torch

from biodata.errors import ConfigError
from biotrain.layers import cpu, kernels
from biotrain.models import ModelConfig, build_model, count_parameters, flops_per_token

SMALL = ModelConfig(layers=2, width=32, heads=4, ffn=48, context=24)


def model_of(name: str, **changes: object):
    config = ModelConfig(name=name, **{**dict(layers=2, width=32, heads=4, ffn=48, context=24), **changes})
    model = build_model(config, vocab_size=70, seed=3).eval()
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.2)
    return model


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(6, 70, (4, 20), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(20) < torch.tensor([[20], [11], [3], [1]])
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.parametrize(("tied", "total"), [(False, 49_610_240), (True, 49_565_440)])
def test_helm_gpt2_has_the_published_number_of_parameters(tied: bool, total: int) -> None:
    config = ModelConfig(layers=10, width=640, ffn=2560, context=444, tie_embeddings=tied)
    assert count_parameters(config, vocab_size=70)["total"] == total
    with torch.device("meta"):
        model = config.architecture.build(config, 70)
    assert sum(p.numel() for p in model.parameters()) == total


@pytest.mark.parametrize("name", ["gpt2", "bert"])
@pytest.mark.parametrize("tied", [True, False])
def test_counts_equal_the_built_model(name: str, tied: bool) -> None:
    config = ModelConfig(name=name, layers=3, width=24, heads=2, ffn=40, context=9, tie_embeddings=tied)
    model = build_model(config, vocab_size=13)
    counts = count_parameters(config, vocab_size=13)
    assert counts["total"] == counts["active"] == sum(p.numel() for p in model.parameters())
    tables = {id(m.weight): m.weight.numel() for m in (model.tokens, model.positions, model.head)}
    assert counts["embedding"] == sum(tables.values())


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "modernbert", "moe"])
def test_flops_equal_those_that_torch_counts(name: str) -> None:
    """All but those of attention, 12 L d T, and of experts, which torch does not count: 3 matrices each."""
    from torch.utils.flop_counter import FlopCounterMode

    model = model_of(name, tie_embeddings=False)
    counter = FlopCounterMode(display=False)
    with counter, kernels.plain_kernels():
        model(torch.zeros(2, 24, dtype=torch.long)).sum().backward()
    counted = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))
    attention = 12 * model.config.layers * model.config.width * 24
    visited = model.config.moe.top_k if model.config.moe else 0
    experts = 6 * model.config.layers * visited * 3 * model.config.width * model.config.ffn
    assert flops_per_token(model.config, vocab_size=70) - attention - experts == counted / 48


def test_weights_start_as_in_gpt2_and_from_the_seed_alone() -> None:
    config = ModelConfig(layers=8, width=128, context=64)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    a, b, c = (build_model(config, vocab_size=70, seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    assert not torch.equal(a.tokens.weight, c.tokens.weight)
    assert a.blocks[0].mlp.up.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert a.blocks[0].mlp.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)
    assert a.blocks[0].attention.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert not a.blocks[0].mlp.up.bias.any() and (a.norm.weight == 1).all()


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_padding_and_neighbours_do_not_matter(name: str) -> None:
    model = model_of(name)
    ids, mask = padded_batch()
    together = model(ids, mask=mask)
    rubbish = model(ids.masked_fill(~mask, 33), mask=mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = model(ids[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=2e-6, rtol=1e-5)
        assert torch.equal(together[row, :length], rubbish[row, :length])


def test_an_empty_row_gives_no_nan() -> None:
    ids, mask = padded_batch()
    mask[3] = False
    logits = model_of("bert")(ids, mask=mask)
    assert logits[:3].isfinite().all()


def test_only_the_causal_model_is_blind_to_the_future() -> None:
    ids, _ = padded_batch()
    changed = ids.clone()
    changed[0, 15] = 69 if ids[0, 15] != 69 else 68
    for name, blind in (("gpt2", True), ("bert", False)):
        model = model_of(name)
        assert torch.equal(model(ids)[0, :15], model(changed)[0, :15]) is blind


def test_rows_picks_positions() -> None:
    model, (ids, mask) = model_of("gpt2"), padded_batch()
    torch.testing.assert_close(model(ids, rows=mask), model(ids)[mask])


def test_cache_gives_the_same_logits() -> None:
    model, (ids, _) = model_of("gpt2"), padded_batch()
    full = model(ids)
    cache = model.new_cache(4, 24)
    pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 7), (7, 8), (8, 12), (12, 20))]
    torch.testing.assert_close(torch.cat(pieces, 1), full, atol=1e-5, rtol=1e-5)


def test_too_long_a_sequence_is_one_line() -> None:
    with pytest.raises(ConfigError, match="25 tokens are more than the model's context of 24"):
        model_of("gpt2")(torch.zeros(1, 25, dtype=torch.long))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "gpt3"}, "unknown model 'gpt3', did you mean 'gpt2'"),
        ({"layers": 0}, "model layers must be 1 or more, got 0"),
        ({"dropout": 1.5}, "model dropout must be from 0 to 1, got 1.5"),
        ({"width": 30, "heads": 4}, "width 30 is not divisible by heads 4"),
    ],
)
def test_bad_shapes_are_one_line(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**changes)


def test_dropout_is_off_in_evaluation_and_seeded_in_training() -> None:
    model, (ids, _) = model_of("gpt2", dropout=0.3), padded_batch()
    assert torch.equal(model(ids), model(ids))
    model.train()
    with torch.random.fork_rng():
        runs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            runs.append(model(ids))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("name", ["gpt2", "bert"])
@pytest.mark.parametrize("length", [64, 150])
def test_cpu_kernels_equal_plain_pytorch(name: str, length: int) -> None:
    assert cpu.have_onednn()
    model = model_of(name, context=150, width=64, ffn=80).train()
    noise = torch.Generator().manual_seed(2)
    ids = torch.randint(6, 70, (5, length), generator=noise)
    outer = torch.randn(5, length, 70, generator=noise)

    def run() -> list[torch.Tensor]:
        logits = model(ids)
        return [logits.detach(), *torch.autograd.grad(logits, list(model.parameters()), outer)]

    fast = run()
    with kernels.plain_kernels():
        plain = run()
    for a, b in zip(fast, plain):
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("form", ["none", "tanh"])
def test_kernel_of_gelu_is_exact_in_its_tails(form: str, biased: bool) -> None:
    x = torch.linspace(-30, 30, 6001).repeat(1, 1).t().repeat(1, 2).requires_grad_()
    eye, zero = torch.eye(2, requires_grad=True), torch.zeros(2, requires_grad=True) if biased else None
    ours = cpu.FeedForward.apply(x, eye, zero, eye, zero, form == "none")
    (slope,) = torch.autograd.grad(ours.sum(), x)
    exact = x.detach().double().requires_grad_()
    reference = torch.nn.functional.gelu(exact, approximate=form)
    (expected,) = torch.autograd.grad(reference.sum(), exact)
    torch.testing.assert_close(ours.double(), reference, atol=2e-6, rtol=1e-6)
    torch.testing.assert_close(slope.double(), expected, atol=3e-6, rtol=1e-6)


def test_kernels_leave_bf16_and_inference_to_pytorch() -> None:
    model, ids = model_of("gpt2", context=300), torch.zeros(1, 300, dtype=torch.long)
    with torch.no_grad():
        quiet = model(ids)
    torch.testing.assert_close(model(ids).detach(), quiet, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        model(ids).float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
