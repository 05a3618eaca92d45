"""`seqloom train` and `seqloom generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from biodata.errors import require
from biotrain.config import TrainConfig
from biotrain.generate_config import GenerateConfig
from seqloom_cli.commands import Positional, add_command


def _train(config: TrainConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.loop import train

    return train(config)


def _dry_run(config: TrainConfig) -> Mapping[str, Any]:
    from biotrain.estimate import dry_run

    return dry_run(config)


def _generate(config: GenerateConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.generate import generate

    return generate(config)


RUN = Positional(path="run", metavar="RUN", help="run folder of a causal model")


def add_commands(app: typer.Typer) -> None:
    """Adds both commands to the top level."""
    add_command(app, "train", TrainConfig, _train, plan=_dry_run, help="Pretrains a model on a dataset.")
    add_command(
        app, "generate", GenerateConfig, _generate, positional=(RUN,),
        help="Samples sequences from a model into a FASTA file.",
    )  # fmt: skip
