"""An embedder or scorer of one's own: `module:attribute`, an object, a class without arguments, or, of
embedders, a function of sequences.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from biodata.errors import ConfigError
from biodata.progress import progress
from bioeval.backends.settings import EmbedSettings
from bioeval.cache import checked_vectors
from bioeval.protocols import Embedder, Scorer

_ROWS = 256  # that a function gets at once


def open_attribute(model: str, settings: EmbedSettings) -> Embedder:
    """The embedder that `module:attribute` names; it decides its own layer and pooling.

    Raises:
        ConfigError: no such module or attribute, or it is no `Embedder` and no function.
    """
    found = _found(model)
    if isinstance(found, Embedder):
        return found
    if callable(found):
        return FunctionEmbedder(model, found)
    needs = "it needs name, key and embed(sequences), or to be a function of sequences"
    raise ConfigError(f"model {model!r} is no Embedder: {needs}")


class FunctionEmbedder:
    """A function as an embedder. Nobody can say what a function depends on, so each process asks it anew and
    nothing is kept on disk.

    Args:
        name: for people.
        function: of a list of sequences, `[n, d]` numbers in their order.
    """

    cached = False

    def __init__(self, name: str, function: Callable[[list[str]], Any]) -> None:
        self.name, self.key = name, uuid.uuid4().hex
        self._asked: Any = SimpleNamespace(name=name, key=self.key, embed=function)
        self._made: dict[str, np.ndarray] = {}

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`; each distinct sequence is asked for once.

        Raises:
            DataError: the function returns another shape, or values that are no finite numbers.
        """
        missing = [s for s in dict.fromkeys(sequences) if s not in self._made]
        with progress(f"embedding with {self.name}", len(missing)) as advance:
            for start in range(0, len(missing), _ROWS):
                part = missing[start : start + _ROWS]
                self._made.update(zip(part, checked_vectors(self._asked, part)))
                advance(len(part))
        return np.stack([self._made[s] for s in sequences])


def open_attribute_scorer(model: str) -> Scorer:
    """The scorer that `module:attribute` names; it decides its own settings.

    Raises:
        ConfigError: no such module or attribute, or it is no `Scorer`.
    """
    found = _found(model)
    if not isinstance(found, Scorer):
        raise ConfigError(f"model {model!r} is no Scorer: it needs name, key, kind and score(sequences)")
    return found


def _found(model: str) -> Any:
    module_name, _, path = model.partition(":")
    try:
        found = import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
    except (ModuleNotFoundError, AttributeError) as error:
        known = "a folder, a Hugging Face id, random-init:RUN or module:attribute"
        raise ConfigError(f"model {model!r}: {error} ({known} expected)") from error
    return found() if inspect.isclass(found) else found
