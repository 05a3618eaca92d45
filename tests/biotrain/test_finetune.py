"""Fine-tuning by rewards: the formula by hand, a bandit in closed form, runs that learn, stay and resume."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biodata.errors import ConfigError, DataError, InterruptedRunError
from biodata.io.fasta import write_fasta
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.special import BOS, EOS
from biotrain import finetune as module
from biotrain.export import export_model, load_model
from biotrain.finetune import finetune
from biotrain.finetune_config import FinetuneConfig
from biotrain.grpo import Rollouts, advantages, log_probabilities, token_losses
from biotrain.models import MODELS, ModelConfig, build_model
from biotrain.optim import OptimConfig

Make = Callable[..., FinetuneConfig]


def gc(texts: Sequence[str]) -> list[float]:
    return [sum(letter in "GC" for letter in text) / max(1, len(text)) for text in texts]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model of nucleotides."""
    root = tmp_path_factory.mktemp("start")
    write_fasta(root / "data.fasta", ["a"], ["ACGT"])
    train_tokenizer(TokenizerConfig(kind="nuc", data=root / "data.fasta", out=root / "tokenizer"))
    shape = ModelConfig(layers=1, width=16, heads=2, context=12)
    return export_model(build_model(shape, vocab_size=11), root / "tokenizer", root / "run" / "model").parent


@pytest.fixture
def make(start: Path, tmp_path: Path) -> Make:
    def config(**changes: Any) -> FinetuneConfig:
        settings: dict[str, Any] = {
            "run": start, "out": tmp_path / "new", "reward": "gc", "groups": 2, "group_size": 8,
            "max_steps": 6, "optim": OptimConfig(lr=1e-2, weight_decay=0.0), "device": "cpu", "threads": 1,
            "batch_size": 5,
        }  # fmt: skip
        return FinetuneConfig(**(settings | changes))

    return config


def lines(out: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (out / "training_log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def test_advantages_are_standard_scores_of_the_group() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    spread = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 3)
    expected = [[-2 / spread, -1 / spread, 3 / spread], [0.0, 0.0, 0.0]]
    assert advantages(rewards).tolist() == [pytest.approx(row) for row in expected]


@pytest.mark.parametrize("worth", [1.5, -1.5])
@pytest.mark.parametrize("moved", [-0.5, 0.0, 0.5])
def test_the_token_loss_is_the_formula(worth: float, moved: float) -> None:
    """Equations 3 and 4 by hand, and their gradient; gain is clipped on the side where it grows."""
    old, reference, clip, beta = -1.0, -1.3, 0.2, 0.1
    log_p = torch.tensor([old + moved], dtype=torch.float64, requires_grad=True)
    told = token_losses(
        log_p, torch.tensor([old]), torch.tensor([reference]), torch.tensor([worth]), clip=clip, kl=beta
    )
    ratio = math.exp(moved)
    clipped = min(max(ratio, 1 - clip), 1 + clip)
    away = math.exp(reference - old - moved)
    kl = away - (reference - old - moved) - 1
    assert told.kl.item() == pytest.approx(kl, rel=1e-6) and kl >= 0
    assert told.loss.item() == pytest.approx(beta * kl - min(ratio * worth, clipped * worth), rel=1e-6)
    told.loss.sum().backward()
    held = (worth > 0 and ratio > 1 + clip) or (worth < 0 and ratio < 1 - clip)
    slope = beta * (1 - away) - (0 if held else ratio * worth)
    assert log_p.grad is not None and log_p.grad.item() == pytest.approx(slope, rel=1e-6)


def test_a_bandit_of_two_tokens_has_the_closed_gradient() -> None:
    """pi = softmax(a, b); n of N draws take the first, rewards 1 and 0: the standard scores are sqrt(m / n)
    and -sqrt(n / m) with m = N - n, so the gradient at a is -(1/N) (n sqrt(m/n) (1 - p) + m sqrt(n/m) p)
    = -sqrt(n m) / N, whatever p; the leash adds beta times the mean of (1 - ref/pi) (1[o = a] - p)."""
    theta = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([0.0, 0.0], dtype=torch.float64)
    draws, beta = torch.tensor([0, 0, 0, 1, 0, 1, 0, 0]), 0.1
    size, n = len(draws), int((draws == 0).sum())
    log_p, reference = theta.log_softmax(0)[draws], start.log_softmax(0)[draws]
    worth = advantages((draws == 0).double()[None])[0]
    told = token_losses(log_p, log_p.detach(), reference, worth, clip=0.2, kl=beta)
    told.loss.mean().backward()
    p = theta.detach().softmax(0)[0].item()
    away = [1 - math.exp((reference - log_p.detach())[i].item()) for i in range(size)]
    leash = beta * sum(a * ((d == 0) - p) for a, d in zip(away, draws.tolist())) / size
    assert theta.grad is not None
    assert theta.grad[0].item() == pytest.approx(-math.sqrt(n * (size - n)) / size + leash, rel=1e-9)
    assert theta.grad.sum().item() == pytest.approx(0, abs=1e-12)


CAUSAL = [
    name for name in MODELS if False in MODELS.load(name).directions and not MODELS.load(name).objectives
]


@pytest.mark.parametrize("name", CAUSAL)
def test_log_probabilities_are_those_of_drawing(name: str) -> None:
    """Token by token with the softmax over what may be drawn; padding and other rows change nothing."""
    heads = 2 if "heads" in MODELS.load(name).takes else 0
    shape = ModelConfig(name=name, bidirectional=False, layers=1, width=16, heads=heads, context=12)
    model = build_model(shape, vocab_size=11).eval()
    rows = [[BOS, 6, 7, EOS], [BOS, 9, 9, 8, 7, 6], [BOS, 8, EOS]]
    found = log_probabilities(model, Rollouts.of(rows, given=1, device=torch.device("cpu")))
    expected = []
    for row in rows:
        for place in range(1, len(row)):
            logits = model(torch.tensor([row[:place]]))[0, -1]
            allowed = [*([EOS] if place > 1 else []), *range(6, 11)]
            expected.append((logits[row[place]] - logits[allowed].logsumexp(0)).item())
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)


def test_the_reward_rises_and_the_leash_holds(make: Make, tmp_path: Path) -> None:
    """GC of a model that knows nothing goes from a half up; a heavier leash keeps it nearer to the start."""
    ends = {}
    for beta in (0.0, 1.0):
        told = finetune(make(out=tmp_path / f"kl{beta}", kl=beta, max_steps=25), gc)
        found = lines(tmp_path / f"kl{beta}")
        assert [line["step"] for line in found] == list(range(1, 26)) and min(x["kl"] for x in found) >= 0
        assert found[0]["kl"] == pytest.approx(0, abs=1e-6)
        assert told["reward_start"] == found[0]["reward"] and told["reward"] == found[-1]["reward"]
        ends[beta] = told
    assert ends[0.0]["reward"] > ends[0.0]["reward_start"] + 0.25
    assert ends[1.0]["reward"] > ends[1.0]["reward_start"]
    assert ends[1.0]["kl"] < 0.3 < ends[0.0]["kl"]
    assert ends[0.0]["sequences"] == 25 * 16
    assert load_model(tmp_path / "kl0.0").causal


def test_micro_batches_do_not_matter_and_updates_do(make: Make, tmp_path: Path) -> None:
    for name, changes in (("one", {"batch_size": 64}), ("few", {"batch_size": 3}), ("twice", {"updates": 2})):
        finetune(make(out=tmp_path / name, max_steps=3, **changes), gc)
    one, few, twice = (lines(tmp_path / name) for name in ("one", "few", "twice"))
    for a, b in zip(one, few):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)
    assert one[0]["reward"] == twice[0]["reward"] and one[-1] != twice[-1]


def test_killed_and_resumed_it_ends_with_the_same_bits(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    real = module.log_probabilities
    finetune(make(out=tmp_path / "whole", checkpoint_every=2), gc)
    calls = []

    def die(model: Any, rollouts: Any) -> Any:
        calls.append(1)
        if len(calls) == 45:  # within the fifth step
            raise Killed
        return real(model, rollouts)

    other = make(out=tmp_path / "other", checkpoint_every=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module, "log_probabilities", die)
        finetune(other, gc)
    with pytest.raises(ConfigError, match="has not ended: give --resume"):
        finetune(other, gc)
    finetune(dataclasses.replace(other, resume=True), gc)
    for name in ("model/model.safetensors", "checkpoints/step-6/optimizer.safetensors"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert lines(tmp_path / "other") == lines(tmp_path / "whole")
    assert finetune(make(out=tmp_path / "whole", checkpoint_every=2), gc)["step"] == 6  # done already
    with pytest.raises(ConfigError, match=r"another configuration .*kl 0\.04 -> 0\.5"):
        finetune(make(out=tmp_path / "whole", checkpoint_every=2, kl=0.5), gc)


def test_a_signal_leaves_a_checkpoint_to_go_on_from(make: Make, tmp_path: Path) -> None:
    calls = []

    def ask(texts: Sequence[str]) -> list[float]:
        calls.append(texts)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return gc(texts)

    finetune(make(out=tmp_path / "whole", max_steps=5, checkpoint_every=0), gc)
    other = make(out=tmp_path / "other", max_steps=5, checkpoint_every=0)
    with pytest.raises(InterruptedRunError, match=r"stopped after step 3 of 5: .* --resume"):
        finetune(other, ask)
    finetune(dataclasses.replace(other, resume=True), gc)
    assert lines(tmp_path / "other") == lines(tmp_path / "whole")


def test_refusals(make: Make, start: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reward gave shape \(1,\) for 16 sequences"):
        finetune(make(out=tmp_path / "a"), lambda texts: [1.0])
    with pytest.raises(DataError, match=r"reward gave nan for '[ACGTN]+'"):
        finetune(make(out=tmp_path / "b"), lambda texts: [math.nan] * len(texts))
    with pytest.raises(ConfigError, match="max_length 50 is more than the model can read"):
        finetune(make(out=tmp_path / "c", max_length=50), gc)
    shape = ModelConfig(name="bert", layers=1, width=16, heads=2, context=12)
    export_model(build_model(shape, vocab_size=11), start / "model", tmp_path / "bert")
    with pytest.raises(ConfigError, match="rewards train a causal model"):
        finetune(make(run=tmp_path / "bert", out=tmp_path / "d"), gc)
    with pytest.raises(ConfigError, match="finetune clip must be from 0 to 1"):
        make(clip=2)
