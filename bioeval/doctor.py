"""Whether a model can be evaluated: toy tasks of every kind, in seconds, one line each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from biodata.errors import ConfigError, SeqloomError
from bioeval.backends import open_model
from bioeval.baselines import BASELINES
from bioeval.evaluate import EvalConfig
from bioeval.running.bench import Bench, Models
from bioeval.running.toys import UNITS, toy_tasks
from bioeval.tasks import Task

_RESAMPLES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorConfig:
    """What is examined."""

    model: str = field(default="kmer", metadata={"help": "a MODEL as `eval run` takes it; default: kmer"})
    alphabet: Literal["auto", "dna", "rna", "protein", "selfies"] = field(
        default="auto",
        metadata={"help": "of the toy sequences; auto: that of which the tokenizer knows most"},
    )
    probe: str = field(default="auto", metadata={"help": "a probe to try too, where it fits the kind"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run a model's own modeling file (not needed for seqloom's)"}
    )

    def __post_init__(self) -> None:
        if self.alphabet != "auto" and self.alphabet not in UNITS:
            raise ConfigError(f"alphabet = {self.alphabet!r}, allowed: auto, {', '.join(UNITS)}")


def examine(config: DoctorConfig) -> dict[str, Any]:
    """Mock-runs a model on a toy task of every kind; its scores mean nothing.

    Args:
        config: model and alphabet.

    Returns:
        `{"ok", "model", "alphabet", "checks": [{"kind", "status", "metric", "value", "seconds", "reason"}]}`;
        `status` is `ok`, `failed`, or `cannot` for what such a model cannot do (a likelihood, the probe);
        `ok` where nothing failed and something worked.

    Raises:
        ConfigError: no such model.
    """
    with tempfile.TemporaryDirectory(prefix="seqloom-") as folder:
        asked = EvalConfig(
            models=(config.model,), tasks=("toy",), out=Path(folder), cache=Path(folder) / "cache",
            resamples=_RESAMPLES, baselines=False, repeats=0, device=config.device, probe=config.probe,
            trust_remote_code=config.trust_remote_code, contacts="embeddings",
        )  # fmt: skip
        alphabet = _alphabet(config, asked)
        models = Models(asked)
        checks = [_check(asked, task, models) for task in toy_tasks(alphabet)]
    found = {check["status"] for check in checks}
    return {
        "ok": "ok" in found and "failed" not in found, "model": config.model,
        "alphabet": alphabet, "checks": checks,
    }  # fmt: skip


def described(report: Mapping[str, Any]) -> str:
    """A line for each kind of task.

    Args:
        report: of `examine`.
    """
    lines = [f"{report['model']} on made-up sequences ({report['alphabet']}); the scores mean nothing"]
    for check in report["checks"]:
        value = "" if check["value"] is None else f"{check['metric']} {check['value']:.2f}, "
        what = check["reason"] or f"{value}{check['seconds']:.1f} s"
        lines.append(f"{check['status']:7s} {check['kind']:15s} {what}")
    return "\n".join(lines)


def _check(config: EvalConfig, task: Task, models: Models) -> dict[str, Any]:
    start, (name,) = time.monotonic(), config.models
    found: dict[str, Any] = {
        "kind": task.kind,
        "status": "ok",
        "metric": task.metric,
        "value": None,
        "reason": "",
    }
    try:
        result = Bench(config, task, models, tell=False).entry(name, {}).result
        found["value"] = result["value"]
    except ConfigError as error:
        found.update(status="cannot", reason=str(error))
    except SeqloomError as error:
        found.update(status="failed", reason=str(error))
    except (
        ArithmeticError,
        AttributeError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # What a model of one's own may raise; told in a line, for that is what the command is for.
        first = str(error).strip().splitlines()[:1]
        found.update(status="failed", reason=f"{type(error).__name__}: {''.join(first)}")
    return {**found, "seconds": round(time.monotonic() - start, 2)}


def _alphabet(config: DoctorConfig, asked: EvalConfig) -> str:
    """The alphabet with the fewest unknown tokens; dna where nothing tells."""
    if config.alphabet != "auto":
        return config.alphabet
    model = None if config.model in BASELINES else open_model(config.model, asked.embed_settings())
    count = getattr(model, "counts", None)
    if count is None:
        return "protein" if config.model == "aa-composition" else "dna"
    shares = {}
    for alphabet in ("dna", "rna", "protein", "selfies"):
        found = count(toy_tasks(alphabet)[0].sequences("test"))
        shares[alphabet] = found["unknown"] / max(1, found["tokens"])
    # Letters of proteins include those of DNA: of equals the first, the smallest alphabet.
    return min(shares, key=lambda name: shares[name])
