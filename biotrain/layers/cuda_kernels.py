"""CUDA kernels of other packages, where they are installed; nothing needs them.

mamba-ssm serves the scans of Mamba, flash-linear-attention Based's Taylor attention: whole sequences on a
GPU. Several documents in a row and generation take the plain form. As these packages change, and do not fit
every GPU, each kernel is compared with the plain form before its first use, values and gradients, and left
alone if it differs. `benchmarks/gpu_mamba.py` and `benchmarks/gpu_long.py` time them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
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

Form = Callable[..., Tensor]
Shape = tuple[int, ...]

TOLERANCE = 1e-2
"""Largest difference to the plain form, of its largest value, that rounding explains."""

_MAMBA1 = ("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")
_MAMBA2 = ("mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined")
_TAYLOR = ("fla.ops.based", "fused_chunk_based")
_FEATURES = 16  # up to which flash-linear-attention has the kernel that is linear in length
_TRIED = 80  # tokens of the comparison: several blocks, the last not full
_ROWS = 2  # sequences of the comparison; heads, too
_WIDEST = 64  # channels of the comparison, which are all alike

_agreed: dict[tuple[Hashable, ...], bool] = {}  # no `cache`: torch.compile would look through one


def mamba1(like: Selective, plain: Form) -> Form | None:
    """The kernel of the selective scan, of u, dt, a, b, c as in `Selective`; `None` = the plain form.

    Args:
        like: what it is for.
        plain: the plain form of the same arguments.
    """
    channels, n = min(like.a.shape[0], _WIDEST), like.a.shape[1]
    tokens, states = (_ROWS, _TRIED, channels), (_ROWS, _TRIED, n)
    shapes = (tokens, tokens, (channels, n), states, states)
    return _checked(_MAMBA1, _by_channels, plain, like.u, shapes, _driving)


def mamba2(like: Chunked, plain: Form, *, chunk: int) -> Form | None:
    """The kernel of the chunked scan, of u, dt, a, b, c as in `Chunked`; `None` = the plain form.

    Args:
        like: what it is for.
        plain: the plain form of the same arguments.
        chunk: tokens of a chunk.
    """
    steps, states = (_ROWS, _TRIED, _ROWS), (_ROWS, _TRIED, like.b.shape[-1])
    shapes = ((*steps, like.u.shape[-1]), steps, (_ROWS,), states, states)

    def by_heads(kernel: Form) -> Form:
        return lambda u, dt, a, b, c: kernel(u, dt, a, b[:, :, None], c[:, :, None], chunk)

    return _checked(_MAMBA2, by_heads, plain, like.u, shapes, _driving)


def taylor(q: Tensor, v: Tensor, plain: Form) -> Form | None:
    """The kernel of causal Taylor attention for queries and values like these; `None` = the plain form.

    Args:
        q: [N, H, L, d'].
        v: [N, H, L, E].
        plain: the plain form, all pairs.
    """
    if q.shape[-1] > _FEATURES:
        return None
    features = (_ROWS, _ROWS, _TRIED, q.shape[-1])
    shapes = (features, features, (*features[:3], v.shape[-1]))
    return _checked(_TAYLOR, _by_tokens, plain, q, shapes, tuple)


def has_mamba(device: torch.device) -> bool:
    """Whether `mamba1` and `mamba2` have kernels there to compare."""
    return all(_kernel(torch.zeros(1, device=device), *place) for place in (_MAMBA1, _MAMBA2))


def has_taylor(device: torch.device) -> bool:
    """Whether `taylor` has a kernel there to compare."""
    return _kernel(torch.zeros(1, device=device), *_TAYLOR) is not None


def _by_channels(kernel: Form) -> Form:
    """A kernel of [B, D, T] and [B, N, T] for [B, T, D] and [B, T, N]."""

    def run(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        u, dt, b, c = (x.transpose(1, 2).contiguous() for x in (u, dt, b, c))
        return kernel(u, dt, a, b, c).transpose(1, 2)

    return run


def _by_tokens(kernel: Form) -> Form:
    """A kernel of [N, L, H, ..] for [N, H, L, ..]."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return kernel(*(x.transpose(1, 2).contiguous() for x in (q, k, v))).transpose(1, 2)

    return run


def _driving(drawn: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Numbers of any sign as u, dt, a, b, c: steps not below 0, states that fall."""
    u, dt, a, b, c = drawn
    return u, dt.abs() * 0.3, -a.abs() - 0.1, b, c


def _checked(
    place: tuple[str, str], layout: Callable[[Form], Form], plain: Form, like: Tensor,
    shapes: tuple[Shape, ...], fit: Callable[[Sequence[Tensor]], tuple[Tensor, ...]],
) -> Form | None:  # fmt: skip
    """The kernel of a module, in our layout, if it is there for `like` and gives what the plain form does."""
    kernel = _kernel(like, *place)
    if kernel is None:
        return None
    form, key = layout(kernel), (kernel, shapes, like.device, like.dtype)
    if key not in _agreed:
        noise = torch.Generator().manual_seed(0)
        drawn = fit([torch.randn(shape, generator=noise) for shape in shapes])
        worst = _difference(form, plain, [x.to(like.device, like.dtype) for x in drawn])
        _agreed[key] = worst <= TOLERANCE
        if not _agreed[key]:
            package = place[0].partition(".")[0]
            say(f"{package}: {place[1]} is off by {worst:.1e} of the plain form, which is taken instead")
    return form if _agreed[key] else None


def _difference(form: Form, plain: Form, values: Sequence[Tensor]) -> float:
    """The largest between values and gradients of the two, as a share of the largest of the plain form."""
    results = []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(values[0].device.type, enabled=False),
    ):
        inputs = [x.clone().requires_grad_() for x in values]
        for run in (form, plain):
            out = run(*inputs)
            grads = torch.autograd.grad(out.square().mean(), inputs, materialize_grads=True)
            results.append((out.detach(), *grads))
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*results))


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
