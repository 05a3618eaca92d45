"""Masked diffusion: the bound against enumeration, samples against known distributions, the model's start."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biodata.io.fasta import read_fasta
from biodata.tokenizers.special import BOS, EOS, MASK
from biotrain.config import TrainConfig
from biotrain.diffusion.notes import draw_length
from biotrain.diffusion.sampling import DiffusionSampler
from biotrain.diffusion.subs import without_special
from biotrain.diffusion.times import stratified
from biotrain.diffusion.token_model import noise_level
from biotrain.generate import GenerateConfig, choose, generate
from biotrain.loop import train
from biotrain.losses import LossConfig
from biotrain.models import ModelConfig, build_model
from biotrain.objectives import Batch, ObjectiveConfig
from biotrain.objectives.masked_diffusion import MaskedDiffusion

TINY = ModelConfig(name="dit", layers=2, width=32, heads=2, context=32)
LETTERS, PLACES = 3, 3
FIRST, VOCAB = 6, 6 + LETTERS


class KnownJoint(nn.Module):
    """Predicts each hidden place by the exact conditional distribution of a known joint one."""

    def __init__(self, joint: Tensor) -> None:
        super().__init__()
        self.joint = nn.Parameter(joint, requires_grad=False)

    def forward(self, ids: Tensor, *, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        logits = torch.full((*ids.shape, VOCAB), -torch.inf)
        for row, place in itertools.product(range(len(ids)), range(PLACES)):
            known = ids[row, 1 : 1 + PLACES]
            index = tuple(
                slice(None) if i == MASK else slice(i - FIRST, i - FIRST + 1) for i in known.tolist()
            )
            others = [axis for axis in range(PLACES) if axis != place]
            marginal = self.joint[index].sum(others)
            if known[place] == MASK:
                logits[row, 1 + place, FIRST:] = (marginal / marginal.sum()).log()
        return logits if rows is None else logits[rows]


def joint() -> Tensor:
    values = torch.rand((LETTERS,) * PLACES, generator=torch.Generator().manual_seed(4)) ** 3
    return values / values.sum()


def losses_of_masks(model: Callable[..., Tensor], ids: Tensor) -> dict[tuple[int, ...], float]:
    """For every set of hidden places of one sequence, the summed cross-entropy of its tokens, nats."""
    places = (ids >= FIRST).nonzero().flatten().tolist()
    found = {}
    for size in range(1, len(places) + 1):
        for hidden in itertools.combinations(places, size):
            inputs = ids.clone()
            inputs[list(hidden)] = MASK
            with torch.no_grad():
                logits = without_special(model(inputs[None])[0, list(hidden)].float())
            found[hidden] = float(F.cross_entropy(logits, ids[list(hidden)], reduction="sum"))
    return found


def bound_by_enumeration(losses: dict[tuple[int, ...], float], n: int) -> float:
    """Integral over t of 1/t E[...]: a set of k is hidden with t^k (1-t)^(n-k), so with B(k, n-k+1)."""
    weights = {k: math.gamma(k) * math.gamma(n - k + 1) / math.gamma(n + 1) for k in range(1, n + 1)}
    return sum(weights[len(hidden)] * loss for hidden, loss in losses.items()) / n


def small_model(**changes: object) -> nn.Module:
    shape = {"name": "dit", "layers": 1, "width": 16, "heads": 2, "context": 12, **changes}
    model = build_model(ModelConfig(**shape), vocab_size=12)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.3)
    return model.eval()


@pytest.mark.parametrize(("draw", "rows"), [("count", 20_000), ("independent", 60_000)])
def test_mean_of_the_estimator_is_the_enumerated_bound(draw: str, rows: int) -> None:
    ids = torch.tensor([BOS, 8, 6, 11, 8, EOS])
    losses = losses_of_masks(small_model(), ids)
    expected = bound_by_enumeration(losses, 4)
    many = ids.expand(rows, -1)
    made = MaskedDiffusion(draw).prepare(many, many > 0, torch.Generator().manual_seed(2))
    hidden = made.inputs == MASK
    weight = made.by_token["weight"][:, 0]
    each = torch.tensor([losses.get(tuple(row.nonzero().flatten().tolist()), 0.0) for row in hidden])
    values = (each * weight / 4).double()
    error = 4 * float(values.std()) / math.sqrt(rows)
    assert float(values.mean()) == pytest.approx(
        expected, abs=error + (0.002 if draw == "independent" else 0)
    )
    assert int(made.by_token["counted"].sum()) == 4 * rows
    if draw == "count":  # every number of hidden tokens comes equally often, exactly but for the last stratum
        numbers = Counter(hidden.sum(1).tolist())
        assert set(numbers) == {1, 2, 3, 4} and max(numbers.values()) - min(numbers.values()) <= 2


def test_losses_are_the_estimator() -> None:
    model, ids = small_model(), torch.tensor([[BOS, 8, 6, 11, 8, EOS], [BOS, 9, 7, EOS, 0, 0]])
    objective = MaskedDiffusion()
    made = objective.prepare(ids, ids > 0, torch.Generator().manual_seed(5))
    rows = made.targets >= 0
    batch = Batch(made.inputs, ids > 0, rows, made.targets[rows], by_token=made.by_token)
    with torch.no_grad():
        found = objective.losses(partial(model, mask=ids > 0), nn.Identity(), batch)
    total = plain = 0.0
    for row in range(2):
        real = ids[row][ids[row] > 0]
        hidden = rows[row].nonzero().flatten()
        weight = float(made.by_token["weight"][row, 0])
        assert weight == pytest.approx((4, 2)[row] / len(hidden))
        total += weight * losses_of_masks(model, real)[tuple(hidden.tolist())]
        with torch.no_grad():
            logits = model(made.inputs[row, : len(real)][None])[0, hidden]
        plain += float(F.cross_entropy(logits, real[hidden], reduction="sum"))
    assert float(found.losses) == pytest.approx(total, rel=1e-5)
    assert found.xe is not None and float(found.xe) == pytest.approx(plain, rel=1e-5)


def test_bound_of_an_exact_model_is_the_likelihood() -> None:
    known = joint()
    for letters in ((0, 1, 2), (2, 2, 0)):
        ids = torch.tensor([BOS, *(FIRST + letter for letter in letters), EOS])
        bound = PLACES * bound_by_enumeration(losses_of_masks(KnownJoint(known), ids), PLACES)
        assert bound == pytest.approx(-math.log(known[letters]), rel=1e-5)


def test_bound_is_never_below_the_likelihood() -> None:
    """Of a model whose conditionals fit no joint distribution: averaged over the sequences the gap is KL >=
    0."""
    known, model, gap = joint(), small_model(), 0.0
    for letters in itertools.product(range(LETTERS), repeat=PLACES):
        ids = torch.tensor([BOS, *(FIRST + letter for letter in letters), EOS])
        bound = PLACES * bound_by_enumeration(losses_of_masks(model, ids), PLACES)
        gap += float(known[letters]) * (bound + math.log(known[letters]))
    assert gap > 0


def test_times_are_stratified_and_each_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([stratified(8, generator) for _ in range(2000)])
    assert bool(((drawn > 0) & (drawn <= 1)).all())
    assert torch.equal((drawn * 8).ceil().sort(1).values, torch.arange(1.0, 9).double().expand(2000, 8))
    assert (drawn.mean(0) - 0.5).abs().max() < 5 / math.sqrt(12 * 2000)
    assert drawn.mean(1).std() < 0.2 * math.sqrt(1 / 12 / 8)  # of independent times


def test_noise_level_counts_what_can_be_hidden() -> None:
    ids = torch.tensor([[BOS, MASK, 7, 9, EOS, BOS, MASK, MASK, EOS, 4]])
    real = torch.arange(10)[None] < 9
    documents = (torch.arange(10)[None] >= 5).long()
    assert noise_level(ids[:, :5]).tolist() == [[pytest.approx(1 / 3)]]
    apart = noise_level(ids, real, documents)[0]
    assert apart[:5].tolist() == [pytest.approx(1 / 3)] * 5 and apart[5:9].tolist() == [1.0] * 4
    assert noise_level(torch.tensor([[BOS, EOS]])).item() == 0


def test_blocks_start_as_the_identity() -> None:
    model = build_model(ModelConfig(name="dit", layers=3, width=16, heads=2, context=8, tie_embeddings=False),
                        vocab_size=12)  # fmt: skip
    ids = torch.tensor([[BOS, 7, MASK, 9, EOS]])
    seen: list[tuple[Tensor, Tensor]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda block, inputs, output: seen.append((inputs[0], output)))
    logits = model(ids)
    assert len(seen) == 3 and all(torch.equal(before, after) for before, after in seen)
    assert torch.equal(logits, torch.zeros_like(logits))


def test_the_model_is_its_formula() -> None:
    """adaLN-Zero (arXiv:2212.09748, section 3.2) by hand, steered by the share of hidden tokens."""
    model = build_model(ModelConfig(name="dit", layers=1, width=16, heads=2, context=8, position="learned"),
                        vocab_size=12).eval()  # fmt: skip
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.3)
    ids, block = torch.tensor([[BOS, 7, MASK, 9, EOS]]), model.blocks[0]

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + model.config.norm_eps).sqrt() * weight

    angles = torch.tensor([1000 / 3 * 10_000 ** (-i / 128) for i in range(128)])
    waves = torch.cat((angles.cos(), angles.sin()))
    condition = F.silu(model.time.out(F.silu(model.time.up(waves))))
    shift1, scale1, gate1, shift2, scale2, gate2 = block.modulation(condition).chunk(6)
    x = model.tokens(ids[0]) + model.positions.weight[:5]
    q, k, v = block.attention.qkv(norm(x, block.norm1.weight) * (1 + scale1) + shift1).chunk(3, -1)
    q, k, v = (part.view(5, 2, 8).transpose(0, 1) for part in (q, k, v))
    mixed = (q @ k.mT / math.sqrt(8)).softmax(-1) @ v
    x = x + gate1 * block.attention.out(mixed.transpose(0, 1).flatten(1))
    inner = block.mlp.up(norm(x, block.norm2.weight) * (1 + scale2) + shift2)
    x = x + gate2 * block.mlp.down(F.gelu(inner, approximate="tanh"))
    shift, scale = model.norm.modulation(condition).chunk(2)
    expected = model.head(norm(x, model.norm.norm.weight) * (1 + scale) + shift)
    torch.testing.assert_close(model(ids)[0], expected, atol=1e-4, rtol=1e-4)


def sampled(model: nn.Module, num: int, **settings: object) -> list[list[int]]:
    config = GenerateConfig(run=Path("x"), out=Path("y"), num=num, **settings)
    sampler = DiffusionSampler(model, config, prompt=[], limit=PLACES, lengths=[PLACES] * 3, choose=choose)
    with torch.inference_mode():
        return [row for batch in sampler.batches() for row in batch]


@pytest.mark.parametrize(("steps", "exact"), [(0, True), (1, False)])
def test_samples_follow_the_joint_distribution(steps: int, exact: bool) -> None:
    """One token at a time, an exact model gives the joint; all at once, the product of the marginals."""
    known, num = joint(), 1500
    rows = sampled(KnownJoint(known), num, steps=steps, batch_size=num)
    assert all(row[0] == BOS and row[-1] == EOS and min(row[1:-1]) >= FIRST for row in rows)
    counts = Counter(tuple(i - FIRST for i in row[1:-1]) for row in rows)
    marginals = [known.sum([a for a in range(PLACES) if a != axis]) for axis in range(PLACES)]
    product = torch.einsum("i,j,k->ijk", *marginals)

    def chi2(expected: Tensor) -> float:
        cells = [(counts[key], num * float(expected[key])) for key in np.ndindex(*known.shape)]
        return sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)

    right, wrong = (known, product) if exact else (product, known)
    assert chi2(right) < 54 < chi2(wrong)  # 26 degrees of freedom: 54 is exceeded once in a thousand


def test_ancestral_steps_reveal_each_token_in_its_own_hour() -> None:
    sampler = DiffusionSampler(
        nn.Linear(1, 1), GenerateConfig(run=Path("x"), out=Path("y"), steps=4),
        prompt=[], limit=8, lengths=[8, 8], choose=choose,
    )  # fmt: skip
    assert sampler._turns(np.array([0.0, 0.24, 0.25, 0.99])).tolist() == [1, 1, 2, 4]


def test_lengths_are_those_of_training() -> None:
    marks = [int(np.quantile(np.arange(1, 101), q)) for q in np.linspace(0, 1, 33)]
    drawn = [draw_length(marks, (i + 0.5) / 1000, low=1, high=1000) for i in range(1000)]
    assert abs(np.mean(drawn) - 50.5) < 1 and np.std(drawn) == pytest.approx(28.9, abs=0.5)


def test_eight_sequences_are_learnt_and_sampled_back() -> None:
    generator = torch.Generator().manual_seed(3)
    body = torch.randint(FIRST, 12, (8, 6), generator=generator)
    ids = torch.cat((torch.full((8, 1), BOS), body, torch.full((8, 1), EOS)), 1)
    shape = ModelConfig(name="dit", layers=2, width=48, heads=2, context=8, position="learned", init_std=0.1)
    model = build_model(shape, vocab_size=12)
    objective, mask = MaskedDiffusion(), ids > 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1, (step + 1) / 20) * (1 - step / 300)
        made = objective.prepare(ids.repeat(4, 1), mask.repeat(4, 1), generator)
        rows = made.targets >= 0
        batch = Batch(made.inputs, None, rows, made.targets[rows], by_token=made.by_token)
        loss = objective.losses(model, nn.Identity(), batch).losses.sum() / made.by_token["counted"].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    least = math.log(8) / 6  # one of eight sequences of six tokens
    assert least * 0.9 < np.mean(losses[-20:]) < least * 1.3
    config = GenerateConfig(run=Path("x"), out=Path("y"), num=64)
    sampler = DiffusionSampler(model.eval(), config, prompt=[], limit=6, lengths=[6, 6], choose=choose)
    with torch.inference_mode():
        made_rows = Counter(tuple(row) for batch in sampler.batches() for row in batch)
    known = {tuple(row) for row in ids.tolist()}
    assert set(made_rows) >= known and sum(made_rows[row] for row in known) >= 48


@pytest.mark.parametrize("name", ["dit", "bert"])
def test_trains_and_generates_by_the_usual_commands(
    tiny_config: Callable[..., TrainConfig], tmp_path: Path, name: str
) -> None:
    shape = ModelConfig(name=name, layers=1, width=16, heads=2, context=32)
    config = tiny_config(model=shape, objective=ObjectiveConfig(name="masked_diffusion"), max_steps=3)
    result = train(config)
    assert 0 < result["val_objective"] < 6 and result["val_perplexity"] == pytest.approx(
        np.exp(result["val_loss"])
    )
    assert config.out is not None
    files = {}
    for key, options in {
        "a": {"batch_size": 8},
        "b": {"batch_size": 3},
        "c": {"num": 4},
        "d": {"steps": 3, "prompt": "ATGGCC"},
        "e": {"max_length": 1},
    }.items():
        out = tmp_path / f"{key}.fasta"
        generate(GenerateConfig(**{"run": config.out, "out": out, "num": 8, **options}))
        files[key] = out.read_bytes()
    assert files["a"] == files["b"] and files["a"].startswith(files["c"])
    short = [row for batch in read_fasta(tmp_path / "e.fasta") for row in batch.to_pylist()]
    assert [len(row["sequence"]) for row in short] == [3] * 8
    rows = [row for batch in read_fasta(tmp_path / "d.fasta") for row in batch.to_pylist()]
    assert all(row["sequence"].startswith("ATGGCC") and "steps=3" in row["description"] for row in rows)
    assert all(len(row["sequence"]) % 3 == 0 and 9 <= len(row["sequence"]) <= 90 for row in rows)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "causal": (
        lambda: TrainConfig(objective=ObjectiveConfig(name="masked_diffusion")),
        "objective 'masked_diffusion' needs a model that sees both sides, got 'gpt2' that sees only the past",
    ),
    "loss": (
        lambda: TrainConfig(
            model=TINY, objective=ObjectiveConfig(name="masked_diffusion"), loss=LossConfig(name="hxe")
        ),
        "objective 'masked_diffusion' has a loss of its own: leave out loss 'hxe'",
    ),
    "clm": (lambda: TrainConfig(model=TINY), "model 'dit' learns by objective 'masked_diffusion' or 'mlm'"),
    "direction": (
        lambda: ModelConfig(name="dit", bidirectional=False),
        r"model 'dit' has no bidirectional False \(allowed: True\)",
    ),
    "draw": (lambda: ObjectiveConfig(name="mlm", draw="independent"), "does not use draw"),
    "condition": (lambda: ModelConfig(name="bert", dit=TINY.dit), "has no option dit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(case: str) -> None:
    act, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)
