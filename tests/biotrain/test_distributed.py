"""biotrain.distributed and parallel: two processes do what one does, and go on from one another's work.

The processes are started once for all of it; their start takes longer than what they do.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from biodata.configs import to_dict, write_yaml
from biodata.errors import ConfigError
from biotrain import loop
from biotrain.config import OptimConfig, TrainConfig
from biotrain.device import choose_hardware
from biotrain.distributed import ALONE, Team, joined
from biotrain.loop import dry_run, train
from biotrain.models import MODELS, ModelConfig, MoEConfig
from biotrain.objectives import ObjectiveConfig
from biotrain.parallel import check_sharded
from biotrain.parts import build_parts
from biotrain.step import train_step, validate
from tests.biotrain.conftest import TINY
from tests.biotrain.test_loop import Tables
from tests.biotrain.two_processes import run

Make = Callable[..., TrainConfig]

STEPS, DEATH = 12, 8
"""The last step; the one in which a run is killed, after the checkpoint of step 5."""


def configs(make: Make, folder: Path) -> dict[str, TrainConfig]:
    """What two processes train, and what one has begun. Batches of 7 leave a process without a part."""
    plain = make(batch_size=7, accumulate=2, ema_decay=0.9, max_steps=STEPS)
    moe = dataclasses.replace(TINY, name="moe", position="auto", moe=MoEConfig(experts=4))
    packed = make(model=moe, pack=True, batch_size=6, ema_decay=0.9, max_steps=STEPS)
    short = make(batch_size=7, max_steps=5, eval_every=0)
    others = {
        name: dataclasses.replace(short, optim=OptimConfig(name=name, lr=lr))
        for name, lr in (("muon", 3e-3), ("adafactor", 3e-2), ("sgd", 1e-1))
    }
    there = {"ddp": plain, **others, "fsdp": packed, "killed": packed, "moved": packed}
    return {name: dataclasses.replace(config, out=folder / name) for name, config in there.items()}


def started(plan: Path, count: int) -> list[subprocess.Popen[str]]:
    """As many processes as torchrun would start, with its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}  # fmt: skip
    command = [sys.executable, "-m", "tests.biotrain.two_processes", str(plan)]
    return [
        subprocess.Popen(
            command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )
        for rank in range(count)
    ]  # fmt: skip


def lines(out: Path) -> list[dict[str, Any]]:
    text = (out / loop.LOG_FILE).read_text()
    return [
        {key: value for key, value in json.loads(line).items() if key not in loop.WALL_CLOCK}
        for line in text.splitlines()
    ]


def same(one: Path, other: Path, *, rounding: float = 2e-5) -> None:
    """The same log and weights, up to rounding."""
    for a, b in zip(lines(one), lines(other), strict=True):
        assert a == pytest.approx(b, rel=rounding, abs=rounding / 10)
    weights, others = (load_file(out / "model" / "model.safetensors") for out in (one, other))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=50 * rounding, atol=2 * rounding)


def test_two_processes_equal_one(tiny_config: Make, tmp_path: Path) -> None:
    alone, together = configs(tiny_config, tmp_path / "alone"), configs(tiny_config, tmp_path / "together")
    complete = ("ddp", "muon", "adafactor", "sgd", "fsdp")
    for name in complete:
        train(alone[name])
    commands: list[tuple[list[str], int]] = []
    for name, config in together.items():
        write_yaml(tmp_path / f"{name}.yaml", to_dict(dataclasses.replace(config, resume=True)))
        command = ["train", "--config", str(tmp_path / f"{name}.yaml"), "--json", "--parallel"]
        commands.append(([*command, "ddp" if name == "ddp" else "fsdp"], DEATH if name == "killed" else 0))
    assert run(commands[-1][0][:-2], DEATH) == -9  # one process begins what two will end
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(commands))
    first, second = (process.communicate() for process in started(plan, 2))
    assert json.loads((tmp_path / "codes-0.json").read_text()) == [0, 0, 0, 0, 0, -9, 0], first[1]
    assert second == ("", ""), "process 1 is to be silent"
    results = [json.loads(line) for line in first[0].splitlines()]
    assert [Path(result["run"]).name for result in results] == [*complete, "moved"]
    assert "training on 2 processes (fsdp), each on cpu" in first[1]
    assert f"going on after step 5 of {STEPS}" in first[1] and "Traceback" not in first[1]
    parts = sorted(path.name for path in (tmp_path / "together/fsdp/checkpoints/step-12/model").iterdir())
    assert len(parts) == 2 and all(name.endswith(".safetensors") for name in parts)
    for name in complete:
        rounding = 2e-4 if name == "muon" else 2e-5  # its directions magnify rounding
        same(together[name].paths().out, alone[name].paths().out, rounding=rounding)
    same(together["moved"].paths().out, alone["fsdp"].paths().out)
    train(dataclasses.replace(together["killed"], resume=True, parallel="none"))  # two began, one ends
    same(together["killed"].paths().out, alone["fsdp"].paths().out)
    assert not list(tmp_path.rglob("*.part"))


def test_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    with joined("auto", device="cpu") as team:
        assert team is ALONE and team.named() == ""
    with pytest.raises(ConfigError, match="parallel 'fsdp' needs processes of torchrun: torchrun"):
        joined("fsdp", device="cpu").__enter__()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="parallel 'none' is for one process, 2 are running"):
        joined("none", device="cpu").__enter__()


def test_what_falls_to_a_process() -> None:
    team = [Team(rank=rank, size=3, neighbours=3, parallel="ddp") for rank in range(3)]
    assert [list(member.dealt("abcd")) for member in team] == [
        [("a", 1.0), ("d", 1.0)], [("b", 1.0), ("d", 0.0)], [("c", 1.0), ("d", 0.0)]
    ]  # fmt: skip
    assert list(ALONE.dealt("ab")) == [("a", 1.0), ("b", 1.0)]
    assert team[1].threads(4) == 4 and team[1].threads(0) >= 1 and ALONE.threads(0) == 0
    assert team[1].device("cpu") == "cpu" and ALONE.device("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match="device 'cuda:1' cannot serve 3 processes"):
        team[1].device("cuda:1")


def test_what_parts_do_not_go_with() -> None:
    with pytest.raises(ConfigError, match="ema_on_cpu"):
        check_sharded(ema_on_cpu=True)
    check_sharded(ema_on_cpu=False)


@pytest.fixture
def connected() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", [name for name in MODELS if "image" not in MODELS.load(name).takes])
def test_every_model_can_be_shared_out(tiny_config: Make, connected: None, name: str) -> None:
    """Two steps under each engine are those without: DDP waits for every parameter, FSDP cuts each."""
    config = tiny_config(model=small(name), objective=ObjectiveConfig(name=objective_of(name)), batch_size=4)
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    found = []
    for parallel in ("none", "ddp", "fsdp"):
        parts = build_parts(config, Tables(train=8, validation=4), hardware, team=Team(parallel=parallel))
        rows = parts.train.rows(np.arange(4))
        results = [train_step(parts, rows, step) for step in (1, 2)]
        scores = validate(parts, batches=1, stopped=lambda: False)
        assert scores is not None
        found.append([*(r.loss.item() for r in results), results[1].grad_norm.item(), scores["val_loss"]])
    assert found[1] == pytest.approx(found[0], rel=2e-5) and found[2] == pytest.approx(found[0], rel=2e-5)


@pytest.mark.parametrize("optim", [{"clip_mode": "agc"}, {"clip_mode": "value"}, {"name": "lion"}])
def test_clipping_and_steps_in_parts(tiny_config: Make, connected: None, optim: dict[str, Any]) -> None:
    config = tiny_config(optim=OptimConfig(lr=1e-3, clip_norm=0.02, **optim), ema_decay=0.9)
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    found = []
    for parallel in ("none", "fsdp"):
        parts = build_parts(config, Tables(train=8, validation=4), hardware, team=Team(parallel=parallel))
        results = [train_step(parts, parts.train.rows(np.arange(8)), step) for step in (1, 2, 3)]
        found.append([value.item() for r in results for value in (r.loss, r.grad_norm)])
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_dry_run_of_every_model(name: str) -> None:
    objective = ObjectiveConfig(name=objective_of(name))
    plan = dry_run(TrainConfig(model=small(name), objective=objective, vocab_size=70, max_steps=7))
    assert plan["steps"] == 7 and plan["tokens_per_step"] == 32 * 32
    assert plan["memory_bytes"] > 16 * plan["parameters"]["total"] > 1000
    assert plan["flops_per_token"] >= 6 * small(name).layers * small(name).width ** 2


def small(name: str) -> ModelConfig:
    heads = {"heads": 2} if "heads" in MODELS.load(name).takes else {}
    return ModelConfig(name=name, layers=2, width=32, context=32, **heads)


def objective_of(name: str) -> str:
    """One that the model takes."""
    architecture = MODELS.load(name)
    return (*architecture.objectives, "mlm" if architecture.bidirectional else "clm")[0]
