"""biotrain.ema, biotrain.watch, biotrain.remat: alone and in runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from biodata.errors import ConfigError
from biotrain import loop
from biotrain.config import TrainConfig
from biotrain.ema import Ema
from biotrain.export import load_model
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model
from biotrain.optim import OptimConfig
from biotrain.remat import checkpoint_blocks, compile_blocks
from biotrain.schedule import ScheduleConfig
from tests.biotrain.conftest import TINY

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("on_cpu", [False, True])
def test_equals_its_formula(on_cpu: bool) -> None:
    model = nn.Linear(2, 3).double()
    ema = Ema(model, decay=0.5, on_cpu=on_cpu)
    expected = model.weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.add_(torch.randn(3, 2, dtype=torch.float64))
        ema.update(step)
        d = min(0.5, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * model.weight.detach()
    own = model.weight.detach().clone()
    with ema.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
    assert torch.equal(model.weight, own)


def test_validated_and_exported(tiny_config: Make, tmp_path: Path) -> None:
    """Without decay of old weights (d near 0) the average is the last weights; with it, it is not."""
    plain = train(tiny_config(out=tmp_path / "plain"))
    last = train(tiny_config(out=tmp_path / "last", ema_decay=1e-9))
    slow = train(tiny_config(out=tmp_path / "slow", ema_decay=0.9))
    cpu = train(tiny_config(out=tmp_path / "cpu", ema_decay=0.9, ema_on_cpu=True))
    assert last["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-5)
    assert slow["train_loss"] == plain["train_loss"], "averaging must not touch the training"
    assert slow["val_loss"] != plain["val_loss"] and slow["val_loss"] == cpu["val_loss"]
    summary = json.loads((tmp_path / "slow" / "summary.json").read_text())
    assert summary["weights"] == "average (ema_decay 0.9)"
    tensors = load_model(tmp_path / "slow").state_dict()
    of_plain = load_model(tmp_path / "plain").state_dict()
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert any(not torch.equal(value, of_plain[name]) for name, value in tensors.items())


def test_early_stop(tiny_config: Make, tmp_path: Path) -> None:
    """A rate of 0 gains nothing: the second validation after the first one's best ends the run."""
    frozen = {"optim": OptimConfig(lr=0.0), "eval_every": 2, "checkpoint_every": 0, "early_stop": 2}
    out = tmp_path / "run"
    result = train(tiny_config(out=out, **frozen))
    lines = [json.loads(line) for line in (out / loop.LOG_FILE).read_text().splitlines()]
    assert result["step"] == 4 and lines[-1]["whole_split"] and lines[-1]["step"] == 4
    assert (out / "checkpoints" / "step-4").is_dir()
    assert json.loads((out / "summary.json").read_text())["stopped_early"] is True
    (out / "summary.json").unlink()
    again = train(tiny_config(out=out, resume=True, **frozen))
    assert (again["step"], again["val_loss"]) == (4, result["val_loss"])


def test_plateau_cuts_in_a_run(tiny_config: Make, tmp_path: Path) -> None:
    """Validations come before steps 1, 4, 7 and 10."""
    schedule = ScheduleConfig(name="plateau", patience=0, decay_rate=0.5, warmup_steps=0)
    frozen = {"optim": OptimConfig(lr=1e-30), "eval_every": 3, "log_every": 1, "schedule": schedule}
    train(tiny_config(out=tmp_path / "run", **frozen))
    lines = [json.loads(line) for line in (tmp_path / "run" / loop.LOG_FILE).read_text().splitlines()]
    rates = [line["lr"] / 1e-30 for line in lines if "lr" in line]
    assert rates == pytest.approx([1.0] * 3 + [0.5] * 3 + [0.25] * 3 + [0.125] * 3)


@pytest.mark.parametrize("name", ["gpt2", "moe"])
def test_gradient_checkpointing_is_exact(name: str) -> None:
    config = ModelConfig(name=name, layers=2, width=16, heads=2, context=8, dropout=0.1)
    ids = torch.randint(6, 10, (3, 8), generator=torch.Generator().manual_seed(1))
    found = []
    for again in (False, True):
        model = build_model(config, vocab_size=10, seed=1)
        if again:
            checkpoint_blocks(model)
        model.train()
        torch.manual_seed(5)
        loss = model(ids, routing=model.new_routing()).logsumexp(-1).square().mean()
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found))


def test_gradient_checkpointing_in_a_run(tiny_config: Make, tmp_path: Path) -> None:
    """On two threads too, where parts of the batch run side by side."""
    whole = train(tiny_config(out=tmp_path / "a"))
    again = train(tiny_config(out=tmp_path / "b", gradient_checkpointing=True))
    assert (whole["train_loss"], whole["val_loss"]) == (again["train_loss"], again["val_loss"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("name", ["gpt2", "moe"])
def test_compile_gives_the_same_loss(name: str) -> None:
    """Without the code generator, whose minute would tell of torch alone; it gives the same too (tried)."""
    config = dataclasses.replace(TINY, name=name, layers=1)
    losses = []
    for compiled in (False, True):
        model = build_model(config, vocab_size=10, seed=1)
        if compiled:
            compile_blocks(model, backend="aot_eager")
        for length in (8, 13):
            ids = torch.randint(6, 10, (3, length), generator=torch.Generator().manual_seed(1))
            loss = model(ids).logsumexp(-1).square().mean()
            loss.backward()
            losses.append(
                [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
            )
    for one, other in zip(losses[:2], losses[2:]):
        for a, b in zip(one, other):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_compile_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler on the CPU, 'no-such-compiler' is not"):
        compile_blocks(build_model(TINY, vocab_size=10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema_on_cpu": True}, "ema_on_cpu needs an average: give ema_decay"),
        ({"ema_decay": 1.0}, "ema_decay must be from 0 to"),
        ({"early_stop": 1, "eval_every": 0}, "need validations: give eval_every"),
        ({"schedule": ScheduleConfig(warmup_lr=1.0)}, "warmup_lr must be from 0 to"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)
