"""`seqloom eval`: probes with intervals and baselines, and metrics of generated sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from biodata.errors import require
from bioeval.compare import CompareConfig
from bioeval.distances.study import DistancesConfig
from bioeval.doctor import DoctorConfig
from bioeval.evaluate import EvalConfig
from bioeval.leaderboard.config import LeaderboardConfig
from bioeval.sequences.evaluation import SequencesConfig
from seqloom_cli.commands import Positional, add_command, json_option
from seqloom_cli.output import one_line_errors, show
from seqloom_cli.texts import compared, evaluated

app = typer.Typer(help="Scores one can trust.", no_args_is_help=True)

REPORT = "report.html"


@app.command(help="The tasks that ship: what they are, what is wrong with them, where their data is.")
@one_line_errors
def tasks(as_json: Annotated[bool, json_option()] = False) -> None:
    from bioeval.tasks import describe_tasks, tasks_text

    show({"tasks": describe_tasks()}, as_json=as_json, text=lambda found: tasks_text(found["tasks"]))


def _run(config: EvalConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.evaluate import evaluate
    from bioeval.report.page import ReportInputs, write_part

    result = evaluate(config)
    inputs = ReportInputs(evaluation=config.out, title="Evaluation")
    return {**result, "report": str(write_part(inputs, config.out / REPORT))}


MODELS = Positional(
    path="models", metavar="MODEL...", help="run folders, Hugging Face folders or baseline names", many=True
)
add_command(
    app, "run", EvalConfig, _run, positional=(MODELS,), text=evaluated,
    help="Probes frozen embeddings: a score, its 95 % interval, baselines and a leakage line.",
)  # fmt: skip


def _examine(config: DoctorConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.doctor import examine

    return examine(config)


def _described(report: Mapping[str, Any]) -> str:
    from bioeval.doctor import described

    return described(report)


EXAMINED = Positional(path="model", metavar="[MODEL]", help="as for `eval run`; kmer where none is given")
add_command(
    app, "doctor", DoctorConfig, _examine, positional=(EXAMINED,), text=_described,
    fails=lambda report: not report["ok"],
    help="Mock-runs a model on toy tasks of every kind, in seconds; exit code 1 when one fails.",
)  # fmt: skip


def _sequences(config: SequencesConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.report.page import ReportInputs, write_part
    from bioeval.sequences.evaluation import evaluate_sequences

    result = evaluate_sequences(config)
    inputs = ReportInputs(sequences=config.out, title="Generated sequences")
    return {**result, "report": str(write_part(inputs, config.out / REPORT))}


GENERATED = Positional(
    path="generated", metavar="GENERATED", help="file, folder, pattern, dataset, source name"
)
add_command(
    app, "sequences", SequencesConfig, _sequences, positional=(GENERATED,), text=compared,
    help="Compares generated with natural sequences, each metric beside its null.",
)  # fmt: skip


def _compare(config: CompareConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.compare import compare_folders

    return compare_folders(config)


def _compared(result: Mapping[str, Any]) -> str:
    from bioeval.compare import as_markdown

    return as_markdown(result)


FIRST = Positional(path="first", metavar="FIRST", help="folder of eval run")
SECOND = Positional(path="second", metavar="SECOND", help="another one, or the same with another model")
add_command(
    app, "compare", CompareConfig, _compare, positional=(FIRST, SECOND), text=_compared,
    help="Compares two models on the same items: difference, interval, corrected p-values, power.",
)  # fmt: skip


def _leaderboard(config: LeaderboardConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.leaderboard.build import build_leaderboard

    return build_leaderboard(config)


def _in_short(result: Mapping[str, Any]) -> str:
    from bioeval.leaderboard.build import in_short

    return in_short(result)


INPUTS = Positional(
    path="inputs", metavar="DIR...", help="folders of eval run, JSON files with results of others", many=True
)
add_command(
    app, "leaderboard", LeaderboardConfig, _leaderboard, positional=(INPUTS,), text=_in_short,
    help="One page that opens offline: places with intervals, ties, baselines, leakage, cost.",
)  # fmt: skip


def _distances(config: DistancesConfig) -> Mapping[str, Any]:
    require("scipy", extra="eval")
    from bioeval.distances.study import evaluate_distances

    return {**evaluate_distances(config), "report": str(config.out / REPORT)}


def _far(result: Mapping[str, Any]) -> str:
    from bioeval.distances.page import markdown

    return f"{markdown(result)}\nwritten: {result['report']}"


GROUPS = Positional(
    path="groups", metavar="GROUP...", help="[PARENT/]NAME=PATH[,PATH...] or PATH, two or more", many=True
)
add_command(
    app, "distances", DistancesConfig, _distances, positional=(GROUPS,), text=_far,
    help="Distances within and between groups (phyla, species, models), with a heat map and a tree.",
)  # fmt: skip
