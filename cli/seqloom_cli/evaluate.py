"""`seqloom eval`: probes with intervals and baselines, and metrics of generated sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from biodata.errors import require
from bioeval.evaluate import EvalConfig
from bioeval.sequences import SequencesConfig
from seqloom_cli.commands import Positional, add_command, json_option
from seqloom_cli.output import one_line_errors, show

app = typer.Typer(help="Scores one can trust.", no_args_is_help=True)


@app.command(help="The tasks that ship, with where their data comes from.")
@one_line_errors
def tasks(as_json: Annotated[bool, json_option()] = False) -> None:
    from bioeval.tasks import describe_tasks

    show({"tasks": describe_tasks()}, as_json=as_json)


def _run(config: EvalConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.evaluate import evaluate

    return evaluate(config)


MODELS = Positional(
    path="models", metavar="MODEL...", help="run folders, Hugging Face folders or baseline names", many=True
)
add_command(
    app, "run", EvalConfig, _run, positional=(MODELS,),
    help="Probes frozen embeddings: a score, its 95 % interval, baselines and a leakage line.",
)  # fmt: skip


def _sequences(config: SequencesConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.sequences import evaluate_sequences

    return evaluate_sequences(config)


GENERATED = Positional(path="generated", metavar="GENERATED", help="FASTA, Parquet or dataset folder")
add_command(
    app, "sequences", SequencesConfig, _sequences, positional=(GENERATED,),
    help="Compares generated with natural sequences, each metric beside its null.",
)  # fmt: skip
