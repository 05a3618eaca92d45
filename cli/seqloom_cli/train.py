"""`seqloom train` and `seqloom generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from biodata.errors import require
from biotrain.generate_config import GenerateConfig
from seqloom_cli.commands import Positional, add_command
from seqloom_cli.helm import ALIASES
from seqloom_cli.raw_files import TrainCommand


def _train(config: TrainCommand) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.loop import train

    return train(config.settings())


def _dry_run(config: TrainCommand) -> Mapping[str, Any]:
    from biotrain.estimate import dry_run

    return dry_run(config.planned())


def _generate(config: GenerateConfig) -> Mapping[str, Any]:
    require("torch", extra="train")
    from biotrain.generate import generate

    return generate(config)


RUN = Positional(path="run", metavar="RUN", help="run folder of a causal model")


def add_commands(app: typer.Typer) -> None:
    """Adds both commands to the top level."""
    add_command(
        app, "train", TrainCommand, _train, plan=_dry_run, aliases=ALIASES,
        help="Pretrains a model on a dataset.",
    )  # fmt: skip
    add_command(
        app, "generate", GenerateConfig, _generate, positional=(RUN,),
        help="Samples sequences from a model into a FASTA file.",
    )  # fmt: skip
