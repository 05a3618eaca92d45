"""Errors that a user sees as one line, each with the exit code of the command line.

Exit codes: 0 ok, 1 failed, 2 usage or config, 3 bad data, 4 missing extra, 130 interrupted.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_LONGEST = 1000  # characters of a message; what is cut out is its middle


class SeqloomError(ValueError):
    """Anything that went wrong for a reason a user can act on: one line, whatever is quoted in it.

    >>> print(SeqloomError("found 'A\\n\\x1b[31m'"))
    found 'A\\n\\x1b[31m'
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        if not message.isprintable():
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST - 300]} ... {message[-295:]}"
        super().__init__(message)


class ConfigError(SeqloomError):
    """A wrong option, configuration key or value."""

    exit_code = 2


class DataError(SeqloomError):
    """Input that cannot be read as what it claims to be.

    Args:
        what: what is wrong, quoting what was found.
        where: file, optionally with `:line` or the record id.
        hint: what is allowed or what to do.

    >>> print(DataError("'>' expected, found 'A'", where="x.fa:1", hint="is this a FASTA file?"))
    x.fa:1: '>' expected, found 'A' (is this a FASTA file?)
    """

    exit_code = 3

    def __init__(self, what: str, *, where: object = None, hint: str = "") -> None:
        prefix = f"{where}: " if where is not None else ""
        suffix = f" ({hint})" if hint else ""
        super().__init__(f"{prefix}{what}{suffix}")


class FetchError(SeqloomError):
    """A file of an archive cannot be had: the network, the server, or a checksum that stays wrong."""


class MissingExtraError(SeqloomError):
    """An optional dependency is not installed."""

    exit_code = 4


class InterruptedRunError(SeqloomError):
    """Stopped by the user; what was done so far is kept and can be resumed."""

    exit_code = 130


def require(module: str, *, extra: str) -> ModuleType:
    """Imports an optional dependency or says exactly how to get it.

    Raises:
        MissingExtraError: naming the pip command.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        message = f"this needs {module!r}, which is not installed: pip install 'seqloom[{extra}]'"
        raise MissingExtraError(message) from error
