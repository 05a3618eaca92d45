"""The exponential moving average of the weights, on the model's device or on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """a = d a + (1 - d) w after every step, with d = min(decay, (1 + t) / (10 + t)) at step t.

    The smaller d of the first steps keeps the random start out of the average. Buffers are not averaged.

    Args:
        model: whose parameters are followed.
        decay: 0 to below 1; 0.9998 averages about the last 5000 steps.
        on_cpu: keep the average in main memory; a step then waits for the copy.
    """

    def __init__(self, model: nn.Module, *, decay: float, on_cpu: bool = False) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        device = torch.device("cpu") if on_cpu else None
        self.average: dict[str, Tensor] = {
            name: p.detach().to(device or p.device, copy=True) for name, p in self._parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after a step, 1-based."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages = list(self.average.values())
        now = [p.detach().to(a.device) for p, a in zip(self._parameters.values(), averages)]
        torch._foreach_lerp_(averages, now, 1.0 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While this block runs, the model has the averaged weights; afterwards its own, to the bit."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._copy(self.average)
        try:
            yield
        finally:
            self._copy(kept)

    @torch.no_grad()
    def _copy(self, weights: dict[str, Tensor]) -> None:
        for name, p in self._parameters.items():
            p.copy_(weights[name])
