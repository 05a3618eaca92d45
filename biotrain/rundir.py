"""The run folder: who may write into it, what is in it already, and how a run begins and ends.

config.yaml  training_log.jsonl  checkpoints/step-N/  model/  summary.json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from biodata.configs import from_dict, read_yaml, to_dict, write_yaml
from biodata.errors import ConfigError, DataError, SeqloomError
from biodata.files import fingerprint, read_json, sha256_file
from biodata.progress import say
from biotrain.config import TrainConfig
from biotrain.finetune_config import FinetuneConfig

CONFIG_FILE = "config.yaml"
SUMMARY_FILE = "summary.json"
LOCK_FILE = ".lock"
CHECKPOINTS = "checkpoints"
MODEL = "model"

RunConfig = TrainConfig | FinetuneConfig
AnyConfig = TypeVar("AnyConfig", bound="TrainConfig | FinetuneConfig")

FREE = ("data", "tokenizer", "out", "resume", "threads", "keep_checkpoints", "checkpoint_every", "vocab_size",
        "parallel", "log", "device")  # fmt: skip
"""Settings that a resumed run may change: places (the content is compared instead), and what leaves the
weights as they are, but for the last bits on another device, which the loop says."""

LENGTH = ("max_steps", "epochs", "schedule")
"""Settings that it may change where the steps done would have been the same (`biotrain.prolong`)."""

FIELDS = (
    "run",
    "step",
    "tokens",
    "train_loss",
    "val_loss",
    "val_perplexity",
    "val_objective",
    "tokens_per_s",
    "mfu",
)
"""What `train` returns; `summary.json` has it too, and more."""


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other processes from training into the same folder; the lock ends with the process.

    Raises:
        SeqloomError: another process holds it.
        ConfigError: the folder cannot be made, or is not empty and no run.
    """
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot make this folder: {error.strerror}") from error
    foreign = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    if foreign and not (out / CONFIG_FILE).exists():
        raise ConfigError(f"{out} holds {foreign[0]!r} and is no run folder: choose another --out")
    with open(out / LOCK_FILE, "a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SeqloomError(f"{out}: another process is training into this run folder") from error
        yield


def fingerprints(manifest: Mapping[str, Any], tokenizer: Path) -> dict[str, str]:
    """What a run is trained on, by content.

    Raises:
        ConfigError: no tokenizer there.
    """
    if not (tokenizer / "tokenizer.json").is_file():
        raise ConfigError(f"{tokenizer} holds no tokenizer.json (make one with `seqloom tokenizer train`)")
    dataset = manifest.get("fingerprint") or fingerprint(manifest)
    return {"dataset": str(dataset), "tokenizer": sha256_file(tokenizer / "tokenizer.json")}


def provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What every checkpoint and model says of the data: alphabet, and which exclusion it went through."""
    exclusion = manifest.get("exclusion") or {"enabled": False}
    return {"alphabet": manifest.get("alphabet", ""), "exclusion": exclusion}


def finished(
    config: RunConfig, out: Path, *, inputs: Mapping[str, str], fields: Sequence[str] = FIELDS
) -> dict[str, Any] | None:
    """The summary of a run that has ended, if `out` holds one.

    Args:
        config: of the run to be.
        out: run folder.
        inputs: fingerprints of what it is to be trained on.
        fields: what the summary must have.

    Raises:
        ConfigError: it was another run, or one that has not ended and `config.resume` is off.
        DataError: a damaged summary.
    """
    if not (out / CONFIG_FILE).exists():
        return None
    if _other_length(config, out):
        return None
    if (out / SUMMARY_FILE).exists():
        summary = {**_summary(out / SUMMARY_FILE, fields), "run": str(out)}
        same_inputs(inputs, summary["inputs"], out)
        say(f"{out} holds this run, finished at step {summary['step']}: nothing was done")
        return summary
    if has_checkpoint(out) and not config.resume:
        raise ConfigError(f"{out} holds a run that has not ended: give --resume, or choose another --out")
    return None


def same_inputs(now: Mapping[str, str], before: Mapping[str, str], out: Path) -> None:
    """Compares fingerprints.

    Args:
        now: name (dataset, tokenizer) to fingerprint.
        before: the same when the run began; what is missing there is not compared.
        out: folder of the run, for the message.

    Raises:
        ConfigError: the dataset or the tokenizer is not the one that the run began with.
    """
    for name, value in now.items():
        if before.get(name, value) != value:
            was, got = before[name][:12], value[:12]
            raise ConfigError(f"{out} was trained on another {name} ({was}, now {got}): choose another --out")


def has_checkpoint(out: Path) -> bool:
    """Whether there is work that a fresh start would lose."""
    return any((out / CHECKPOINTS).glob("step-*"))


def begin(config: RunConfig, out: Path) -> None:
    """Writes `config.yaml`, after everything that can fail for a wrong setting."""
    write_yaml(out / CONFIG_FILE, to_dict(config))


def begun_with(config: AnyConfig, out: Path) -> AnyConfig:
    """The configuration in the run folder, of the same kind as `config`.

    Raises:
        ConfigError: it is of the other kind of run, or none.
    """
    where = out / CONFIG_FILE
    values = read_yaml(where)
    if ("reward" in values) != isinstance(config, FinetuneConfig):
        other = "finetune" if "reward" in values else "train"
        raise ConfigError(f"{out} holds a run of `seqloom {other}`: choose another --out")
    return from_dict(type(config), values, where=str(where))


def check_room(out: Path, *, done: int, wanted: int) -> None:
    """Whether a run of `wanted` steps can hold what is done.

    Args:
        out: run folder, for the message.
        done: steps of its newest checkpoint.
        wanted: steps of the run as it is wanted now.

    Raises:
        ConfigError: it cannot.
    """
    if wanted < done:
        raise ConfigError(
            f"{out} has done {done:,} steps, more than the {wanted:,} wanted now: choose another --out"
        )


def begin_again(config: RunConfig, out: Path) -> None:
    """Makes a run one of another length: it has not ended any more."""
    (out / SUMMARY_FILE).unlink(missing_ok=True)
    begin(config, out)


def result(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a summary that `train` returns; perplexity only where tokens are predicted."""
    return {name: summary[name] for name in FIELDS if name in summary}


def _summary(path: Path, fields: Sequence[str]) -> dict[str, Any]:
    try:
        summary = dict(read_json(path))
        missing = [name for name in (*fields, "inputs") if name not in summary]
    except (ValueError, TypeError) as error:
        missing, summary = [str(error)], {}
    if missing:
        hint = "delete it and give --resume: it is written again"
        raise DataError(f"not the summary of a run ({missing[0]})", where=path, hint=hint)
    return summary


def _other_length(config: RunConfig, out: Path) -> bool:
    """Whether a run that has begun there is to go on with another length.

    Raises:
        ConfigError: other settings differ too, or `config.resume` is off.
    """
    before, now = flat(to_dict(begun_with(config, out))), flat(to_dict(config))
    free = (*FREE, "init_from") if before.get("init_from") and now.get("init_from") else FREE
    different = [key for key in now if before.get(key) != now[key] and key.split(".")[0] not in free]
    if not different or not (has_checkpoint(out) or (out / SUMMARY_FILE).exists()):
        return False
    lengths = all(key.split(".")[0] in LENGTH for key in different)
    if lengths and config.resume:
        return True
    changes = ", ".join(f"{key} {before.get(key)!r} -> {now[key]!r}" for key in different)
    longer = lengths and {"max_steps", "epochs"} & set(different)
    other = "choose another --out" + (", or give --resume to go on with it" if longer else "")
    raise ConfigError(f"{out} holds a run with another configuration ({changes}): {other}")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings of all groups by their dotted names.

    >>> flat({"seed": 0, "model": {"width": 8}})
    {'seed': 0, 'model.width': 8}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
