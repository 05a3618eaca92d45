"""One model's predictions of the test items of a task, whatever its kind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError, SeqloomError
from biodata.schema import SPLITS
from bioeval.cache import EmbeddingCache
from bioeval.probes import PROBES
from bioeval.protocols import Embedder, Part, Scorer
from bioeval.running.features import Reader
from bioeval.running.items import Items, items_of, target_of
from bioeval.running.untrained import clustered, retrieved
from bioeval.tasks import Task

USUAL = {"number": "ridge", "class": "logistic", "labels": "logistic"}
"""The probe of each target where none is named, and of baselines that cannot give what another one reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a model predicts of the test items.

    Attributes:
        name: of the model.
        key: of everything that its features or scores depend on.
        validation: score of the chosen setting on validation, NaN where nothing is chosen.
        settings: what was chosen and how.
        predictions: float64 `[n]` or `[n, k]`, for each test item.
        cost: parameters of the model and of the probe, and seconds (of this run: what was cached costs none).
    """

    name: str
    key: str
    validation: float
    settings: Mapping[str, Any]
    predictions: np.ndarray
    cost: Mapping[str, float | int | None] = field(default_factory=dict)


def test_items(task: Task) -> Items:
    """The items that are scored: of retrieval only queries of whose class the gallery has a row."""
    items = items_of(task, "test")
    if task.kind != "retrieval":
        return items
    if "train" in task.splits():
        known = np.isin(items.y, task.values("train"))
    else:
        known = np.bincount(items.y)[items.y] > 1
    return items.kept(known)


def probe_name(asked: str, task: Task) -> str:
    """The probe of a task.

    Args:
        asked: a name of `PROBES`, or `auto`.
        task: its kind and targets decide.

    Raises:
        ConfigError: a probe that cannot learn the target, or any where nothing is fitted.
    """
    target = target_of(task)
    if task.kind == "contacts":
        if asked != "auto":
            raise ConfigError(
                f"probe = {asked!r} does nothing for task {task.name!r}: contacts have their own"
            )
        return ""
    if task.kind in ("zero-shot", "retrieval", "clustering"):
        if asked != "auto":
            raise ConfigError(f"probe = {asked!r} does nothing for task {task.name!r}: {task.kind} fits none")
        return ""
    if asked == "auto":
        return USUAL[target]
    name = PROBES.resolve(asked)
    if target not in PROBES.load(name).targets:
        able = [other for other in PROBES if target in PROBES.load(other).targets]
        raise ConfigError(
            f"probe {name} cannot learn a target of kind {target!r} (task {task.name!r}), "
            f"these can: {', '.join(able)}"
        )
    if task.kind == "token" and not _sees_positions(name):
        able = [other for other in PROBES if target in PROBES.load(other).targets and _sees_positions(other)]
        raise ConfigError(
            f"probe {name} makes one vector of a sequence, but task {task.name!r} labels single positions, "
            f"these can: {', '.join(able)}"
        )
    return name


def _sees_positions(name: str) -> bool:
    """Whether a probe can predict single positions: of vectors each may be one."""
    probe = PROBES.load(name)
    return probe.reads == "vectors" or probe.positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Gets the predictions of a task from embedders and scorers.

    Attributes:
        task: with train, validation and test rows as its kind needs them.
        probe: name, empty where the kind fits none.
        cache: of embeddings and scores.
        seed: of everything that is drawn.
        method: of zero-shot scores against wild types.
    """

    task: Task
    probe: str
    cache: EmbeddingCache
    seed: int
    method: str = "auto"

    def probed(self, embedder: Embedder, *, probe: str = "", cached: bool = True) -> Run:
        """A probe fitted on train, chosen on validation, asked for test.

        Args:
            embedder: a model, its twin or a baseline.
            probe: takes the place of the task's.
            cached: whether its vectors are kept; baselines are faster than reading.
        """
        name, task = probe or self.probe, self.task
        made = PROBES.load(name)()
        cache = self.cache if cached else None
        reader = Reader(task=task, embedder=embedder, reads=made.reads, cache=cache, seed=self.seed)
        with _timed() as seconds, _named(task, embedder.name):
            if made.reads == "sequences":
                made = made.of(embedder, width=task.width)
            parts = {split: reader.part(split) for split in SPLITS[:2]}
            fitted = made.fit(parts["train"], parts["validation"], metric=task.metric, seed=self.seed)
            predictions = np.concatenate([fitted.predict(some) for some in reader.inputs("test")])
        return Run(
            name=embedder.name, key=embedder.key, validation=fitted.validation, predictions=predictions,
            settings=dict(fitted.settings), cost=_cost(embedder, fitted.cost, seconds[0]),
        )  # fmt: skip

    def nearest(self, embedder: Embedder, *, cached: bool = True) -> Run:
        """Retrieval and clustering: nothing is fitted."""
        task = self.task
        cache = self.cache if cached else None
        reader = Reader(task=task, embedder=embedder, reads="vectors", cache=cache, seed=self.seed)
        with _timed() as seconds, _named(task, embedder.name):
            test, y = next(reader.inputs("test")).x, task.values("test")
            if task.kind == "clustering":
                k = len(np.unique(y))
                found, settings = clustered(test, k=k, seed=self.seed), {"method": "k-means", "k": k}
            else:
                own = "train" not in task.splits()
                gallery = test if own else next(reader.inputs("train")).x
                of = y if own else task.values("train")
                found = retrieved(test, y, gallery, of, own=own)
                found = found[np.isfinite(found).all(1)]
                settings = {"method": "cosine", "gallery": "the other test rows" if own else "train"}
        return Run(
            name=embedder.name, key=embedder.key, validation=float("nan"), predictions=found,
            settings=settings, cost=_cost(embedder, 0, seconds[0]),
        )  # fmt: skip

    def contacts(self, embedder: Embedder, *, source: str, cached: bool = True) -> Run:
        """Contacts read from attention or embeddings, fitted on train, chosen on validation, asked for test.

        Args:
            embedder: a model, its twin or a baseline.
            source: of `bioeval.running.contacts.SOURCES`.
            cached: whether its vectors are kept.
        """
        from bioeval.running.contacts import ContactReader

        task = self.task
        reader = ContactReader(
            task=task, embedder=embedder, source=source, cache=self.cache if cached else None, seed=self.seed
        )
        with _timed() as seconds, _named(task, embedder.name):
            fitted, found = reader.run()
        return Run(
            name=embedder.name, key=embedder.key, validation=fitted.validation, predictions=found,
            settings=dict(fitted.settings), cost=_cost(embedder, fitted.cost, seconds[0]),
        )  # fmt: skip

    def scored(self, scorer: Scorer) -> Run:
        """Zero-shot: how natural the model finds the test sequences, or mutants beside wild types."""
        from bioeval.mutants.zero_shot import zero_shot_scores

        task = self.task
        with _timed() as seconds, _named(task, scorer.name):
            found = zero_shot_scores(
                scorer, task.sequences("test"), task.seconds("test"), method=self.method, cache=self.cache
            )
        return Run(
            name=scorer.name, key=scorer.key, validation=float("nan"), predictions=found,
            settings={"score": scorer.kind, "method": self.method},
            cost=_cost(scorer, 0, seconds[0]),
        )  # fmt: skip


def train_part(task: Task) -> Part:
    """The targets of train alone, for baselines that read nothing else."""
    return Part(y=items_of(task, "train").y, classes=0 if task.kind == "multi-label" else len(task.classes))


def _cost(model: Embedder | Scorer, probe: int, seconds: float) -> dict[str, float | int | None]:
    own = getattr(model, "parameters", None)
    known = own if isinstance(own, int) else None
    return {"parameters": known, "probe_parameters": probe, "seconds": seconds}


@contextmanager
def _timed() -> Iterator[list[float]]:
    found = [0.0]
    start = time.monotonic()
    yield found
    found[0] = round(time.monotonic() - start, 3)


@contextmanager
def _named(task: Task, model: str) -> Iterator[None]:
    """Errors of a probe or an embedder say of which task and model."""
    try:
        yield
    except (DataError, ConfigError) as error:
        if task.name in str(error):
            raise
        raise _same(error, f"task {task.name}, {model}: {error}") from error


def _same(error: SeqloomError, text: str) -> SeqloomError:
    return ConfigError(text) if isinstance(error, ConfigError) else DataError(text)
