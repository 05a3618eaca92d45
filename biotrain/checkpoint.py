"""Checkpoints: a folder `step-N` that is either whole or not there, and holds no code.

    model.safetensors      parameters and persistent buffers by name (a tied weight once)
    optimizer.safetensors  `<state>/<parameter>`, for AdamW `exp_avg/...`, `exp_avg_sq/...`, `step/...`
    ema.safetensors        averaged parameters by name, if there is an average
    state.json             where the run stands, and size and CRC-32 of the other files

No random state is kept: every random choice of a run is a function of (seed, step).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from isal import isal_zlib
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from biodata.errors import DataError, SeqloomError
from biodata.files import read_json, write_json
from biotrain.ema import Ema

FORMAT = 1
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")
EMA_FILE = "ema.safetensors"
_NAME = re.compile(r"step-(\d+)")


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


def save_checkpoint(folder: Path, trained: Trained, *, state: RunState, keep: int) -> Path:
    """Writes `folder/step-N` under another name, syncs it to disk and renames it; then prunes old ones.

    Args:
        folder: of all checkpoints.
        trained: model, optimizer and average.
        state: where the run stands.
        keep: newest checkpoints to keep, 0 = all.

    Raises:
        SeqloomError: the disk is full, or the folder cannot be written.
    """
    target = folder / f"step-{state.step}"
    try:
        if not target.exists():
            part = folder / f".step-{state.step}.part"
            _write(part, trained, state=state)
            os.rename(part, target)
            _sync(folder)
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

    Reads only safetensors and JSON, so that a checkpoint can run no code.

    Raises:
        DataError: a file is missing, truncated, altered or of another model; the message says which older
            checkpoint is whole.
    """
    try:
        state = check_checkpoint(path)
        model, optimizer, ema = trained
        tensors = [_read(path / name) for name in TENSOR_FILES]
        _restore(_model_tensors(model), tensors[0], where=path / TENSOR_FILES[0])
        _restore_optimizer(model, optimizer, tensors[1], where=path / TENSOR_FILES[1])
        if ema is not None:
            _restore(ema.average, _read(path / EMA_FILE), where=path / EMA_FILE)
    except DataError as error:
        raise DataError(f"{error}; {_advice(path)}") from error
    return state


def check_checkpoint(path: Path) -> RunState:
    """Reads `state.json` and compares the files with their sizes and checksums.

    Raises:
        DataError: the first file that is not as it was written.
    """
    where = path / "state.json"
    try:
        content = read_json(where)
        if content["format"] != FORMAT:
            raise DataError(f"checkpoint format {content['format']!r}, known is {FORMAT}", where=where)
        state = RunState(**content["state"])
        names = [*TENSOR_FILES, *([EMA_FILE] if EMA_FILE in content["files"] else [])]
        files = {name: dict(content["files"][name]) for name in names}
    except FileNotFoundError:
        raise DataError("no such file", where=where) from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not the state of a checkpoint ({error})", where=where) from error
    for name, expected in files.items():
        if not (path / name).is_file():
            raise DataError("no such file", where=path / name)
        if _sum(path / name) != expected:
            raise DataError("truncated or altered since it was written", where=path / name)
    return state


def _write(part: Path, trained: Trained, *, state: RunState) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model, optimizer, ema = trained
    found = (_model_tensors(model), _optimizer_tensors(model, optimizer))
    contents: dict[str, Mapping[str, Tensor]] = dict(zip(TENSOR_FILES, found))
    if ema is not None:
        contents[EMA_FILE] = ema.average
    for name, content in contents.items():
        save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, part / name)
        _sync(part / name)
    files = {name: _sum(part / name) for name in contents}
    write_json(part / "state.json", {"format": FORMAT, "files": files, "state": asdict(state)})
    _sync(part)


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    persistent = model.state_dict().keys()
    buffers = {name: value for name, value in model.named_buffers() if name in persistent}
    return {**dict(model.named_parameters()), **buffers}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in sorted(optimizer.state.get(parameter, {}).items())
    }


def _restore(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, where: Path) -> None:
    different = sorted(own.keys() ^ tensors.keys())
    different += [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    if different:
        raise DataError(f"of another model: tensor {different[0]!r} does not fit", where=where)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


def _restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, where: Path
) -> None:
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        if name not in parameters or not _fits(value, parameters[name]):
            raise DataError(f"of another model: tensor {key!r} does not fit", where=where)
        optimizer.state[parameters[name]][kind] = value.to(parameters[name].device)


def _fits(value: Tensor, parameter: Tensor) -> bool:
    """Whether a state is a number, or has the parameter's shape, or its rows' or columns' (Adafactor)."""
    if value.ndim == 0:
        return True
    shapes = zip(value.shape, parameter.shape)
    return value.ndim == parameter.ndim and all(own in (1, whole) for own, whole in shapes)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError("no such file", where=path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"not a safetensors file ({error})", where=path) from error


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
