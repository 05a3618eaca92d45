"""Read-only tables of names to `"module:attribute"`: what exists can be listed without importing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from biodata.errors import ConfigError


class Catalog(Mapping[str, str]):
    """A sorted, lazy table of the things of one kind.

    Args:
        kind: what the entries are, for messages (for example `"tokenizer"`).
        entries: name to `"module:attribute"`.
        aliases: other spellings to names of `entries`.

    >>> shapes = Catalog("shape", {"ordered": "collections:OrderedDict"})
    >>> shapes.load("ordered").__name__
    'OrderedDict'
    >>> shapes.load("orderd")
    Traceback (most recent call last):
    biodata.errors.ConfigError: unknown shape 'orderd', did you mean 'ordered'? (known: ordered)
    """

    def __init__(
        self, kind: str, entries: Mapping[str, str], *, aliases: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self._entries = dict(sorted(entries.items()))
        self.aliases = dict(aliases or {})

    def __getitem__(self, name: str) -> str:
        return self._entries[self.resolve(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self.aliases

    def resolve(self, name: str) -> str:
        """The entry that a name or alias stands for.

        Raises:
            ConfigError: an unknown name, with the nearest known one.
        """
        name = self.aliases.get(name, name)
        if name not in self._entries:
            known = [*self._entries, *self.aliases]
            near = get_close_matches(name, known, n=1)
            guess = f", did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown {self.kind} {name!r}{guess} (known: {', '.join(self._entries)})")
        return name

    def load(self, name: str) -> Any:
        """Imports and returns the entry."""
        module, attribute = self[name].split(":")
        return getattr(import_module(module), attribute)
