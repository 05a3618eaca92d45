"""Times of a batch, spread evenly."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(count: int, generator: torch.Generator) -> Tensor:
    """One time in each of `count` equal parts of (0, 1], in random order; [count] float64.

    Each is uniform by itself, and together they spread, so that the mean of a loss over a batch varies less
    than with independent times (MDLM, arXiv:2406.07524, appendix C). The order is random because the rows of
    a batch are sorted by length.

    >>> sorted((stratified(4, torch.Generator()) * 4).ceil().tolist())
    [1.0, 2.0, 3.0, 4.0]
    """
    within = torch.rand(count, generator=generator, dtype=torch.float64)
    part = torch.randperm(count, generator=generator)
    return 1 - (part + within) / max(1, count)
