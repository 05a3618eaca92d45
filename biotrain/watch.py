"""What validations have shown so far: when to cut the learning rate, when to stop. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 1e-4
"""Share of the best loss by which a new one must be lower (as torch's `ReduceLROnPlateau`)."""


@dataclass(kw_only=True, slots=True)
class Watch:
    """State of plateau and early stop; part of every checkpoint.

    Attributes:
        best: lowest validation loss; `None` before the first.
        stale: validations since.
        waiting: validations since the best one or the last cut.
        scale: product of all cuts.
    """

    best: float | None = None
    stale: int = 0
    waiting: int = 0
    scale: float = 1.0

    def see(self, loss: float, *, patience: int, rate: float) -> None:
        """Takes in a validation.

        Args:
            loss: its loss, nats.
            patience: validations without gain before a cut.
            rate: factor of a cut, 1 for none.
        """
        gained = self.best is None or loss < self.best * (1.0 - GAIN)
        if gained:
            self.best = loss
        self.stale, self.waiting = (0, 0) if gained else (self.stale + 1, self.waiting + 1)
        if self.waiting > patience:
            self.scale, self.waiting = self.scale * rate, 0
