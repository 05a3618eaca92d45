"""What a command says: results on standard output (one JSON object with `--json`), the rest on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import typer

from biodata.errors import SeqloomError
from biodata.progress import say, speaks
from biodata.storage import storage_problem

Text = Callable[[Mapping[str, Any]], str]


def show(result: Mapping[str, Any], *, as_json: bool, text: Text | None = None) -> None:
    """Prints a result: one JSON object, or lines for people; of several processes the first one.

    Args:
        result: what is shown.
        as_json: as one JSON object.
        text: how people see it, by default a line for each field.
    """
    if not speaks():
        return
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=str, allow_nan=False))
        return
    if text is not None:
        print(text(result))
        return
    flat = _flatten(result)
    width = max((len(name) for name, _ in flat), default=0)
    for name, value in flat:
        print(f"{name:<{width}}  {value}")


def show_columns(results: Sequence[Mapping[str, Any]], *, skip: tuple[str, ...] = ()) -> None:
    """Prints results of one kind side by side: a line for each field, a column for each result."""
    width = 2 + max(len(plain(v)) for result in results for k, v in result.items() if k not in skip)
    for name in (key for key in results[0] if key not in skip):
        cells = [plain(result[name]) for result in results]
        print(f"{name:<28}" + "".join(f"{cell:>{width}}" for cell in cells))


def one_line_errors(run: Callable[..., None]) -> Callable[..., None]:
    """Turns what a user can act on into one line on standard error and its exit code."""

    @wraps(run)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            run(*args, **kwargs)
        except SeqloomError as error:
            if not speaks() and type(error) is SeqloomError:  # what the first process may not know
                print(f"error in process {os.environ['RANK']}: {error}", file=sys.stderr, flush=True)
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on where it stopped", 130)
        except BrokenPipeError:
            # the reader of our output has left (`| head`): nothing to tell, nobody to tell it to
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(storage_problem(error) or f"{where}{error.strerror or error}", 1)

    return wrapped


def _fail(message: str, code: int) -> None:
    say("error: " + " ".join(message.split()))
    raise SystemExit(code) from None


def _flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            rows += _flatten(item, f"{prefix}{key}.")
        elif isinstance(item, list) and item and all(isinstance(entry, Mapping) for entry in item):
            for number, entry in enumerate(item):
                rows += _flatten(entry, f"{prefix}{key}[{number}].")
        else:
            rows.append((f"{prefix}{key}", plain(item)))
    return rows


def plain(value: Any) -> str:
    """A value as people see it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "-"
    return "-" if value is None else str(value)
