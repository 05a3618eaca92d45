"""`seqloom embed` and `seqloom score`: what a model makes of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import typer

from biodata.errors import require
from biodata.fetch.names import source_names
from bioeval.baselines import BASELINES
from bioeval.records.embedding import EmbedConfig
from bioeval.records.scoring import ScoreConfig
from seqloom_cli.commands import Positional, add_command

MODEL = Positional(
    path="model", metavar="MODEL", help="run folder, Hugging Face folder or id, random-init:RUN"
)
MODEL_OR_BASELINE = replace(MODEL, help=f"{MODEL.help}, or a baseline: {', '.join(BASELINES)}")
INPUT = Positional(
    path="read.inputs",
    metavar="INPUT...",
    help="files of any format, a dataset folder, or a source name",
    many=True,
    complete=source_names,
)


def _score(config: ScoreConfig) -> Mapping[str, Any]:
    require("torch", extra="eval")
    from bioeval.records.scoring import score_file

    return score_file(config)


def _embed(config: EmbedConfig) -> Mapping[str, Any]:
    if config.model not in BASELINES:
        require("torch", extra="eval")
    from bioeval.records.embedding import embed_file

    return embed_file(config)


def add_commands(app: typer.Typer) -> None:
    """Adds both commands to the top level."""
    add_command(
        app, "score", ScoreConfig, _score, positional=(MODEL, INPUT),
        help="Scores sequences or mutants by a model's likelihood, a row each.",
    )  # fmt: skip
    add_command(
        app, "embed", EmbedConfig, _embed, positional=(MODEL_OR_BASELINE, INPUT),
        help="Embeds sequences by a frozen model, a row each.",
    )  # fmt: skip
