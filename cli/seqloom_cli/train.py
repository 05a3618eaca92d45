"""`seqloom train`, `export`, `generate`, `finetune` and `coord-check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from biodata.configs import from_dict, to_dict
from biodata.errors import require
from biotrain.config import TrainConfig
from biotrain.coord_config import CoordCheckConfig
from biotrain.export_config import ModelExportConfig, run_export
from biotrain.finetune_config import FinetuneConfig
from biotrain.generate_config import GenerateConfig
from seqloom_cli.commands import Positional, add_command
from seqloom_cli.helm import ALIASES
from seqloom_cli.raw_files import TrainCommand
from seqloom_cli.texts import generated, trained


def _train(config: TrainCommand) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.distributed import joined
    from biotrain.loop import train

    with joined(config.parallel, device=config.device) as team:
        settings = team.from_first(lambda: to_dict(config.settings()))  # one process makes what is missing
        return train(from_dict(TrainConfig, settings))


def _dry_run(config: TrainCommand) -> Mapping[str, Any]:
    from biotrain.estimate import dry_run

    return dry_run(config.planned())


def _generate(config: GenerateConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.generate import generate

    return generate(config)


def _export(config: ModelExportConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    return run_export(config)


def _coord_check(config: CoordCheckConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.coord_check import coord_check

    return coord_check(config)


def _finetune(config: FinetuneConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.finetune import finetune
    from seqloom_cli.rewards import reward_of

    return finetune(config, reward_of(config.reward, reference=config.reference, seed=config.seed))


RUN = Positional(path="run", metavar="RUN", help="run folder, or exported model folder")


def add_commands(app: typer.Typer) -> None:
    """Adds both commands to the top level."""
    add_command(
        app, "train", TrainCommand, _train, plan=_dry_run, aliases=ALIASES, text=trained,
        help="Pretrains a model on a dataset.",
    )  # fmt: skip
    add_command(
        app, "export", ModelExportConfig, _export, positional=(RUN,),
        help="Writes a model in another form: a folder for transformers, or weights for Megatron-core.",
    )  # fmt: skip
    add_command(
        app, "generate", GenerateConfig, _generate, positional=(RUN,), text=generated,
        help="Samples sequences from a model into a FASTA file.",
    )  # fmt: skip
    add_command(
        app, "finetune", FinetuneConfig, _finetune, positional=(RUN,),
        help="Trains a model by rewards of what it generates, on a leash to where it started.",
    )  # fmt: skip
    add_command(
        app, "coord-check", CoordCheckConfig, _coord_check,
        help="Whether activations keep their size as models grow wider, with muP and without.",
    )  # fmt: skip
