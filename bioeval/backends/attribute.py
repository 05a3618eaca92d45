"""An embedder or scorer of one's own: `module:attribute`, an object or a class without arguments."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from biodata.errors import ConfigError
from bioeval.backends.settings import EmbedSettings
from bioeval.protocols import Embedder, Scorer


def open_attribute(model: str, settings: EmbedSettings) -> Embedder:
    """The embedder that `module:attribute` names; it decides its own layer and pooling.

    Raises:
        ConfigError: no such module or attribute, or it is no `Embedder`.
    """
    found = _found(model)
    if not isinstance(found, Embedder):
        raise ConfigError(f"model {model!r} is no Embedder: it needs name, key and embed(sequences)")
    return found


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
