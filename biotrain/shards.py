"""A checkpoint's tensors in parts: torch's distributed checkpoints (DCP) in safetensors.

Every process writes the parts it holds, with their places in the whole tensors, into a file of its own; any
number of processes, one too, reads from these files what it holds. Of DCP's storages this is the one without
a pickle: its own has one, `.metadata`, which may run code when it is read. Its consolidation into one file is
not used, which in torch 2.13 turns scalars (a step count) into 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from biodata.errors import DataError


def save_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes this process's parts; every process must call it alike.

    Args:
        folder: to write into, on a disk that all processes share.
        tensors: by name, in parts or the same in every process.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    save(plain, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))


def shard_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the whole tensors.

    Raises:
        DataError: a file that is no part of a checkpoint.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    try:
        found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"not a checkpoint in parts ({error})", where=folder) from error
    return {name: tuple(about.size) for name, about in found.items()}  # pyright: ignore[reportAttributeAccessIssue]


def load_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fills tensors, each whole or in parts, with what lies in the folder; their shapes must be the same.

    Args:
        folder: written by `save_shards`, by whatever number of processes.
        tensors: by name.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # a single process
        load(plain, storage_reader=HuggingFaceStorageReader(str(folder)))
