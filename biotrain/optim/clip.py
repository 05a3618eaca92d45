"""Clipping of gradients: by norm, by value, adaptively."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biotrain.optim.config import OptimConfig
from biotrain.parallel import whole

SMALLEST = 1e-3
"""Norm that a unit's weights are taken to have at least, so that those at 0 can learn."""


def clip_gradient(model: nn.Module, config: OptimConfig) -> Tensor:
    """Clips the model's gradients in place; a limit of 0 leaves them.

    Returns:
        The norm of the whole gradient before clipping, a scalar on the parameters' device.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
    parameters = [p for _, p in named]
    limit = config.clip_norm
    if limit and config.clip_mode == "norm":
        return whole(nn.utils.clip_grad_norm_(parameters, limit))
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if limit and config.clip_mode == "value":
        nn.utils.clip_grad_value_(parameters, limit)
    elif limit:
        adaptive_clip([p for name, p in named if not name.startswith("head.")], limit)
    return whole(norm)


@torch.no_grad()
def adaptive_clip(parameters: list[nn.Parameter], share: float) -> None:
    """Scales each unit's gradient g so that |g| <= share x max(|w|, 1e-3), w the unit's weights.

    A unit is a row of a matrix (all weights into one output), or a whole vector. NFNets, arXiv:2102.06171,
    eq. 3; the output layer is not to be clipped so.
    """
    for p in parameters:
        assert p.grad is not None
        limit = share * _unit_norm(p).clamp_min(SMALLEST)
        size = _unit_norm(p.grad)
        p.grad.mul_(torch.where(size > limit, limit / size.clamp_min(1e-12), 1.0))


def _unit_norm(x: Tensor) -> Tensor:
    dims = tuple(range(1, x.ndim)) if x.ndim > 1 else tuple(range(x.ndim))
    return torch.linalg.vector_norm(x, dim=dims, keepdim=True)
