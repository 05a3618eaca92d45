"""A contact task from rows to scores: reads attention or embeddings, fits on train, chooses on validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.schema import SPLITS
from bioeval.cache import EmbeddingCache
from bioeval.contacts.features import PairMixer, corrected, separation_prior, step_of
from bioeval.contacts.fit import PENALTIES, Read, fit_pairs
from bioeval.probes.choose import Search, choose
from bioeval.protocols import Embedder, Fitted, HasAttention, HasTokens, Inputs, Part
from bioeval.scores import LEAST_ROWS, score
from bioeval.scores.contacts import RANGES, pair_scores
from bioeval.tasks import Task
from bioeval.tasks.contact_rules import separation_of
from bioeval.tasks.contact_targets import structures_of

SOURCES = ("attention", "embeddings")
"""What contacts can be read from."""
_AT_ONCE = 64  # sequences embedded together


def source_of(asked: str, task: Task) -> str:
    """What the contacts of a task are read from; empty for other kinds.

    Args:
        asked: of `SOURCES`, or empty.
        task: of any kind.

    Raises:
        ConfigError: a contact task, and nothing was asked for.
    """
    if task.kind != "contacts":
        return ""
    if not asked:
        raise ConfigError(f"task {task.name!r} is of contacts: say what they are read from, "
                          "--contacts attention or --contacts embeddings")  # fmt: skip
    return asked


def stated(source: str, embedding: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says of its embedding, without what has no part in it.

    Args:
        source: of `SOURCES`, or empty for tasks of other kinds.
        embedding: what the model says of itself.

    >>> stated("attention", {"layer": "last", "pooling": "mean", "dtype": "float32"})
    {'dtype': 'float32', 'attention': 'all heads of all layers'}
    """
    unused = {"attention": ("layer", "pooling", "max_length"), "embeddings": ("pooling",)}.get(source, ())
    maps = {"attention": "all heads of all layers"} if source == "attention" else {}
    return {**{name: value for name, value in embedding.items() if name not in unused}, **maps}


def check_structures(task: Task) -> None:
    """Refuses a contact task that nothing can be learned from or scored on.

    Raises:
        DataError: naming task, split and what is missing.
    """
    low, high = RANGES.get(task.metric.partition("-")[0], (0, np.inf))
    for split, least in zip(SPLITS, (1, 1, LEAST_ROWS)):
        apart = [s.contacts[:, 1] - s.contacts[:, 0] for s in structures_of(task, split)]
        n = sum(bool(((found >= low) & (found < high)).any()) for found in apart)
        if n < least:
            what = f"{n} {split} sequences have a contact that {task.metric} counts"
            raise DataError(f"{what}, at least {least} are needed", where=f"task {task.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReader:
    """Reads the pairs of a task from one embedder.

    Attributes:
        task: rows and structures.
        embedder: what attends, or embeds positions.
        source: of `SOURCES`.
        cache: of embeddings; attention maps are too large to be kept. `None` for baselines.
        seed: of everything that is drawn.
    """

    task: Task
    embedder: Embedder
    source: str
    cache: EmbeddingCache | None
    seed: int

    def run(self) -> tuple[Fitted, np.ndarray]:
        """The predictor chosen on validation, and `pair_scores` of every test sequence.

        Raises:
            ConfigError: the embedder gives nothing that the source asks for.
            DataError: nothing to learn from, or arrays of another shape than the sequence.
        """
        task, source = self.task, self.source
        self._check_able()
        mixer = self._mixer() if source == "embeddings" else None
        weights = fit_pairs(
            self._reads("train", mixer), structures_of(task, "train"), source=source, seed=self.seed
        )
        grid = PENALTIES[source]
        tables = weights.tables(self._reads("validation", mixer), at=range(len(grid)))
        search = Search(
            probe=f"contacts-{source}", metric=task.metric, seed=self.seed, grid={"c": grid},
            notes={**weights.notes, "penalty": "l1" if source == "attention" else "l2",
                   "separation": separation_of(task.config)},
        )  # fmt: skip
        # Every penalty has read the validation sequences already: attention is not made once for each.
        fitted = choose(
            search, lambda setting: _Known(tables[grid.index(setting["c"])], weights.values.shape[1]),
            Part(y=task.values("validation")),
        )  # fmt: skip
        chosen = grid.index(fitted.settings["c"])
        return fitted, weights.tables(self._reads("test", mixer), at=[chosen])[0]

    def _check_able(self) -> None:
        name = self.embedder.name
        if self.source == "attention" and not isinstance(self.embedder, HasAttention):
            raise ConfigError(f"{name} gives no attention weights: take --contacts embeddings")
        if self.source == "embeddings" and not isinstance(self.embedder, HasTokens):
            raise ConfigError(f"{name} gives one vector a sequence, but contacts need vectors of positions: "
                              "it has no embed_tokens")  # fmt: skip

    def _mixer(self) -> PairMixer:
        total = sum(len(structure.known) for structure in structures_of(self.task, "train"))
        return PairMixer.of(self._rows(self.task.sequences("train")), total=total, seed=self.seed)

    def _reads(self, split: str, mixer: PairMixer | None) -> Iterator[Read]:
        sequences = self.task.sequences(split)
        maps = self._maps(sequences) if mixer is None else map(mixer.components, self._rows(sequences))
        for structure, found in zip(structures_of(self.task, split), maps):
            units = len(structure.known)
            if found.shape[-2 if mixer is not None else -1] != units:
                what = f"{found.shape[-2 if mixer is not None else -1]} positions of a sequence of {units}"
                raise DataError(what, where=self.embedder.name)
            yield Read(
                structure, partial(_attending, found) if mixer is None else partial(mixer.pairs, found)
            )

    def _maps(self, sequences: Sequence[str]) -> Iterator[np.ndarray]:
        assert isinstance(self.embedder, HasAttention)
        for sequence in sequences:
            maps = np.asarray(self.embedder.attention(sequence, width=self.task.width), np.float32)
            if maps.ndim != 3 or not len(maps) or not np.isfinite(maps).all():
                hint = "[maps, t, t] of finite numbers expected"
                raise DataError(f"attention of shape {list(maps.shape)}", where=self.embedder.name, hint=hint)
            yield corrected(maps)

    def _rows(self, sequences: Sequence[str]) -> Iterator[np.ndarray]:
        embedder, width = self.embedder, self.task.width
        assert isinstance(embedder, HasTokens)
        for start in range(0, len(sequences), _AT_ONCE):
            some = sequences[start : start + _AT_ONCE]
            if self.cache is None:
                yield from embedder.embed_tokens(some, width=width)
            else:
                yield from self.cache.embed_tokens(embedder, some, width=width)


def separation_only(task: Task) -> tuple[float, np.ndarray]:
    """The baseline that knows nothing but |i - j|: the share of contacts of train pairs as far apart.

    Returns:
        Its score on validation, and `pair_scores` of every test sequence.
    """
    train = [structure.pairs() for structure in structures_of(task, "train")]
    apart, y = np.concatenate([j - i for i, j, _ in train]), np.concatenate([y for _, _, y in train])
    prior = separation_prior(apart, y)
    tables = []
    for split in SPLITS[1:]:
        structures = structures_of(task, split)
        pairs = [(s.length, *s.pairs()) for s in structures]
        tables.append(np.stack([
            pair_scores(j - i, y, prior[np.minimum(step_of(j - i), len(prior) - 1)], length=length)
            for length, i, j, y in pairs
        ]))  # fmt: skip
    return score(task.metric, task.values("validation"), tables[0]), tables[1]


@dataclass(frozen=True, slots=True)
class _Known:
    """Stands for a regression whose validation scores are there already.

    Attributes:
        table: these.
        parameters: numbers fitted.
    """

    table: np.ndarray
    parameters: int

    def __call__(self, inputs: Inputs) -> np.ndarray:
        return self.table


def _attending(maps: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(maps[:, i, j].T)
