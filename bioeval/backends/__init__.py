"""What turns the name of a model into an `Embedder`. To add one: one file, one line here.

A model is named as a run folder or exported folder (`RUN`, `RUN/model`), a Hugging Face id or folder,
`random-init:RUN`, or `module:attribute` of an `Embedder`. Baseline names are `bioeval.baselines.BASELINES`.
"""

from __future__ import annotations

from pathlib import Path

from biodata.catalog import Catalog
from bioeval.backends.settings import EmbedSettings
from bioeval.protocols import Embedder

BACKENDS = Catalog(
    "backend",
    {
        "attribute": "bioeval.backends.attribute:open_attribute",
        "folder": "bioeval.backends.folder:open_folder",
        "hub": "bioeval.backends.folder:open_hub",
        "random-init": "bioeval.backends.folder:open_random_init",
    },
)

__all__ = ["BACKENDS", "EmbedSettings", "backend_of", "open_model"]


def backend_of(model: str) -> str:
    """The backend that a model's name asks for.

    >>> [backend_of(m) for m in ("random-init:runs/a", "mypackage.models:mine", "someone/dnabert")]
    ['random-init', 'attribute', 'hub']
    """
    if model.startswith("random-init:"):
        return "random-init"
    if Path(model).exists():
        return "folder"
    if ":" in model and "/" not in model and "\\" not in model:
        return "attribute"
    is_id = model.count("/") == 1 and not model.startswith((".", "/", "~")) and not model.endswith("/")
    return "hub" if is_id else "folder"


def open_model(model: str, settings: EmbedSettings | None = None) -> Embedder:
    """The embedder of a model.

    Args:
        model: see the module.
        settings: layer, pooling, precision, device, batch size, seed.

    Raises:
        ConfigError: there is no such model, or a setting does not fit it.
        DataError: the folder is damaged.
        MissingExtraError: torch or transformers is not installed.
    """
    return BACKENDS.load(backend_of(model))(model, settings or EmbedSettings())
