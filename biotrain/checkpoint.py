"""Checkpoints: a folder `step-N` that is either whole or not there, and holds no code.

    model.safetensors      parameters and persistent buffers by name (a tied weight once)
    optimizer.safetensors  `<state>/<parameter>`, for AdamW `exp_avg/...`, `exp_avg_sq/...`, `step/...`
    ema.safetensors        averaged parameters by name, if there is an average
    state.json             where the run stands, and size and CRC-32 of the other files

When processes share the model out (`parallel fsdp`), each of the three is a folder of the same name without
suffix, to which every process adds a file of its parts (`biotrain.shards`). Either kind can be gone on from
by any number of processes. No random state is kept: every random choice of a run is a function of (seed,
step).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from isal import isal_zlib
from safetensors import SafetensorError
from torch import Tensor, nn

from biodata.errors import DataError, SeqloomError
from biodata.files import read_json, write_json
from biotrain.distributed import ALONE, Team
from biotrain.ema import Ema
from biotrain.shards import save_shards
from biotrain.stored import (
    Stored,
    model_tensors,
    optimizer_tensors,
    restore,
    restore_optimizer,
    save_tensors,
)

FORMAT = 1
_NAME = re.compile(r"step-(\d+)")
_FILE = re.compile(r"(model|optimizer|ema)(\.safetensors|/[\w-]+\.safetensors)")


@dataclass(kw_only=True, slots=True)
class RunState:
    """Where a run stands between two steps.

    Attributes:
        step: optimizer steps done.
        epoch: pass over the training split, 0-based.
        batch: next batch of this epoch, 0-based.
        tokens: real tokens (no padding) seen so far.
        log_bytes: length of training_log.jsonl at this point.
        train_seconds: time spent in training steps.
        train_loss: training loss of the last log line, in nats.
        sums: what has been added up since the last log line.
        grad_norm: of the last step.
        inputs: fingerprints of dataset and tokenizer.
        hardware: device, precision and threads.
        watch: `biotrain.watch.Watch` after the last validation.
        stopped: whether the run has ended early.
        provenance: what the dataset's manifest says of the exclusion (`biodata.curate.exclusion`).
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    log_bytes: int = 0
    train_seconds: float = 0.0
    train_loss: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    grad_norm: float = 0.0
    inputs: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    watch: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False


class Trained(NamedTuple):
    """What training changes; tensors may be on any device."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None = None


def save_checkpoint(
    folder: Path, trained: Trained, *, state: RunState, keep: int, team: Team = ALONE
) -> Path:
    """Writes `folder/step-N` under another name, syncs it to disk and renames it; then prunes old ones.

    Args:
        folder: of all checkpoints.
        trained: model, optimizer and average.
        state: where the run stands.
        keep: newest checkpoints to keep, 0 = all.
        team: all of its processes must call this.

    Raises:
        SeqloomError: the disk is full, or the folder cannot be written.
    """
    target = folder / f"step-{state.step}"
    part = folder / f".step-{state.step}.part"
    try:
        if team.from_first(lambda: _begin(part, target)):
            contents = _contents(trained)
            if team.parallel == "fsdp":
                for name, tensors in contents.items():
                    save_shards(part / name, tensors)
            team.from_first(lambda: _finish(part, target, contents, state))
        if team.first:
            _prune(folder, keep)
    except (OSError, SafetensorError) as error:
        raise SeqloomError(f"cannot write checkpoint {target}: {error}") from error
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    found = [(int(match[1]), path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def load_checkpoint(path: Path, trained: Trained) -> RunState:
    """Copies a checkpoint into model, optimizer and average, which must be those of the same configuration.

    Reads only safetensors and JSON, so that a checkpoint can run no code. Of several processes each reads it.

    Raises:
        DataError: a file is missing, truncated, altered or of another model; the message says which older
            checkpoint is whole.
    """
    try:
        state = check_checkpoint(path)
        model, optimizer, ema = trained
        restore(model_tensors(model), Stored(path, "model"))
        restore_optimizer(model, optimizer, Stored(path, "optimizer"))
        if ema is not None:
            restore(ema.average, Stored(path, "ema"))
    except DataError as error:
        raise DataError(f"{error}; {_advice(path)}") from error
    return state


def check_checkpoint(path: Path) -> RunState:
    """Reads `state.json` and compares the files with their sizes and checksums.

    Raises:
        DataError: the first file that is not as it was written.
    """
    where = path / "state.json"
    if not path.is_dir():
        raise DataError("not a checkpoint's folder", where=path)
    try:
        content = read_json(where)
        if content["format"] != FORMAT:
            raise DataError(f"checkpoint format {content['format']!r}, known is {FORMAT}", where=where)
        state = RunState(**content["state"])
        _check_types(state)
        files = {str(name): dict(expected) for name, expected in content["files"].items()}
    except FileNotFoundError:
        raise DataError("no such file", where=where) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not the state of a checkpoint ({error})", where=where) from error
    kinds = {match[1] if (match := _FILE.fullmatch(name)) else name for name in files}
    if not {"model", "optimizer"} <= kinds <= {"model", "optimizer", "ema"}:
        raise DataError(f"not the state of a checkpoint (files {sorted(files)})", where=where)
    for name, expected in files.items():
        if not (path / name).is_file():
            raise DataError("no such file", where=path / name)
        if _sum(path / name) != expected:
            raise DataError("truncated or altered since it was written", where=path / name)
    return state


def _check_types(state: RunState) -> None:
    """Raises TypeError where a field holds something else than a state does."""
    for item in fields(RunState):
        value, usual = getattr(state, item.name), getattr(RunState(), item.name)
        if not isinstance(value, (int, float) if isinstance(usual, float) else type(usual)):
            raise TypeError(f"{item.name} is {value!r}")


def _begin(part: Path, target: Path) -> bool:
    """Makes the folder to write into; whether there is anything to write."""
    if target.exists():
        return False
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return True


def _contents(trained: Trained) -> dict[str, dict[str, Tensor]]:
    model, optimizer, ema = trained
    contents = {"model": model_tensors(model), "optimizer": optimizer_tensors(model, optimizer)}
    if ema is not None:
        contents["ema"] = ema.average
    return contents


def _finish(part: Path, target: Path, contents: Mapping[str, Mapping[str, Tensor]], state: RunState) -> None:
    """Writes what is not there yet, checksums and state; then the checkpoint has its name."""
    for name, tensors in contents.items():
        if not (part / name).is_dir():
            plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            save_tensors(plain, part / f"{name}.safetensors")
    files = sorted(part.rglob("*.safetensors"))
    for path in files:
        _sync(path)
    sums = {path.relative_to(part).as_posix(): _sum(path) for path in files}
    write_json(part / "state.json", {"format": FORMAT, "files": sums, "state": asdict(state)})
    for folder in (*(path.parent for path in files if path.parent != part), part):
        _sync(folder)
    os.rename(part, target)
    _sync(target.parent)


def _advice(path: Path) -> str:
    """Which older checkpoint a user can go back to."""
    for older in reversed(checkpoints(path.parent)):
        if int(older.name[5:]) < int(path.name[5:]):
            try:
                check_checkpoint(older)
            except DataError:
                continue
            return f"delete {path} to go on from {older.name}, which is whole"
    return f"no older checkpoint is whole: delete {path.parent.parent} to begin anew"


def _prune(folder: Path, keep: int) -> None:
    """Renames before deleting, so that what is half deleted never looks like a checkpoint."""
    for old in checkpoints(folder)[:-keep] if keep else []:
        os.rename(old, folder / f".{old.name}.part")
    for rest in folder.glob(".step-*.part"):
        shutil.rmtree(rest)


def _sum(path: Path) -> dict[str, int]:
    size, crc = 0, 0
    with open(path, "rb") as handle:
        while block := handle.read(1 << 22):
            size, crc = size + len(block), isal_zlib.crc32(block, crc)
    return {"size": size, "crc32": crc}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
