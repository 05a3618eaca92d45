"""HELM's probe on token embeddings: TextCNN (Kim 2014, arXiv:1408.5882; geometry of HELM, arXiv:2410.12459).

Linear D to 2 D, convolutions of width 3, 4 and 5 with 100 filters each, ReLU, the largest value over the
sequence, dropout 0.2, linear. Windows that reach into the padding never count. For single positions nothing
is pooled: the same filters lie around each position, and beyond the ends of a sequence stand zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from bioeval.probes.token_probe import TokenProbe
from bioeval.probes.torch_fit import Schedule
from bioeval.protocols import Fitted, Part

WIDTHS = (3, 4, 5)
FILTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCNN:
    """Convolutions on token embeddings.

    Attributes:
        rates: learning rates tried, rising.
        schedule: of every fit.
    """

    reads: ClassVar[Literal["tokens"]] = "tokens"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    positions: ClassVar[bool] = True
    rates: tuple[float, ...] = (1e-4, 1e-3)
    schedule: Schedule = field(default_factory=lambda: Schedule(patience=15))

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every rate on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        probe = TokenProbe(
            name="textcnn", make=_module, grid={"rate": self.rates}, schedule=self.schedule, least=max(WIDTHS)
        )
        return probe.fit(train, validation, metric=metric, seed=seed)


def _module(width: int, positions: bool) -> Any:
    import torch
    from torch import nn

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wider = nn.Linear(width, 2 * width)
            self.filters = nn.ModuleList(nn.Conv1d(2 * width, FILTERS, k) for k in WIDTHS)
            self.dropout = nn.Dropout(0.2)
            self.size = FILTERS * len(WIDTHS)

        def forward(self, x: Any, lengths: Any) -> Any:
            hidden = self.wider(x)
            real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
            hidden = (hidden * real[..., None]).transpose(1, 2)
            kernels = list(zip(self.filters, WIDTHS))
            if positions:
                around = [conv(nn.functional.pad(hidden, ((k - 1) // 2, k // 2))) for conv, k in kernels]
                return self.dropout(torch.cat(around, dim=1).relu().transpose(1, 2))
            pooled = [self._largest(conv(hidden).relu(), lengths, k) for conv, k in kernels]
            return self.dropout(torch.cat(pooled, dim=1))

        def _largest(self, found: Any, lengths: Any, k: int) -> Any:
            inside = (lengths - k + 1).clamp(min=1)  # a row shorter than the filter has one window
            real = torch.arange(found.shape[2], device=found.device) < inside[:, None]
            return found.masked_fill(~real[:, None], 0).amax(2)  # after ReLU nothing is below 0

    return Module()
