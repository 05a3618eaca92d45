"""Light attention (Stärk et al. 2021, doi:10.1093/bioadv/vbab035, section 2.3).

Two convolutions of width 9 make values v and attention coefficients a of every token; pooled is
sum_t softmax_t(a) v beside max_t v, then a two-layer perceptron of width 32. Padding has no attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from bioeval.probes.token_probe import TokenProbe
from bioeval.probes.torch_fit import Schedule
from bioeval.protocols import Fitted, Part

WIDTH = 9
HIDDEN = 32
DROPOUT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class LightAttention:
    """Attention over token embeddings that is learned per feature.

    Attributes:
        rates: learning rates tried, rising.
        schedule: of every fit.
    """

    reads: ClassVar[Literal["tokens"]] = "tokens"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    positions: ClassVar[bool] = False  # what it learns is how to make one vector of them
    rates: tuple[float, ...] = (1e-4, 1e-3)
    schedule: Schedule = field(default_factory=Schedule)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every rate on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        probe = TokenProbe(
            name="light-attention", make=_module, grid={"rate": self.rates}, schedule=self.schedule
        )
        return probe.fit(train, validation, metric=metric, seed=seed)


def _module(width: int, positions: bool) -> Any:
    import torch
    from torch import nn

    assert not positions

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.Conv1d(width, width, WIDTH, padding=WIDTH // 2)
            self.attention = nn.Conv1d(width, width, WIDTH, padding=WIDTH // 2)
            self.dropout = nn.Dropout(DROPOUT)
            self.hidden = nn.Sequential(
                nn.Linear(2 * width, HIDDEN), nn.Dropout(DROPOUT), nn.ReLU(), nn.BatchNorm1d(HIDDEN)
            )
            self.size = HIDDEN

        def forward(self, x: Any, lengths: Any) -> Any:
            x = x.transpose(1, 2)
            padding = torch.arange(x.shape[2], device=x.device) >= lengths[:, None]
            values = self.dropout(self.values(x))
            weights = self.attention(x).masked_fill(padding[:, None], -torch.inf).softmax(2)
            largest = values.masked_fill(padding[:, None], -torch.inf).amax(2)
            return self.hidden(torch.cat([(values * weights).sum(2), largest], dim=1))

    return Module()
