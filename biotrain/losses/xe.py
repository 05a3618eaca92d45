"""Cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.losses.config import LossConfig


class CrossEntropy(nn.Module):
    """-log p(target) in nats, mean over the rows, computed in float32 whatever the logits are."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to a scalar."""
        return F.cross_entropy(logits.float(), targets)


def build(config: LossConfig, tokens: Sequence[str]) -> CrossEntropy:
    """Cross-entropy fits every vocabulary and has no settings."""
    return CrossEntropy()
