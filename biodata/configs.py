"""Configurations: frozen dataclasses read from plain mappings (YAML, flags) and written back.

A configuration class has only simple fields: `str`, `int`, `float`, `bool`, `Path`, `Literal[...]`,
tuples of these, `X | None`, or another configuration class. Its own checks live in `__post_init__`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, MutableMapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from biodata.errors import ConfigError
from biodata.files import write_text

T = TypeVar("T")

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("none", "null", "~", "")


class _Mismatch(Exception):
    """A value that does not fit its type; the caller knows the key and turns it into a ConfigError."""


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, where: str = "config") -> T:
    """Builds a configuration from a mapping, checking every key and type.

    Text is converted where its meaning is plain (`"1e-3"` for a float, which is what YAML makes of it;
    `"0.9,0.95"` for a tuple; `"none"` for an optional value); nothing else is converted. A nested
    configuration that has a field `name` may be given as that name alone. Keys may use `-` for `_`.

    Args:
        cls: the configuration class.
        mapping: its values by field name; missing ones take their defaults.
        where: where the mapping came from, for messages.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong type or range.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Optim:
    ...     lr: float = 3e-4
    >>> from_dict(Optim, {"lr": "1e-3"})
    Optim(lr=0.001)
    >>> from_dict(Optim, {"lrr": 1}, where="run.yaml")
    Traceback (most recent call last):
    biodata.errors.ConfigError: run.yaml: unknown key 'lrr', did you mean 'lr'? (known: lr)
    """
    return _build(cls, mapping, where, "")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain nested dicts, lists, text and numbers, in field order.

    `from_dict(type(config), to_dict(config)) == config`.
    """
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def set_by_path(mapping: MutableMapping[str, Any], path: str, value: Any) -> None:
    """Sets `mapping["a"]["b"]` for the path `"a.b"` in place, making levels that are missing.

    A level given as a bare name (`model: gpt2`) becomes `{"name": "gpt2"}` first.

    Args:
        mapping: changed in place.
        path: names joined by dots, from the outermost level to the setting.
        value: what the setting becomes.

    Raises:
        ConfigError: an empty part, or a level that is a number or a list.

    >>> settings = {"model": "gpt2"}
    >>> set_by_path(settings, "model.layers", 4)
    >>> settings
    {'model': {'name': 'gpt2', 'layers': 4}}
    """
    *levels, last = [_spelt(part) for part in path.split(".")]
    if not all((*levels, last)):
        raise ConfigError(f"a setting is named like 'model.layers', got {path!r}")
    for level in levels:
        inner: Any = mapping.get(level)
        if inner is None or isinstance(inner, str):
            mapping[level] = inner = {} if inner is None else {"name": inner}
        if not isinstance(inner, MutableMapping):
            raise ConfigError(f"cannot set {path!r}: {level!r} is {inner!r}, not a group of settings")
        mapping = inner
    mapping[last] = value


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping (an empty file is an empty mapping).

    Raises:
        ConfigError: no such file, not YAML (with the line), a key given twice, or not a mapping.
    """
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), _OnceLoader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8, so not YAML") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError(f"{path}{line}: not YAML: {problem}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: 'key: value' lines expected, found {_shown(value)}")
    return {str(key): inner for key, inner in value.items()}


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which PyYAML would silently take the last (YAML 1.2.2, 3.2.1.1)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a mapping as YAML, keys in the order given, atomically."""
    write_text(path, yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True))


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name to its evaluated type, in field order; also for classes with postponed annotations."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _build(cls: type[T], mapping: Any, where: str, prefix: str) -> T:
    fields = field_types(cls)
    if isinstance(mapping, cls):
        return mapping
    if isinstance(mapping, str) and "name" in fields:
        mapping = {"name": mapping}
    if not isinstance(mapping, Mapping):
        at = f"{prefix.rstrip('.')!r}" if prefix else "this"
        raise ConfigError(f"{where}: {at} takes a group of settings, got {_shown(mapping)}")
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        name = _known(_spelt(str(key)), fields, where, prefix)
        if name in values:
            raise ConfigError(f"{where}: {prefix + name!r} is given twice")
        values[name] = _field(fields[name], value, where, prefix + name)
    _require(cls, values, where, prefix)
    try:
        return cls(**values)
    except ConfigError as error:
        at = f"{prefix.rstrip('.')}: " if prefix else ""
        raise ConfigError(f"{where}: {at}{error}") from error


def _known(name: str, fields: Mapping[str, Any], where: str, prefix: str) -> str:
    if name in fields:
        return name
    near = get_close_matches(name, fields, n=1)
    guess = f", did you mean {prefix + near[0]!r}?" if near else ""
    raise ConfigError(f"{where}: unknown key {prefix + name!r}{guess} (known: {', '.join(fields)})")


def _require(cls: type, values: Mapping[str, Any], where: str, prefix: str) -> None:
    for field in dataclasses.fields(cls):
        bare = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.init and bare and field.name not in values:
            explanation = field.metadata.get("help", "")
            about = f" ({explanation})" if explanation else ""
            raise ConfigError(f"{where}: {prefix + field.name!r} is missing{about}")


def _field(kind: Any, value: Any, where: str, path: str) -> Any:
    inner = next((part for part in (kind, *get_args(kind)) if dataclasses.is_dataclass(part)), None)
    if isinstance(inner, type) and not (inner is not kind and _is_nothing(value)):
        return _build(inner, value, where, path + ".")
    try:
        return _convert(kind, value)
    except _Mismatch as mismatch:
        raise ConfigError(f"{where}: {path!r} takes {mismatch}, got {_shown(value)}") from None


def _convert(kind: Any, value: Any) -> Any:
    """Turns a YAML or command-line value into `kind`, or raises `_Mismatch` saying what is taken."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _convert_optional(kind, value)
    if origin is Literal:
        return _convert_choice(get_args(kind), value)
    if origin is tuple:
        return _convert_tuple(get_args(kind), value)
    if kind is bool:
        return _convert_bool(value)
    if kind in (int, float):
        return _convert_number(kind, value)
    if kind in (str, Path):
        # `6` is a fine file or field name, and YAML reads it as a number
        if isinstance(value, (str, Path)) or (isinstance(value, int) and not isinstance(value, bool)):
            return kind(str(value))
        raise _Mismatch("text" if kind is str else "a path")
    raise TypeError(f"configurations have no fields of type {kind!r}")


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _convert_optional(kind: Any, value: Any) -> Any:
    if _is_nothing(value):
        return None
    wanted = []
    for part in get_args(kind):
        if part is not type(None):
            try:
                return _convert(part, value)
            except _Mismatch as mismatch:
                wanted.append(str(mismatch))
    raise _Mismatch(" or ".join([*wanted, "none"]))


def _convert_choice(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    for choice in choices:
        if isinstance(value, str) and value.strip() == str(choice):
            return choice
    near = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    raise _Mismatch("one of " + ", ".join(map(str, choices)) + guess)


def _convert_tuple(parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [item.strip() for item in value.strip().strip("[]()").split(",") if item.strip()]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = [value]
    repeated = len(parts) == 2 and parts[1] is Ellipsis
    size = None if repeated else len(parts)
    if not isinstance(value, (list, tuple)) or (size is not None and len(value) != size):
        raise _Mismatch("a list" if size is None else f"a list of {size} values")
    kinds = [parts[0]] * len(value) if repeated else parts
    try:
        return tuple(_convert(kind, item) for kind, item in zip(kinds, value))
    except _Mismatch as mismatch:
        raise _Mismatch(f"a list, each entry {mismatch}") from None


def _convert_bool(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, bool):
        return word
    if isinstance(word, str) and word in _WORDS:
        return _WORDS[word]
    raise _Mismatch("true or false")


def _convert_number(kind: type, value: Any) -> float | int:
    wanted = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _Mismatch(wanted)
    try:
        number = int(value) if isinstance(value, (int, str)) else float(value)
    except ValueError:
        try:
            number = float(value)
        except ValueError:
            raise _Mismatch(wanted) from None
    if kind is float:
        return float(number)
    if isinstance(number, float) and not number.is_integer():  # also inf and nan
        raise _Mismatch(wanted)
    return int(number)


def _spelt(key: str) -> str:
    return key.strip().replace("-", "_")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
