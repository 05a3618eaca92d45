"""biotrain.config: defaults that follow from one another, and one-line refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from biodata.configs import from_dict, set_by_path, to_dict
from biodata.errors import ConfigError
from biotrain.config import OptimConfig, ScheduleConfig, TrainConfig


def test_round_trip_and_settings_by_path() -> None:
    settings: dict[str, Any] = {"data": "d", "model": "bert", "objective": "mlm", "loss": "hxe"}
    set_by_path(settings, "model.layers", "4")
    set_by_path(settings, "max_steps", "1e3")
    set_by_path(settings, "optim.lr", "1e-3")
    config = from_dict(TrainConfig, settings)
    assert (config.model.layers, config.max_steps, config.optim.lr) == (4, 1000, 1e-3)
    assert from_dict(TrainConfig, to_dict(config)) == config


def test_values_that_follow_from_others() -> None:
    config = from_dict(TrainConfig, {"model": {"context": 64}, "optim": {"lr": 1.0}, "accumulate": 3})
    assert (config.window, config.min_lr, config.rows_per_step) == (64, 0.1, 96)


def test_every_field_explains_itself() -> None:
    fields = [*TrainConfig.__dataclass_fields__.values(), *OptimConfig.__dataclass_fields__.values(),
              *ScheduleConfig.__dataclass_fields__.values()]  # fmt: skip
    assert not [field.name for field in fields if not field.metadata.get("help")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"max_steps": 0}, "max_steps must be 1 or more, got 0"),
        (
            {"context": 1000},
            "context 1000 is longer than the 512 tokens that the model reads: give --model-context 1000",
        ),
        ({"context": 1}, "context must be 2 or more, got 1"),
        ({"precision": "fp16"}, "'precision' takes one of auto, fp32, bf16"),
        ({"schedule": {"min_lr": 1}}, "min_lr must be from 0 to 0.0003, got 1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'?"),
        ({"optim": {"betas": [0.9, 1]}}, "betas must be"),
        ({"objective": "mlm"}, "objective 'mlm' needs a model that sees both sides, got 'gpt2'"),
        (
            {"model": "bert", "objective": "mlm", "loss": "topological"},
            "predicted in order: take objective 'clm', got 'mlm'",
        ),
        (
            {"model": "electra", "objective": {"name": "rtd", "rtd": {"corrector_weight": 2}}},
            "objective rtd.corrector_weight is of model 'metro', got 'electra': leave it out",
        ),
        ({"loss": {"name": "hxe", "tree_seed": 3}}, "tree_seed 3 is of hierarchy random or permuted"),
        ({"loss": {"name": "hxe", "tree": "x.json", "table": 4}}, "tree is given, so table 4 has no meaning"),
        ({"loss": {"name": "hxe", "tree": "x.json", "hierarchy": "random"}}, "so hierarchy 'random' has no"),
        ({"chekpoint_every": 1}, "did you mean 'checkpoint_every'?"),
    ],
)
def test_refusals(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(TrainConfig, settings, where="x.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_needs_no_torch(project: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import biotrain.config, biotrain.schedule, biotrain.loader, biotrain.estimate\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project)
