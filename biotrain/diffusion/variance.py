"""The learned variance of a step back (Nichol and Dhariwal, arXiv:2102.09672, section 3.1).

The step from t to s < t has mean (z - b/sigma_t e) / sqrt(1 - b) with b = 1 - alpha_t^2 / alpha_s^2, and a
variance between b and the posterior's, b' = sigma_s^2 / sigma_t^2 b. The model tells where, v from 0 to 1 for
each number of a picture (eq. 15):

    variance = exp(v ln b + (1 - v) ln b')

v, which no error of the noise depends on, is learned by the bound on the likelihood of 1000 steps, in which
the mean has no gradient (eq. 16 and the text after it; `bound`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from biotrain.diffusion.gaussian import Kind, alpha_sigma, log_variance, split, wide

STEPS = 1000
"""Of the bound."""

MOST = 0.999
"""Most that b is, at the end where nothing of the picture is left (the paper's section 3.2)."""


def on_grid(times: Tensor) -> Tensor:
    """Times [B] up to the next of 1/1000, 2/1000, ..., 1."""
    return (times * STEPS).ceil().clamp(min=1) / STEPS


def variances(times: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """b and b' of the step from `times` to `before`, in float64.

    Args:
        times: [B], 0 to 1.
        before: [B], less than `times`; 0 leaves b' = 0.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(times.double()), alpha_sigma(before.double())
    step = (1 - (alpha_t / alpha_s) ** 2).clamp(0, MOST)
    return step, (sigma_s / sigma_t) ** 2 * step


def bound(z: Tensor, told: Tensor, said: Tensor, noise: Tensor, times: Tensor, *, kind: Kind) -> Tensor:
    """The bound on -ln p(picture) by one step of 1000 drawn for each picture, nats per number: [B].

    1000 times the divergence of the model's step from the posterior's; for the first, which has no posterior,
    -ln of the density of the picture itself, with b' of the second (the paper's clipping).

    Args:
        z: noisy pictures [B, ...].
        told: what the model told of them; no gradient flows into it.
        said: where its variance lies, of the same shape.
        noise: e, of the same shape.
        times: [B], multiples of 1/1000.
        kind: of `told`.
    """
    before = (times.double() - 1 / STEPS).round(decimals=6).clamp(min=0)
    most, least = variances(times, before)
    first = before == 0
    second = variances(torch.tensor(2 / STEPS), torch.tensor(1 / STEPS))[1].to(least)
    least = torch.where(first, second, least)
    factor = most**2 / (alpha_sigma(times.double())[1] ** 2 * (1 - most))
    error = wide(factor, z) * (split(z, told.detach(), times, kind)[1] - noise).square()
    log_least = wide(least.log(), z)
    log = log_variance(said, wide(most.log(), z), log_least)
    constant = torch.where(wide(first, z), math.log(2 * math.pi) + log, log - log_least - 1)
    spread = torch.where(wide(first, z), torch.zeros_like(log), (log_least - log).exp())
    return STEPS * 0.5 * (constant + spread + error * (-log).exp()).flatten(1).mean(1)
