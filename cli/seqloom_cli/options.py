"""Command-line options made from configuration dataclasses, and the layers their values come from.

Every option defaults to None, so "was it given?" needs nothing of the option parser. Layers merge in plain
Python: defaults < `--config FILE` < environment < `--set a.b=c` < options.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
import yaml

from biodata.configs import field_types, from_dict, read_yaml, set_by_path
from biodata.errors import ConfigError

OPTIONS = "Options"
"""Title of the options of no group."""

_OTHER_NAMES = {"out": ["--output"], "tasks": ["--task"]}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a (nested) configuration and the option that sets it.

    Attributes:
        path: where it is, for example `model.layers`.
        option: its option without dashes, for example `layers`.
        kind: the field's type.
        default: its default, or `dataclasses.MISSING`.
        panel: the group it is shown under in `--help`.
        others: further names of the option, with dashes.
    """

    path: str
    option: str
    kind: Any
    default: Any
    help: str
    panel: str
    others: tuple[str, ...] = ()

    @property
    def parameter(self) -> str:
        """A Python identifier for the option."""
        return self.option.replace("-", "_")

    def annotation(self) -> Any:
        """The option's type and how it is shown."""
        text = self.help
        if self.default is not dataclasses.MISSING and (default := _shown(self.default)):
            text = f"{text}  [default: {default}]"  # a text as show_default stands in further parentheses
        bare = f"--{self.option}"
        names = [bare, *_OTHER_NAMES.get(self.option, ()), *self.others]
        if self.kind is bool:
            return bool, typer.Option(
                f"{bare}/--no-{self.option}", help=text, show_default=False, rich_help_panel=self.panel,
            )  # fmt: skip
        kind = list[str] if _is_many(self.kind) else str
        return kind, typer.Option(
            *names, help=text, metavar=_metavar(self.kind), show_default=False, rich_help_panel=self.panel,
        )  # fmt: skip


def leaves(cls: type, *, skip: frozenset[str] = frozenset()) -> list[Leaf]:
    """The values of a configuration class, each with a unique option.

    The field `name` of a group is set by the group's own name (`--loss hxe`); a field whose name is taken by
    another group is prefixed by its own (`--loss-alpha`).
    """
    found = _walk(cls, "", OPTIONS)
    names = [path.rsplit(".", 1)[-1] for path, *_ in found]
    result = []
    for (path, kind, default, text, panel), name in zip(found, names):
        if path in skip:
            continue
        parts = path.split(".")
        if name == "name" and len(parts) > 1:
            option = parts[-2]
        elif names.count(name) > 1 and len(parts) > 1:
            option = f"{parts[-2]}-{name}"
        else:
            option = name
        result.append(Leaf(path, option.replace("_", "-"), kind, default, text, panel))
    taken = [leaf.option for leaf in result]
    assert len(set(taken)) == len(taken), f"{cls.__name__}: two fields share an option: {sorted(taken)}"
    return result


def merge(
    cls: type,
    given: Mapping[str, Any],
    *,
    config: Path | None,
    settings: list[str],
    command: str,
    positional: frozenset[str] = frozenset(),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Merges the layers into one mapping for `from_dict`.

    Args:
        given: options by field path; None means not given.
        config: a YAML file.
        settings: `a.b=c` pairs.
        command: the environment is searched for `SEQLOOM_<COMMAND>_<OPTION>`.
        positional: paths given by position, whose commas are kept; options that take several values may be
            repeated or hold commas.

    Returns:
        The mapping, and for every value set by a layer the name of that layer.

    Raises:
        ConfigError: a file that cannot be read or a setting without `=`.
    """
    values: dict[str, Any] = read_yaml(config) if config else {}
    origin = {path: str(config) for path in _paths(values)}
    many = {leaf.path for leaf in leaves(cls) if _is_many(leaf.kind)} - positional
    prefix = f"SEQLOOM_{command.upper().replace(' ', '_')}_"
    for leaf in leaves(cls):
        variable = prefix + leaf.parameter.upper()
        if variable in os.environ:
            set_by_path(values, leaf.path, os.environ[variable])
            origin[leaf.path] = f"${variable}"
    for setting in settings:
        path, value = parse_setting(setting)
        set_by_path(values, path, value)
        origin[path] = "--set"
    for path, value in given.items():
        if value is not None:
            set_by_path(values, path, _split_commas(value) if path in many else value)
            origin[path] = "option"
    return values, origin


def parse_setting(setting: str) -> tuple[str, Any]:
    """Splits `a.b=c`; the value is read as YAML.

    >>> parse_setting("model.layers=4")
    ('model.layers', 4)
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set takes name=value, got {setting!r}")
    try:
        return path.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        return path.strip(), text


def build(cls: type, values: Mapping[str, Any], *, where: str) -> Any:
    """The configuration of merged values; see `biodata.configs.from_dict`."""
    return from_dict(cls, values, where=where)


def _split_commas(values: list[str]) -> list[str]:
    return [part for value in values for part in value.split(",")]


def _walk(cls: type, prefix: str, panel: str) -> list[tuple[str, Any, Any, str, str]]:
    types = field_types(cls)
    found = []
    for field in dataclasses.fields(cls):
        kind = types[field.name]
        nested = next((k for k in (kind, *get_args(kind)) if dataclasses.is_dataclass(k)), None)
        path = f"{prefix}{field.name}"
        if isinstance(nested, type):
            about = field.metadata.get("help", "")
            found += _walk(nested, path + ".", f"{path} ({about})" if about else path)
        else:
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            found.append((path, kind, default, field.metadata.get("help", ""), panel))
    return found


def _is_many(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _metavar(kind: Any) -> str:
    options = [k for k in get_args(kind) if k is not type(None)]
    if get_origin(kind) is Literal:
        return "|".join(map(str, options))
    if get_origin(kind) is tuple:
        return "A,B,..."
    if type(None) in get_args(kind) and len(options) == 1:
        return _metavar(options[0])
    return {int: "N", float: "X", Path: "PATH"}.get(kind, "TEXT")


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in values.items():
        found += _paths(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"]
    return found
