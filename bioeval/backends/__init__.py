"""What turns the name of a model into an `Embedder` or a `Scorer`. To add one: one file, one line here.

A model is named as a run folder or exported folder (`RUN`, `RUN/model`), a Hugging Face id or folder,
`random-init:RUN`, `module:attribute` of an `Embedder` (or `Scorer`), or a file of embeddings that
`seqloom embed` wrote. Baseline names are `bioeval.baselines.BASELINES`.
"""

from __future__ import annotations

from biodata.catalog import Catalog
from bioeval.backends.names import backend_of
from bioeval.backends.settings import EmbedSettings, ScoreSettings
from bioeval.protocols import Embedder, Scorer

BACKENDS = Catalog(
    "backend",
    {
        "attribute": "bioeval.backends.attribute:open_attribute",
        "embeddings": "bioeval.backends.embeddings:open_embeddings",
        "folder": "bioeval.backends.folder:open_folder",
        "hub": "bioeval.backends.folder:open_folder",
        "random-init": "bioeval.backends.folder:open_folder",
    },
)

__all__ = ["BACKENDS", "EmbedSettings", "ScoreSettings", "backend_of", "open_model", "open_scorer"]


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


def open_scorer(model: str, settings: ScoreSettings | None = None) -> Scorer:
    """The scorer of a model.

    Args:
        model: see the module.
        settings: kind of score, precision, device, batch size, seed.

    Raises:
        ConfigError: there is no such model, it says nothing of sequences, or a setting does not fit it.
        DataError: the folder is damaged.
        MissingExtraError: torch or transformers is not installed.
    """
    from bioeval.backends.likelihood import open_likelihood

    return open_likelihood(model, settings or ScoreSettings())
