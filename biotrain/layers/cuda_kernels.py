"""CUDA kernels of other packages, where they are installed; nothing needs them.

mamba-ssm serves the scans of Mamba, flash-linear-attention Based's Taylor attention: whole sequences on a
GPU. Several documents in a row and generation take the plain form, with which `benchmarks/gpu_mamba.py` and
`benchmarks/gpu_long.py` compare them. As the interface of flash-linear-attention has changed between its
versions, its kernel is compared with the plain form before its first use, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from biodata.progress import say
from biotrain.layers.kernels import kernels_allowed

if TYPE_CHECKING:
    from biotrain.layers.ssm_chunks import Chunked
    from biotrain.layers.ssm_scan import Selective

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]

TOLERANCE = 1e-2
"""Largest difference to the plain form, of its largest value, that rounding explains."""

_TAYLOR = ("fla.ops.based", "fused_chunk_based")
_FEATURES = 16  # up to which flash-linear-attention has the kernel that is linear in length
_TRIED = 80  # tokens of the first comparison: several blocks, the last not full


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


def taylor(q: Tensor, v: Tensor, plain: Attention) -> Attention | None:
    """The kernel of causal Taylor attention for queries and values like these; `None` = the plain form.

    Args:
        q: [N, H, L, d'].
        v: [N, H, L, E].
        plain: the plain form, all pairs.
    """
    if q.shape[-1] > _FEATURES:
        return None
    found = _kernel(q, *_TAYLOR)
    if found is None or not _agrees(found, plain, q.shape[-1], v.shape[-1], q.device, q.dtype):
        return None
    return _by_tokens(found)


def has_taylor(device: torch.device) -> bool:
    """Whether `taylor` has a kernel there to compare."""
    return _kernel(torch.zeros(1, device=device), *_TAYLOR) is not None


def _by_tokens(kernel: Callable[..., Tensor]) -> Attention:
    """A kernel of [N, L, H, ..] for [N, H, L, ..]."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return kernel(*(x.transpose(1, 2).contiguous() for x in (q, k, v))).transpose(1, 2)

    return run


@cache
def _agrees(
    kernel: Callable[..., Tensor], plain: Attention, features: int, width: int, device: torch.device,
    dtype: torch.dtype,
) -> bool:  # fmt: skip
    """Whether values and gradients are those of the plain form; says so if not."""
    noise = torch.Generator().manual_seed(0)
    shapes = ((2, 3, _TRIED, features), (2, 3, _TRIED, features), (2, 3, _TRIED, width))
    with torch.inference_mode(False), torch.enable_grad():
        inputs = [torch.randn(s, generator=noise).to(device, dtype).requires_grad_() for s in shapes]
        results = []
        for form in (_by_tokens(kernel), plain):
            out = form(*inputs)
            results.append(
                (out.detach(), *torch.autograd.grad(out.square().mean(), inputs, materialize_grads=True))
            )
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*results))
    if not worst <= TOLERANCE:
        say(f"flash-linear-attention is off by {worst:.1e} of the plain form, which is taken instead")
        return False
    return True


def _kernel(like: Tensor, module: str, name: str) -> Callable[..., Any] | None:
    return _find(module, name) if like.is_cuda and kernels_allowed() else None


@cache
def _find(module: str, name: str) -> Callable[..., Any] | None:
    package = module.partition(".")[0]
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == package):
            say(f"{package} is installed but has no usable {name} ({error}); the plain form is taken")
        return None
