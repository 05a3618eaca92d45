"""Makes a typer command from a configuration class and the function that runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from biodata.configs import to_dict
from seqloom_cli.options import OPTIONS, Leaf, build, leaves, merge
from seqloom_cli.output import Text, one_line_errors, show

Run = Callable[[Any], Mapping[str, Any]]

SWITCHES: dict[str, set[str]] = {}
"""Command to its options that take no value."""


class Grouped(TyperCommand):
    """A command whose help shows options by the group of settings that they belong to."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes a section for each group, the general options first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], OPTIONS: []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                general = "Arguments" if parameter.param_type_name == "argument" else OPTIONS
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or general, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


@dataclass(frozen=True, slots=True, kw_only=True)
class Positional:
    """A field given by position instead of by option.

    Attributes:
        path: the field.
        metavar: how it is shown.
        many: whether it takes one or more values.
        complete: names to complete shell words with.
    """

    path: str
    metavar: str
    help: str
    many: bool = False
    complete: Callable[[], list[str]] | None = None


def add_command(
    app: typer.Typer,
    name: str,
    config: type,
    run: Run,
    *,
    help: str,
    positional: tuple[Positional, ...] = (),
    plan: Run | None = None,
    aliases: Mapping[str, str] | None = None,
    text: Text | None = None,
    fails: Callable[[Mapping[str, Any]], bool] | None = None,
) -> None:
    """Adds the command `name` whose options are the fields of `config`.

    Args:
        run: takes the configuration, returns what is shown (one JSON object with `--json`).
        positional: fields given by position.
        aliases: field to another name of its option, with dashes.
        plan: adds `--dry-run`; takes the configuration, returns what would be done.
        text: how people see a result, instead of a line for each field.
        fails: whether a result means exit code 1.
    """
    taken = frozenset(p.path for p in positional)
    others = aliases or {}
    options = [
        replace(leaf, others=(others[leaf.path],)) if leaf.path in others else leaf
        for leaf in leaves(config, skip=taken)
    ]

    SWITCHES.setdefault(name, set()).update(f"--{leaf.option}" for leaf in options if leaf.kind is bool)

    def command(**values: Any) -> None:
        as_json, dry = values.pop("as_json"), values.pop("dry_run", False)
        print_config = values.pop("print_config")
        given = {leaf.path: values[leaf.parameter] for leaf in options}
        given |= {p.path: values[_identifier(p)] for p in positional}
        merged, origin = merge(
            config, given, config=values["config_file"], settings=values["set_"] or [], command=name,
            positional=taken,
        )  # fmt: skip
        built = build(config, merged, where=str(values["config_file"] or "options"))
        if print_config:
            show({"config": to_dict(built), "origin": origin}, as_json=as_json)
            return
        chosen = plan if dry and plan else run
        result = chosen(built)
        show(result, as_json=as_json, text=None if dry else text)
        if fails is not None and not dry and fails(result):
            raise typer.Exit(1)

    parameters = [_argument(p) for p in positional] + [_option(leaf) for leaf in options]
    parameters += _common(bool(plan))
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = help
    app.command(name, help=help, cls=Grouped)(one_line_errors(command))


def json_option() -> Any:
    """The `--json` option of commands written by hand."""
    return typer.Option("--json", help="print one JSON object on standard output and nothing else there")


def _identifier(positional: Positional) -> str:
    return "argument_" + positional.path.replace(".", "_")


def _argument(positional: Positional) -> inspect.Parameter:
    kind = Optional[list[str]] if positional.many else Optional[str]  # noqa: UP045
    argument = typer.Argument(
        help=positional.help, metavar=positional.metavar, autocompletion=_completer(positional),
        show_default=False,
    )  # fmt: skip
    return _parameter(_identifier(positional), Annotated[kind, argument])


def _completer(positional: Positional) -> Callable[[str], list[str]] | None:
    names = positional.complete
    if names is None:
        return None
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


def _option(leaf: Leaf) -> inspect.Parameter:
    kind, option = leaf.annotation()
    return _parameter(leaf.parameter, Annotated[Optional[kind], option])  # noqa: UP045


def _common(dry_run: bool) -> list[inspect.Parameter]:
    config = typer.Option("--config", help="YAML file with these settings", metavar="FILE")
    setting = typer.Option(
        "--set", help="any setting by its path, for example model.layers=4", metavar="A.B=C"
    )
    shown = typer.Option("--print-config", help="print the resolved settings and where each came from, stop")
    parameters = [
        _parameter("config_file", Annotated[Optional[Path], config]),  # noqa: UP045
        _parameter("set_", Annotated[Optional[list[str]], setting]),  # noqa: UP045
        _parameter("print_config", Annotated[bool, shown], False),
        _parameter("as_json", Annotated[bool, json_option()], False),
    ]
    if dry_run:
        dry = typer.Option("--dry-run", help="say what would be done and do nothing")
        parameters.append(_parameter("dry_run", Annotated[bool, dry], False))
    return parameters


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
