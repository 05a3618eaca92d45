"""Gaussian diffusion of real numbers: schedule, what the model tells, one step back.

At time t, from 0 (clean) to 1 (noise), z = alpha x + sigma e with e normal and alpha^2 + sigma^2 = 1. The
model tells either the noise e or the velocity v = alpha e - sigma x (Salimans and Ho, arXiv:2202.00512), from
which both x and e follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

OFFSET = 0.008
"""s of the cosine schedule, which keeps the noise of the first steps from being too small."""

LAST = 0.999
"""Time at which sampling starts: at 1 nothing of x is left, and e alone would not tell it."""

Kind = Literal["v", "eps"]


def alpha_sigma(times: Tensor) -> tuple[Tensor, Tensor]:
    """The cosine schedule (Nichol and Dhariwal, arXiv:2102.09672, eq. 17) in continuous time.

    alpha = cos(pi/2 (t + s) / (1 + s)) / cos(pi/2 s / (1 + s)), sigma = sqrt(1 - alpha^2), as t's type.

    >>> [round(float(x), 6) for x in alpha_sigma(torch.tensor(0.0, dtype=torch.float64))]
    [1.0, 0.0]
    >>> [round(float(x), 6) for x in alpha_sigma(torch.tensor(1.0, dtype=torch.float64))]
    [0.0, 1.0]
    """
    quarter = math.pi / 2 / (1 + OFFSET)
    alpha = (torch.cos((times + OFFSET) * quarter) / math.cos(OFFSET * quarter)).clamp(0, 1)
    return alpha, (1 - alpha**2).sqrt()


def noised(x: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """z at the times [B] of pictures [B, ...].

    Args:
        x: pictures `[B, ...]`.
        noise: e, standard normal, of the same shape.
        times: `[B]`, 0 (nothing is noise) to 1 (all is).
    """
    alpha, sigma = (wide(value, x) for value in alpha_sigma(times))
    return alpha * x + sigma * noise


def wanted(x: Tensor, noise: Tensor, times: Tensor, kind: Kind) -> Tensor:
    """What the model should tell: e, or v = alpha e - sigma x.

    Args:
        x: pictures `[B, ...]`.
        noise: e, of the same shape.
        times: `[B]`, 0 to 1.
        kind: `eps` or `v`.
    """
    if kind == "eps":
        return noise
    alpha, sigma = (wide(value, x) for value in alpha_sigma(times))
    return alpha * noise - sigma * x


def split(z: Tensor, told: Tensor, times: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """x and e from what the model told: x = alpha z - sigma v and e = sigma z + alpha v, or
    x = (z - sigma e) / alpha.

    Args:
        z: noisy pictures `[B, ...]`.
        told: what the model said of them, of the same shape.
        times: `[B]`, 0 to 1.
        kind: `eps` or `v`.
    """
    alpha, sigma = (wide(value, z) for value in alpha_sigma(times))
    if kind == "eps":
        return (z - sigma * told) / alpha, told
    return alpha * z - sigma * told, sigma * z + alpha * told


def sample(
    model: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    kind: Kind,
    noise: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """From noise to pictures.

    Without `noise` this is DDIM (Song et al., arXiv:2010.02502, eq. 12 with sigma 0): the same start gives
    the same picture. With it, DDPM's ancestral steps (arXiv:2006.11239; the same equation with its full
    variance):

        z_s = alpha_s x + sqrt(sigma_s^2 - g^2) e + g n
        g^2 = sigma_s^2 / sigma_t^2 (1 - alpha_t^2 / alpha_s^2)

    A model that tells a variance too has it in place of g^2 before n (`biotrain.diffusion.variance`).

    Args:
        model: `(z [B, K, ...], times [B])` to what it tells, [B, K, ...], or [B, 2 K, ...] with a variance.
        start: [B, ...] normal numbers.
        steps: 1 or more, evenly spaced in time.
        kind: what the model tells.
        noise: step number to normal numbers as `start`.

    Returns:
        [B, ...]; x itself after the last step, without noise.
    """
    z = start
    grid = torch.linspace(LAST, 0, steps + 1, dtype=torch.float64)
    for step in range(steps):
        t = grid[step].expand(len(z)).to(z)
        told = model(z, t)
        x, e = split(z, told[:, : z.shape[1]], t, kind)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(grid[step]), alpha_sigma(grid[step + 1])
        most = (1 - (alpha_t / alpha_s) ** 2).clamp(min=0)
        least = (sigma_s / sigma_t) ** 2 * most if noise is not None else torch.zeros(())
        z = float(alpha_s) * x + float((sigma_s**2 - least).clamp(min=0).sqrt()) * e
        if noise is not None and float(least) > 0:
            spread: Tensor | float = float(least.sqrt())
            if said := told.shape[1] - z.shape[1]:
                spread = (0.5 * log_variance(told[:, said:], most.log().to(z), least.log().to(z))).exp()
            z = z + spread * noise(step)
    return z


def log_variance(said: Tensor, most: Tensor, least: Tensor) -> Tensor:
    """ln of the variance that a model means by `said`, -1 for the least and 1 for the most: v ln b +
    (1 - v) ln b' with v = (said + 1) / 2 (arXiv:2102.09672, eq. 15).

    Args:
        said: [B, ...], of the model.
        most: ln b, broadcast against `said`.
        least: ln b', likewise.
    """
    share = (said + 1) / 2
    return share * most + (1 - share) * least


def wide(value: Tensor, like: Tensor) -> Tensor:
    """[B] as [B, 1, ..., 1].

    Args:
        value: numbers or truths.
        like: whose dimensions and type the numbers take.
    """
    value = value if value.dtype == torch.bool else value.to(like.dtype)
    return value.view(-1, *[1] * (like.ndim - 1))
