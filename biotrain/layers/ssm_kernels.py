"""The CUDA kernels of mamba-ssm, where they are installed; nothing needs them.

They serve whole sequences on a GPU. Several documents in a row and generation take the plain form, with which
`benchmarks/gpu_mamba.py` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import Tensor

from biodata.progress import say

if TYPE_CHECKING:
    from biotrain.layers.ssm_chunks import Chunked
    from biotrain.layers.ssm_scan import Selective

_allowed = True


@contextmanager
def plain_scans() -> Iterator[None]:
    """Inside, every scan is the plain one; for comparisons."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


def mamba1(like: Tensor) -> Callable[[Selective], Tensor] | None:
    """The kernel of the selective scan for tensors where `like` is; `None` = the plain form."""
    found = _kernel(like, "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")
    if found is None:
        return None

    def run(drive: Selective) -> Tensor:
        u, dt, b, c = (x.transpose(1, 2).contiguous() for x in (drive.u, drive.dt, drive.b, drive.c))
        return found(u, dt, drive.a, b, c).transpose(1, 2)

    return run


def mamba2(like: Tensor) -> Callable[[Chunked, int], Tensor] | None:
    """The kernel of the chunked scan, called with the tokens of a chunk; `None` = the plain form."""
    found = _kernel(like, "mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined")
    if found is None:
        return None

    def run(drive: Chunked, chunk: int) -> Tensor:
        return found(drive.u, drive.dt, drive.a, drive.b[:, :, None], drive.c[:, :, None], chunk)

    return run


def _kernel(like: Tensor, module: str, name: str) -> Callable[..., Any] | None:
    return _find(module, name) if _allowed and like.is_cuda else None


@cache
def _find(module: str, name: str) -> Callable[..., Any] | None:
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError:
        return None
    except ImportError as error:
        say(f"mamba-ssm is installed but cannot be loaded ({error}); the plain scan is taken")
        return None
