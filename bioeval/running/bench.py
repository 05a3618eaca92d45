"""One task: everything that all models share is computed once and only when needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

import biodata
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint
from biodata.progress import say
from bioeval.backends import EmbedSettings, ScoreSettings, backend_of
from bioeval.baselines import BASELINES, baselines_for
from bioeval.cache import EmbeddingCache
from bioeval.leakage import Leakage, find_leakage
from bioeval.probes import PROBES
from bioeval.protocols import Embedder, HasTokens, HasTwin
from bioeval.results import Entry, Judged, scored
from bioeval.running.answers import Asker, Run, probe_name, test_items, train_part
from bioeval.running.beside import (
    pretrained,
    pretraining_leakage,
    pretraining_sentence,
    repeats_sentence,
)
from bioeval.running.contacts import separation_only, source_of, stated
from bioeval.running.items import check_targets, untrained_items
from bioeval.running.opened import Models
from bioeval.running.repeats import repeated
from bioeval.running.rivals import OneSide, has_majority, majority, mutation_scores
from bioeval.scores import score
from bioeval.stats import Resampling
from bioeval.tasks import Task

if TYPE_CHECKING:
    from bioeval.evaluate import EvalConfig

RULES_VERSION = 10  # of everything between embeddings and results; part of the key of a result
_STRANGE = 0.5  # share of unknown tokens above which a model was made for another alphabet
_LOOKED_AT = 200  # sequences whose tokens are looked at for that


@dataclass(frozen=True, slots=True)
class Kept:
    """A result of an earlier call."""

    result: dict[str, Any]
    table: None = None


class Bench:
    """Runs models on one task.

    Args:
        config: of the evaluation.
        task: loaded.
        models: shared by the tasks.
        tell: whether each result is said.

    Raises:
        ConfigError: a probe that does not fit the task.
        DataError: a task that nothing can be learned from or scored on.
    """

    def __init__(self, config: EvalConfig, task: Task, models: Models, *, tell: bool = True) -> None:
        self.config, self.task, self.models, self.tell = config, task, models, tell
        check_targets(task)
        probe, self.source = probe_name(config.probe, task), source_of(config.contacts, task)
        self.asker = Asker(
            task=task, probe=probe, cache=EmbeddingCache(config.cache), seed=config.seed,
            method=config.zero_shot,
        )  # fmt: skip
        self._runs: dict[str, Run] = {}

    def entry(self, name: str, done: Mapping[tuple[str, str], dict[str, Any]]) -> Entry | Kept:
        """The result of a model, from before if nothing changed."""
        model = self.opened(name)
        fitted = self.asker.probe or self.source
        key = fingerprint([model.key, self._task_key, fitted, *self.config.rules()])
        before = done.get((name, self.task.name))
        if before is not None and before.get("key") == key:
            return Kept(before)
        if before is not None and self.tell:
            why = "was made of other settings, rows or weights and is replaced; another --out keeps both"
            say(f"{self.task.name}: the result of {name} that is there {why}")
        self._check_alphabet(model)
        run = self._run(name, model)
        rivals = self._rivals(name, model) if self.config.baselines else {}
        judged = Judged(task=self.task, items=self.items, leakage=self.leakage, how=self._how)
        entry = scored(name, run, rivals, judged)
        entry.result.update(
            key=key, seed=self.config.seed, probe=dict(run.settings), cost=dict(run.cost),
            embedding=stated(self.source, _embedding(model, self.task)), data=dict(self.task.notes),
            versions={"seqloom": biodata.__version__, "rules": RULES_VERSION},
        )  # fmt: skip
        if strange := untrained_items(self.task, self.items):
            entry.result["data"]["test_items_of_untrained_classes"] = strange
            entry.result["sentence"] += f"; {strange} test items are of classes without train rows"
        self._add_repeats(entry.result, model)
        if pretrained(name):
            found = pretraining_leakage(name, run, judged, self.config)
            entry.result["leakage"]["pretraining"] = found
            entry.result["sentence"] += f"; {pretraining_sentence(found)}"
        if self.tell:
            say(f"{self.task.name}: {entry.result['sentence']}")
        return entry

    @cached_property
    def items(self) -> Any:
        """What is scored."""
        return test_items(self.task)

    @cached_property
    def leakage(self) -> Leakage:
        """The leakage of the task."""
        return find_leakage(self.task, identity=self.config.identity, coverage=self.config.coverage)

    @cached_property
    def _task_key(self) -> str:
        return self.task.fingerprint

    @property
    def _how(self) -> Resampling:
        return Resampling(resamples=self.config.resamples, seed=self.config.seed)

    def opened(self, name: str) -> Any:
        """Embedder or scorer of a name; nothing is computed.

        Raises:
            ConfigError: no such model, or a baseline that makes no sense for the task.
        """
        if name in BASELINES:
            return self._baseline(name)
        return self.models.scorer(name) if self.task.kind == "zero-shot" else self.models.embedder(name)

    def _baseline(self, name: str) -> Embedder:
        if self.task.kind == "zero-shot":
            raise ConfigError(f"baseline {name!r} has no likelihood, which task {self.task.name!r} asks for")
        if name not in baselines_for(self.task):
            able = ", ".join(baselines_for(self.task))
            raise ConfigError(
                f"baseline {name!r} makes no sense for task {self.task.name!r} "
                f"({self.task.kind}, {self.task.alphabet}); possible: {able}"
            )
        return BASELINES.load(name)(self.task)

    def _run(self, name: str, model: Any, *, rival: bool = False) -> Run:
        """Embeds, fits and predicts, once for each model."""
        probe = self._probe_of(model, rival=rival)
        key = f"{probe}:{model.key}"
        if key not in self._runs:
            cached = name not in BASELINES and not isinstance(model, OneSide)
            self._runs[key] = self._asked(model, probe=probe, cached=cached)
        return self._runs[key]

    def _asked(self, model: Any, *, probe: str, cached: bool) -> Run:
        if self.task.kind == "zero-shot":
            return self.asker.scored(model)
        if self.source:
            return self.asker.contacts(model, source=probe, cached=cached)
        if not probe:
            return self.asker.nearest(model, cached=cached)
        return self.asker.probed(model, probe=probe, cached=cached)

    def _probe_of(self, model: Any, *, rival: bool) -> str:
        """The task's probe; of baselines that cannot give what it reads, the usual one. Of contacts what they
        are read from: letters attend to nothing."""
        if self.source == "attention" and rival and not hasattr(model, "attention"):
            return "embeddings"
        if not self.asker.probe:
            return self.source
        reads = PROBES.load(self.asker.probe).reads
        able = reads == "vectors" or (
            hasattr(model, "fresh_model") if reads == "sequences" else isinstance(model, HasTokens)
        )
        if able or not rival:
            return self.asker.probe
        return probe_name("auto", self.task)

    def _rivals(self, name: str, model: Any) -> dict[str, Run]:
        """The baselines of the task, without the model itself, and its twin."""
        task = self.task
        rivals = {b: self._run(b, self._baseline(b), rival=True) for b in baselines_for(task) if b != name}
        rivals |= self._plain_rivals()
        twin = self._twin(name, model)
        if twin is not None:
            rivals[f"random-init:{name}"] = self._run("", twin, rival=True)
        return rivals

    def _plain_rivals(self) -> dict[str, Run]:
        task, found = self.task, {}
        if task.kind == "zero-shot":
            return {name: _constant_run(name, values) for name, values in mutation_scores(task).items()}
        if task.kind == "contacts":
            value, table = separation_only(task)
            return {"separation-only": _constant_run("separation-only", table, value)}
        if task.kind == "pairs":
            for name in ("first-only", "second-only"):
                side = OneSide(embedder=self._baseline("kmer"), name=name)
                found[name] = self._run(name, side, rival=True)
        if has_majority(task):
            train = train_part(task)
            validation = self._validation_y
            value = score(task.metric, validation, majority(train, len(validation)))
            found["majority"] = _constant_run("majority", majority(train, len(self.items.y)), value)
        return found

    @cached_property
    def _validation_y(self) -> np.ndarray:
        from bioeval.running.items import items_of

        return items_of(self.task, "validation").y

    def _twin(self, name: str, model: Any) -> Any:
        if name.startswith("random-init:"):
            return None
        if self.task.kind == "zero-shot":
            can = backend_of(name) in ("folder", "hub")
            return self.models.scorer(f"random-init:{name}") if can else None
        return model.twin(seed=self.config.seed) if isinstance(model, HasTwin) else None

    def _check_alphabet(self, model: Any) -> None:
        """Refuses a model to whose tokenizer the task's sequences are unknown.

        Raises:
            DataError: naming both and the share.
        """
        count = getattr(model, "counts", None)
        if count is None:
            return
        found = count(self.task.sequences("test")[:_LOOKED_AT])
        share = found.get("unknown", 0) / max(1, found.get("tokens", 1))
        if share > _STRANGE:
            raise DataError(
                f"{share:.0%} of the tokens of task {self.task.name!r} ({self.task.alphabet}) are unknown to "
                f"its tokenizer", where=model.name, hint="a model of another alphabet?",
            )  # fmt: skip

    def _add_repeats(self, result: dict[str, Any], model: Any) -> None:
        """Repeated splits of the model and its strongest baseline, where the test set is small."""
        frozen = self.asker.probe and PROBES.load(self.asker.probe).reads == "vectors"
        if not self.config.repeats or not frozen or len(self.items.y) >= self.config.small:
            return
        rival = result["strongest_baseline"]
        models = {result["model"]: model}
        if rival in BASELINES:
            models[rival] = self._baseline(rival)
        found = repeated(self.asker, models, repeats=self.config.repeats, baselines=BASELINES)
        result["repeated"] = found
        result["sentence"] += f"; {repeats_sentence(result['model'], found)}"


def _constant_run(name: str, predictions: np.ndarray, validation: float = math.nan) -> Run:
    return Run(
        name=name, key=name, validation=validation, settings={"probe": "none"}, predictions=predictions,
        cost={"parameters": 0, "probe_parameters": 0, "seconds": 0.0},
    )  # fmt: skip


def _embedding(model: Any, task: Task) -> dict[str, Any]:
    settings = getattr(model, "settings", None)
    if isinstance(settings, EmbedSettings):
        counts = getattr(model, "counts", lambda sequences: {})
        stated = {**settings.key(), "max_length": "consecutive windows, pooled together"}
        return {**stated, **counts(task.table.column("sequence").to_pylist())}
    if isinstance(settings, ScoreSettings):
        return settings.key()
    return dict(settings or {})
