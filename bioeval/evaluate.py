"""Probes models on tasks, with intervals, baselines, the random-init twin, and the leakage line.

The rules: hyper-parameters are chosen on validation, test is scored once; every score has a bootstrap
interval; the verdict is a paired comparison with the baseline that validation (not test) calls the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import biodata
from biodata.errors import ConfigError
from biodata.files import fingerprint
from biodata.progress import progress, say
from biodata.schema import SPLITS
from bioeval.backends import EmbedSettings, open_model
from bioeval.baselines import BASELINES, baselines_for
from bioeval.cache import EmbeddingCache, checked_vectors
from bioeval.leakage import Leakage, find_leakage
from bioeval.probes import PROBES
from bioeval.protocols import Embedder, HasTwin, Part
from bioeval.results import Run, finished, save, scored
from bioeval.stats import Resampling
from bioeval.tasks import Task, load_task

RULES_VERSION = 1  # of everything between embeddings and results; part of the key of a result


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """What to evaluate and how."""

    models: tuple[str, ...] = field(
        metadata={"help": "run folders, exported or Hugging Face folders or ids, random-init:RUN, "
                          "module:attribute, or baselines (codon-freq, kmer, one-hot)"}
    )  # fmt: skip
    tasks: tuple[str, ...] = field(metadata={"help": "task names or paths of task .yaml files"})
    out: Path = field(metadata={"help": "folder for results.json and predictions/"})
    data: Path | None = field(
        default=None,
        metadata={"help": "takes the place of the table or dataset that the task names (one task)"},
    )
    layer: str = field(
        default="last", metadata={"help": "hidden layer: last, or 0 (embeddings) to L, or negative"}
    )
    pooling: Literal["mean", "max", "last", "cls"] = field(
        default="mean", metadata={"help": "how token vectors become one: mean, max, last or cls"}
    )
    probe: str = field(default="ridge", metadata={"help": "probe on the frozen embeddings: ridge"})
    seed: int = field(default=0, metadata={"help": "seed of the bootstrap and of the random-init twin"})
    resamples: int = field(default=2000, metadata={"help": "bootstrap resamples, at least 100"})
    identity: float = field(
        default=0.9, metadata={"help": "a test row this like a train row leaks, above 0, at most 1"}
    )
    coverage: float = field(
        default=0.8, metadata={"help": "length of the shorter over the longer for that, above 0, at most 1"}
    )
    baselines: bool = field(
        default=True, metadata={"help": "run the baselines and the random-init twin beside"}
    )
    batch_size: int = field(default=16, metadata={"help": "sequences (windows) in a batch, at least 1"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "precision of the model's weights"}
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run a model's own modeling file (not needed for seqloom's)"}
    )
    cache: Path | None = field(
        default=None, metadata={"help": "folder of the embedding cache (default: SEQLOOM_CACHE/embeddings)"}
    )

    def __post_init__(self) -> None:
        for name in ("models", "tasks"):
            if not getattr(self, name):
                raise ConfigError(f"no {name} given, at least one is needed")
        if self.data is not None and len(self.tasks) != 1:
            raise ConfigError(f"data = {str(self.data)!r} goes with one task, {len(self.tasks)} given")
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} = {getattr(self, name)}, allowed: above 0, at most 1")
        PROBES.resolve(self.probe)
        Resampling(resamples=self.resamples)
        self.embed_settings()

    def embed_settings(self) -> EmbedSettings:
        """The part that concerns embedding."""
        return EmbedSettings(
            layer=self.layer, pooling=self.pooling, dtype=self.dtype, batch_size=self.batch_size,
            device=self.device, seed=self.seed, trust_remote_code=self.trust_remote_code,
        )  # fmt: skip

    def rules(self) -> list[Any]:
        """What a result depends on beside embedding and task."""
        return [RULES_VERSION, self.probe, self.seed, self.resamples, self.identity, self.coverage,
                self.baselines]  # fmt: skip


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Evaluates every model on every task; pairs that are finished and unchanged are taken as they are.

    Args:
        config: what and how.

    Returns:
        `{"results": [...], "path": ...}` with one result for each task and model, in the order given; the
        file `out/results.json` also keeps results of earlier calls.

    Raises:
        ConfigError: an unknown model or task, or a setting that does not fit.
        DataError: data or model that cannot be used.
    """
    embedders = {name: _named_embedder(name, config) for name in dict.fromkeys(config.models)}
    tasks = [load_task(name, data=config.data) for name in dict.fromkeys(config.tasks)]
    done = finished(config.out)
    results = []
    with progress("evaluating", len(tasks) * len(embedders)) as advance:
        for task in tasks:
            bench = _Bench(config, task)
            for name, embedder in embedders.items():
                entry = bench.entry(name, embedder or _baseline(name, task), done)
                save(config.out, entry.result, entry.table)
                results.append(entry.result)
                advance(1)
    return {"results": results, "path": str(Path(config.out) / "results.json")}


def _named_embedder(name: str, config: EvalConfig) -> Embedder | None:
    """An embedder, or `None` for a baseline, which is made for each task."""
    if name in BASELINES:
        return None
    near = get_close_matches(name, list(BASELINES), n=1)
    if near and not Path(name).exists():
        raise ConfigError(f"unknown model {name!r}, did you mean the baseline {near[0]!r}?")
    return open_model(name, config.embed_settings())


def _baseline(name: str, task: Task) -> Embedder:
    if name not in baselines_for(task):
        raise ConfigError(f"baseline {name!r} makes no sense for task {task.name!r} ({task.alphabet})")
    return BASELINES.load(name)(task)


class _Bench:
    """One task: everything that all models share is computed once and only when needed."""

    def __init__(self, config: EvalConfig, task: Task) -> None:
        self.config, self.task = config, task
        self.cache = EmbeddingCache(config.cache)
        self._runs: dict[str, Run] = {}
        self._task_key = task.fingerprint
        self._leakage: Leakage | None = None

    def entry(self, name: str, embedder: Embedder, done: Mapping[tuple[str, str], dict[str, Any]]) -> Any:
        """The result of a model, from before if nothing changed."""
        key = fingerprint([embedder.key, self._task_key, *self.config.rules()])
        before = done.get((name, self.task.name))
        if before is not None and before.get("key") == key:
            return _Kept(before)
        run = self.run(embedder)
        rivals = self.rivals(name, embedder) if self.config.baselines else {}
        how = Resampling(resamples=self.config.resamples, seed=self.config.seed)
        entry = scored(name, run, rivals, self.task, self.leakage(), how)
        entry.result.update(
            key=key, seed=self.config.seed, probe=dict(run.settings),
            embedding=_embedding(embedder, self.task),
            data=dict(self.task.notes), versions={"seqloom": biodata.__version__, "rules": RULES_VERSION},
        )  # fmt: skip
        say(f"{self.task.name}: {entry.result['sentence']}")
        return entry

    def rivals(self, name: str, embedder: Embedder) -> dict[str, Run]:
        """The baselines of the task, without the model itself, and its twin."""
        rivals = {b: self.run(_baseline(b, self.task)) for b in baselines_for(self.task) if b != name}
        if isinstance(embedder, HasTwin) and not name.startswith("random-init:"):
            rivals[f"random-init:{name}"] = self.run(embedder.twin(seed=self.config.seed))
        return rivals

    def run(self, embedder: Embedder) -> Run:
        """Embeds, fits and predicts, once for each embedder."""
        if embedder.key not in self._runs:
            self._runs[embedder.key] = self._run(embedder)
        return self._runs[embedder.key]

    def leakage(self) -> Leakage:
        """The leakage of the task."""
        if self._leakage is None:
            identity, coverage = self.config.identity, self.config.coverage
            self._leakage = find_leakage(self.task, identity=identity, coverage=coverage)
        return self._leakage

    def _run(self, embedder: Embedder) -> Run:
        parts = {s: Part(x=self._features(embedder, s), y=self.task.values(s)) for s in SPLITS}
        probe = PROBES.load(self.config.probe)()
        fitted = probe.fit(parts["train"], parts["validation"], metric=self.task.metric)
        return Run(
            name=embedder.name, key=embedder.key, validation=fitted.validation,
            settings=dict(fitted.settings),
            predictions=fitted.predict(parts["test"]),
        )  # fmt: skip

    def _features(self, embedder: Embedder, split: str) -> Any:
        sequences = self.task.sequences(split)
        if embedder.name in BASELINES:  # cheaper to make than to read
            return checked_vectors(embedder, sequences)
        return self.cache.embed(embedder, sequences)


def _embedding(embedder: Embedder, task: Task) -> dict[str, Any]:
    settings = getattr(embedder, "settings", None)
    if isinstance(settings, EmbedSettings):
        counts = getattr(embedder, "counts", lambda sequences: {})
        stated = {**settings.key(), "max_length": "consecutive windows, pooled together"}
        return {**stated, **counts(task.table.column("sequence").to_pylist())}
    return dict(settings or {})


@dataclass(frozen=True, slots=True)
class _Kept:
    result: dict[str, Any]
    table: None = None
