"""Tensors of model, optimizer and average by name, and their way into files and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from biodata.errors import DataError
from biotrain.parallel import cut_like
from biotrain.shards import load_shards, shard_shapes


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, a tied weight once."""
    persistent = model.state_dict().keys()
    buffers = {name: value for name, value in model.named_buffers() if name in persistent}
    return {**dict(model.named_parameters()), **buffers}


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """States by `<state>/<parameter>`."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in sorted(optimizer.state.get(parameter, {}).items())
    }


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a safetensors file that is as readable to others as any file made here.

    The library's own are readable by their owner alone, which colleagues with whom a run is shared notice
    too late.
    """
    path.touch()
    mode = path.stat().st_mode & 0o777
    save_file(dict(tensors), path, metadata={"format": "pt"})
    path.chmod(mode)


class Stored:
    """The tensors of a checkpoint's file `NAME.safetensors`, or of its folder `NAME`.

    Args:
        path: of the checkpoint.
        name: `model`, `optimizer` or `ema`.

    Raises:
        DataError: no such file, or none of safetensors.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.whole, self.shards = path / f"{name}.safetensors", path / name
        self.where = self.shards if self.shards.is_dir() else self.whole
        self.tensors = {} if self.shards.is_dir() else _read(self.whole)
        self.shapes = shard_shapes(self.shards) if self.shards.is_dir() else {
            key: value.shape for key, value in self.tensors.items()
        }  # fmt: skip
        self.types = {key: value.dtype for key, value in self.tensors.items()}

    @torch.no_grad()
    def copy_to(self, own: Mapping[str, Tensor]) -> None:
        """Fills `own`, of the same names and shapes, each perhaps in parts."""
        if self.shards.is_dir():
            load_shards(self.shards, own)
        for name, value in self.tensors.items():
            own[name].copy_(cut_like(value, own[name]))


def restore(own: Mapping[str, Tensor], stored: Stored) -> None:
    """Fills tensors with those of the same names.

    Raises:
        DataError: names, shapes or types differ.
    """
    different = sorted(own.keys() ^ stored.shapes.keys())
    both = sorted(own.keys() & stored.shapes.keys())
    different += [name for name in both if own[name].shape != stored.shapes[name]]
    different += [name for name in both if stored.types.get(name, own[name].dtype) != own[name].dtype]
    if different:
        raise DataError(f"of another model: tensor {different[0]!r} does not fit", where=stored.where)
    stored.copy_to(own)


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, stored: Stored) -> None:
    """Gives an optimizer the states of a checkpoint.

    Args:
        model: whose parameters the optimizer has.
        optimizer: of the same kind as when it was stored; states that it has are forgotten.
        stored: its file.

    Raises:
        DataError: a state of an unknown parameter, or of another shape, or one that is missing.
    """
    parameters, own = dict(model.named_parameters()), {}
    optimizer.state.clear()
    for key, shape in stored.shapes.items():
        kind, _, name = key.partition("/")
        if name not in parameters or not _fits(shape, parameters[name]):
            raise DataError(f"of another model: tensor {key!r} does not fit", where=stored.where)
        like = parameters[name].detach()
        own[key] = torch.zeros_like(like) if shape == like.shape else torch.zeros(shape, device=like.device)
        optimizer.state[parameters[name]][kind] = own[key]
    names = {parameter: name for name, parameter in parameters.items()}
    for group in optimizer.param_groups:  # those of a kind have the same states; one never trained has none
        known: dict[int, set[str]] = {}
        for p in group["params"]:
            kinds = set(optimizer.state.get(p, ()))
            missing = known.setdefault(p.ndim, kinds) ^ kinds if kinds else ()
            for kind in sorted(missing):
                what = f"of another model: {kind!r} is not there for all like {names[p]!r}"
                raise DataError(what, where=stored.where)
    stored.copy_to(own)


def _fits(shape: Sequence[int], parameter: Tensor) -> bool:
    """Whether a state is a number, or has the parameter's shape, or its rows' or columns' (Adafactor)."""
    if not shape:
        return True
    sizes = zip(shape, parameter.shape)
    return len(shape) == parameter.ndim and all(own in (1, whole) for own, whole in sizes)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError("no such file", where=path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"not a safetensors file ({error})", where=path) from error
