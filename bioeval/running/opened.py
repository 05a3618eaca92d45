"""The models of an evaluation, each opened once however many tasks there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bioeval.backends import open_model, open_scorer
from bioeval.protocols import Embedder, Scorer

if TYPE_CHECKING:
    from bioeval.evaluate import EvalConfig


class Models:
    """Embedders and scorers by name, each opened once: its key is a hash of all its weights.

    Args:
        config: of the evaluation.
    """

    def __init__(self, config: EvalConfig) -> None:
        self.config = config
        self._embedders: dict[str, Embedder] = {}
        self._scorers: dict[str, Scorer] = {}

    def embedder(self, name: str) -> Embedder:
        """The embedder of a name that is no baseline."""
        if name not in self._embedders:
            self._embedders[name] = open_model(name, self.config.embed_settings())
        return self._embedders[name]

    def scorer(self, name: str) -> Scorer:
        """The scorer of a name."""
        if name not in self._scorers:
            self._scorers[name] = open_scorer(name, self.config.score_settings())
        return self._scorers[name]
