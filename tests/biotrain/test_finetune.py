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
from safetensors.torch import load_file

from biodata.errors import ConfigError, DataError, InterruptedRunError
from biodata.io.fasta import write_fasta
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.special import BOS, EOS
from biotrain import reward_step as module
from biotrain.config import TrainConfig
from biotrain.export import export_model, load_model
from biotrain.finetune import finetune
from biotrain.finetune_config import FinetuneConfig
from biotrain.grpo import Rollouts, advantages, log_probabilities, token_losses
from biotrain.models import MODELS, ModelConfig, MoEConfig, build_model
from biotrain.optim import OptimConfig
from biotrain.rundir import finished
from seqloom_cli.main import main
from tests.biotrain.team_process import start_team

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

    def die(model: Any, rollouts: Any, routing: Any = None) -> Any:
        calls.append(1)
        if len(calls) == 45:  # within the fourth step
            raise Killed
        return real(model, rollouts, routing)

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
    with pytest.raises(ConfigError, match=r"whole holds a run of `seqloom finetune`: choose another --out"):
        finished(TrainConfig(), tmp_path / "whole", inputs={})
    with pytest.raises(ConfigError, match=r"max_steps 6 -> 4.*or give --resume to go on with it"):
        finetune(make(out=tmp_path / "whole", checkpoint_every=2, max_steps=4), gc)
    with pytest.raises(ConfigError, match="has done 6 steps, more than the 4 wanted now"):
        finetune(make(out=tmp_path / "whole", checkpoint_every=2, max_steps=4, resume=True), gc)
    with pytest.raises(ConfigError, match=r"another configuration .*kl 0\.04 -> 0\.5"):
        finetune(make(out=tmp_path / "whole", checkpoint_every=2, kl=0.5), gc)


def test_a_longer_run_is_that_with_more_steps_from_the_start(make: Make, tmp_path: Path) -> None:
    finetune(make(out=tmp_path / "long", max_steps=3), gc)
    finetune(make(out=tmp_path / "short", max_steps=2), gc)
    assert finetune(make(out=tmp_path / "short", max_steps=3, resume=True), gc)["step"] == 3
    for name in ("model/model.safetensors", "checkpoints/step-3/optimizer.safetensors"):
        assert (tmp_path / "short" / name).read_bytes() == (tmp_path / "long" / name).read_bytes()
    assert lines(tmp_path / "short") == lines(tmp_path / "long")


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


@pytest.fixture(scope="module")
def experts(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model with experts."""
    shape = ModelConfig(name="moe", layers=2, width=16, heads=2, context=12, moe=MoEConfig(experts=4))
    out = tmp_path_factory.mktemp("experts") / "run"
    return export_model(build_model(shape, vocab_size=11), start / "model", out / "model").parent


def test_routers_learn_even_where_rewards_say_nothing(make: Make, experts: Path, tmp_path: Path) -> None:
    """Equal rewards and no leash leave the routers' losses alone: without them no weight moves."""
    before, moved = load_model(experts).state_dict(), {}
    for name, value in (("off", 0.0), ("on", None)):
        config = make(run=experts, out=tmp_path / name, kl=0.0, max_steps=1, balance_loss=value, z_loss=value)
        finetune(config, lambda texts: [1.0] * len(texts))
        after = load_model(tmp_path / name).state_dict()
        moved[name] = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert not moved["off"] and any("router" in key for key in moved["on"])
    (line,) = lines(tmp_path / "on")
    assert line["loss"] == 0 and line["balance_loss"] >= 0.99 and line["z_loss"] > 0
    assert line["busiest_expert"] >= 1 >= line["idlest_expert"]


def test_the_average_is_exported(make: Make, start: Path, tmp_path: Path) -> None:
    """a = d a + (1 - d) w by hand from the checkpoints, d = (1 + t) / (10 + t)."""
    out = tmp_path / "new"
    finetune(make(max_steps=2, ema_decay=0.9, checkpoint_every=1), gc)
    average = dict(load_model(start).named_parameters())
    for step in (1, 2):
        weights, decay = (
            load_file(out / f"checkpoints/step-{step}/model.safetensors"),
            (1 + step) / (10 + step),
        )
        average = {name: decay * value + (1 - decay) * weights[name] for name, value in average.items()}
    exported = dict(load_model(out).named_parameters())
    for name, value in average.items():
        torch.testing.assert_close(exported[name], value)
    assert json.loads((out / "summary.json").read_text())["weights"] == "average (ema_decay 0.9)"


def test_two_processes_equal_one(experts: Path, tmp_path: Path) -> None:
    """With experts, whose losses are those of both halves of a batch; the last batch leaves one idle."""
    arguments = ["finetune", str(experts), "--reward", "gc", "--groups", "2", "--group-size", "5",
                 "--batch-size", "4", "--max-steps", "3", "--updates", "2", "--lr", "0.01",
                 "--ema-decay", "0.9", "--device", "cpu", "--threads", "1", "--out"]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main([*arguments, str(tmp_path / "one")])
    assert not end.value.code
    team = start_team([*arguments, str(tmp_path / "two")], tmp_path / "errors")
    for process in team:
        process.join(120)
    said = [(tmp_path / f"errors-{rank}").read_text() for rank in range(2)]
    assert [process.exitcode for process in team] == [0, 0], said
    assert said[1] == "", "process 1 is to be silent"
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6)
    one, two = (load_model(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


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
    with pytest.raises(ConfigError, match="z_loss is for models with experts"):
        finetune(make(out=tmp_path / "e", z_loss=0.1), gc)
    for message, changes in (
        ("finetune clip must be from 0 to 1", {"clip": 2}),
        (r"clip 0\.3 does nothing in the first update .*: give updates 2 or more", {"clip": 0.3}),
        ("'fsdp': sequences are drawn token by token", {"parallel": "fsdp"}),
        ("finetune parallel is 'tp', allowed: auto, none, ddp", {"parallel": "tp"}),
        ("ema_on_cpu needs an average", {"ema_on_cpu": True}),
    ):
        with pytest.raises(ConfigError, match=message):
            make(**changes)
