"""The `seqloom` command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from biodata import __version__
from biodata.errors import ConfigError
from biodata.progress import say
from biodata.storage import storage_problem
from seqloom_cli import data, evaluate, models, tokenizer, train
from seqloom_cli.commands import SWITCHES, json_option
from seqloom_cli.helm import from_helm
from seqloom_cli.output import one_line_errors, show

_TASK_OPTIONS = ("--task", "--tasks")
_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__base__
"""What typer raises for options and commands that there are not; it has no public name."""

app = typer.Typer(
    name="seqloom",
    help="Data, pretraining and honest evaluation for language models of biological sequences.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(evaluate.app, name="eval")
train.add_commands(app)
models.add_commands(app)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; long options may be written with `-` or `_`.

    Raises:
        KeyboardInterrupt: Ctrl-C outside of a command's own care, of which typer says nothing.
    """
    try:
        given = prepared(sys.argv[1:] if arguments is None else arguments)
        code = app(args=given, prog_name="seqloom", standalone_mode=False)
    except ConfigError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except _UsageError as error:
        say(_usage(error))
        sys.exit(ConfigError.exit_code)
    except OSError as error:  # help and versions that cannot be written; commands say it themselves
        say(f"error: {storage_problem(error) or error}")
        sys.exit(1)
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    sys.exit(code or 0)


def _usage(error: Any) -> str:
    """One line for an unknown option or command; a group without a command is its help."""
    message = error.format_message()
    if "\n" in message:
        return message
    where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
    return f"error: {message.rstrip('.')}{where}"


def prepared(arguments: list[str]) -> list[str]:
    """The arguments as typer takes them: `-` for `_` in names, `--task` repeated, HELM's forms rewritten."""
    spelt = _switched([_spelt(argument) for argument in arguments])
    return ["train", *from_helm(spelt[1:])] if spelt[:1] == ["train"] else _tasks_apart(spelt)


@app.callback(invoke_without_command=True)
def version(
    shown: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False,
) -> None:
    if shown:
        print(f"seqloom {__version__}")
        raise typer.Exit


def _recipes(incomplete: str) -> list[str]:
    from seqloom_cli.recipe import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@app.command(help="The whole way of a recipe: data to report. Finished stages are skipped.")
@one_line_errors
def run(
    recipe: Annotated[
        str, typer.Argument(help="recipe file, or the name of one that ships", autocompletion=_recipes)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "--output", help="folder of everything made (default: runs/NAME)")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="any setting, for example train.max_steps=50", metavar="A.B=C"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved plan, do nothing")] = False,
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    _run(recipe, out, set_ or [], dry_run=dry_run, as_json=as_json)


@app.command(help="The whole way on the embedded sample: simulated gene families with known truth.")
@one_line_errors
def demo(
    out: Annotated[Path, typer.Option("--out", "--output", help="folder of everything made")] = Path("demo"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="any setting, for example train.max_steps=50", metavar="A.B=C"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved plan, do nothing")] = False,
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    _run("quickstart", out, set_ or [], dry_run=dry_run, as_json=as_json)


@app.command(help="What is installed, what would work, what is missing and how to get it.")
@one_line_errors
def doctor(as_json: Annotated[bool, json_option()] = False) -> None:
    from seqloom_cli.doctor import describe, examine

    report = examine()
    if as_json:
        show(report, as_json=True)
    else:
        print(describe(report))
    raise typer.Exit(0 if report["ok"] else 1)


def _run(recipe: str, out: Path | None, settings: list[str], *, dry_run: bool, as_json: bool) -> None:
    from seqloom_cli.pipeline import describe_plan, run_recipe
    from seqloom_cli.recipe import Places, check_recipe, read_recipe

    values = read_recipe(recipe, settings)
    out = out or Path("runs") / str(values.get("name", Path(recipe).stem))
    places = Places.under(out)
    checked = check_recipe(values, places, where=recipe)
    if dry_run:
        plan = describe_plan(checked, places)
        show(plan, as_json=as_json)
        for name, stage in {} if as_json else plan["stages"].items():
            print(f"{name}: {stage['state']}{stage['why'] and ', ' + stage['why']}")
        return
    result = run_recipe(checked, places)
    if as_json:
        show(result, as_json=True)
    else:
        shown = out / places.report.name
        own = "; your own files: see 'Your own files' in README.md" if checked.simulate else ""
        print(f"report: {shown}")
        print(f"next: open {shown} in a browser{own}")


def _spelt(argument: str) -> str:
    name = re.match(r"--[A-Za-z0-9_]+(?:[-_][A-Za-z0-9_]+)*", argument)
    return name.group().replace("_", "-") + argument[name.end() :] if name else argument


def _switched(arguments: list[str]) -> list[str]:
    """`--pack true` as `--pack`, `false` as `--no-pack`: so are settings given that have a third state."""
    switches = {name for word in arguments[:2] for name in SWITCHES.get(word, ())}
    done: list[str] = []
    for word in arguments:
        if done and done[-1] in switches and word in ("true", "false"):
            done[-1] = done[-1] if word == "true" else f"--no-{done[-1][2:]}"
        else:
            done.append(word)
    return done


def _tasks_apart(arguments: list[str]) -> list[str]:
    """Repeats `--task` before every further task that follows it: `--task mrfp mlos`; models stay models."""
    if arguments[:2] != ["eval", "run"]:
        return arguments
    from bioeval.tasks import is_task

    apart: list[str] = []
    listing = False
    for before, argument in pairwise(["", *arguments]):
        named = is_task(argument)
        joined = before.startswith(tuple(f"{option}=" for option in _TASK_OPTIONS))
        listing = before in _TASK_OPTIONS or ((listing or joined) and named)
        if listing and before not in _TASK_OPTIONS:
            apart.append(_TASK_OPTIONS[0])
        apart.append(argument)
    return apart


if __name__ == "__main__":
    main()
