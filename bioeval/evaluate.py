"""Probes models on tasks, with intervals, baselines, the random-init twin, and the leakage line.

The rules: hyper-parameters are chosen on validation, test is scored once; every score has a bootstrap
interval; the verdict is a paired comparison with the baseline that validation (not test) calls the best.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from biodata.dataset import open_dataset
from biodata.errors import ConfigError
from biodata.files import atomic_path
from biodata.progress import progress
from bioeval.backends import EmbedSettings, ScoreSettings, backend_of
from bioeval.baselines import BASELINES
from bioeval.folders import check_out
from bioeval.probes import PROBES
from bioeval.results import finished, save
from bioeval.running.bench import RULES_VERSION, Bench, Models
from bioeval.running.beside import pretrained
from bioeval.running.contacts import SOURCES
from bioeval.running.lock import WORK, held
from bioeval.stats import Resampling
from bioeval.stats.repeated import LEAST_REPEATS
from bioeval.tasks import Task, load_task


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
        default="last",
        metadata={"help": "hidden layer: last, 0 (embeddings) to L, negative, or all: one behind the other"},
    )
    pooling: Literal["mean", "max", "last", "cls"] = field(
        default="mean", metadata={"help": "how token vectors become one: mean, max, last or cls"}
    )
    probe: str = field(
        default="auto",
        metadata={"help": f"{', '.join(PROBES)}; auto: ridge for numbers, logistic for classes"},
    )
    zero_shot: str = field(
        default="auto",
        metadata={"help": "mutants: auto, masked-marginals, wt-marginals or difference (zero-shot tasks)"},
    )
    contacts: str = field(
        default="",
        metadata={
            "help": "contact tasks: what contacts are read from, attention or embeddings; must be said"
        },
    )
    seed: int = field(default=0, metadata={"help": "of the bootstrap, probes and the random-init twin"})
    repeats: int = field(
        default=10,
        metadata={"help": "repeated splits beside the given one where the test set is small; 0 for none"},
    )
    small: int = field(default=100, metadata={"help": "test items below which splits are repeated"})
    resamples: int = field(default=2000, metadata={"help": "bootstrap resamples, at least 100"})
    identity: float = field(
        default=0.9, metadata={"help": "a test row this like a train row leaks, above 0, at most 1"}
    )
    coverage: float = field(
        default=0.8, metadata={"help": "length of the shorter over the longer for that, above 0, at most 1"}
    )
    pretraining: Path | None = field(
        default=None,
        metadata={
            "help": "dataset the models were trained on (a run folder says it itself): test rows near it"
        },
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
        if self.probe != "auto":
            PROBES.resolve(self.probe)
        if self.repeats and self.repeats < LEAST_REPEATS:
            raise ConfigError(f"repeats = {self.repeats}, allowed: 0 or at least {LEAST_REPEATS}")
        _check_method(self.zero_shot)
        if self.contacts not in ("", *SOURCES):
            raise ConfigError(f"contacts = {self.contacts!r}, allowed: {', '.join(SOURCES)}")
        Resampling(resamples=self.resamples)
        self.embed_settings()

    def embed_settings(self) -> EmbedSettings:
        """The part that concerns embedding."""
        return EmbedSettings(
            layer=self.layer, pooling=self.pooling, dtype=self.dtype, batch_size=self.batch_size,
            device=self.device, seed=self.seed, trust_remote_code=self.trust_remote_code,
        )  # fmt: skip

    def score_settings(self) -> ScoreSettings:
        """The part that concerns scores of whole sequences (zero-shot tasks)."""
        return ScoreSettings(
            dtype=self.dtype, batch_size=self.batch_size, device=self.device, seed=self.seed,
            trust_remote_code=self.trust_remote_code,
        )  # fmt: skip

    def rules(self) -> list[Any]:
        """What a result depends on beside embedding, probe and task."""
        return [RULES_VERSION, self.zero_shot, self.seed, self.resamples, self.identity, self.coverage,
                self.baselines, self.repeats, self.small, str(self.pretraining or "")]  # fmt: skip


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Evaluates every model on every task; pairs that are finished and unchanged are taken as they are.

    Args:
        config: what and how.

    Returns:
        `{"results": [...], "path": ...}` with one result for each task and model, in the order given; the
        file `out/results.json` also keeps results of earlier calls. Each is saved as soon as it is there.

    Raises:
        ConfigError: an unknown model or task, a setting that does not fit, or a folder of other files.
        DataError: data or model that cannot be used.
        SeqloomError: another evaluation is running in the folder.
    """
    check_out(config.out, command="eval run", key="results", parts=("predictions", "left_out", WORK))
    models, names = list(dict.fromkeys(config.models)), dict.fromkeys(config.tasks)
    for name in models:
        _check_name(name)
    opened = Models(config)
    benches = [Bench(config, load_task(name, data=config.data), opened) for name in names]
    _check_use(config, [bench.task for bench in benches])
    for bench in benches:  # what cannot be is told before anything is computed
        for name in models:
            bench.opened(name)
    with held(Path(config.out)):
        results = _results(config, benches, models)
    return {"results": results, "path": str(Path(config.out) / "results.json")}


def _results(config: EvalConfig, benches: list[Bench], models: list[str]) -> list[dict[str, Any]]:
    done, results = finished(config.out), []
    with progress("evaluating", len(benches) * len(models)) as advance:
        for bench in benches:
            _list_dropped(config.out, bench.task)
            for name in models:
                entry = bench.entry(name, done)
                save(config.out, entry.result, entry.table)
                results.append(entry.result)
                advance(1)
    return results


def _check_name(name: str) -> None:
    near = get_close_matches(name, list(BASELINES), n=1)
    if name not in BASELINES and near and not Path(name).exists():
        raise ConfigError(f"unknown model {name!r}, did you mean the baseline {near[0]!r}?")


def _check_method(method: str) -> None:
    from bioeval.mutants.zero_shot import METHODS

    if method not in METHODS:
        raise ConfigError(f"zero_shot = {method!r}, allowed: {', '.join(METHODS)}")


def _check_use(config: EvalConfig, tasks: list[Task]) -> None:
    """Refuses a setting that no task has a use for."""
    if config.pretraining is not None:
        if not any(pretrained(name) for name in config.models):
            raise ConfigError(
                f"pretraining = {str(config.pretraining)!r} does nothing: no model was pretrained"
            )
        open_dataset(config.pretraining)
    if config.zero_shot != "auto" and not any(task.kind == "zero-shot" for task in tasks):
        raise ConfigError(f"zero_shot = {config.zero_shot!r} does nothing: no task is zero-shot")
    if config.contacts and not any(task.kind == "contacts" for task in tasks):
        raise ConfigError(f"contacts = {config.contacts!r} does nothing: no task is of contacts")
    why = _unpooled(config, tasks)
    for name, usual in (("layer", "last"), ("pooling", "mean")):
        if why and (given := getattr(config, name)) != usual:
            raise ConfigError(f"{name} = {given!r} does nothing: {why}")


def _unpooled(config: EvalConfig, tasks: list[Task]) -> str:
    """Why neither layer nor pooling is asked for, one phrase; empty where some model has a use for them."""
    if config.contacts == "attention" and all(task.kind == "contacts" for task in tasks):
        return "attention of all layers is read"
    kinds = {backend_of(name) for name in config.models if name not in BASELINES} - {"attribute"}
    if not kinds or all(task.kind == "zero-shot" for task in tasks):
        return "baselines, functions, Embedders of one's own and zero-shot scores take none"
    return ""


def _list_dropped(out: Path, task: Task) -> None:
    """The rows of the publisher's file that are not scored, and why."""
    if task.dropped.num_rows:
        with atomic_path(Path(out) / "left_out" / f"{task.name}.parquet") as part:
            pq.write_table(task.dropped, part, compression="zstd")
