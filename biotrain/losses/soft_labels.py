"""Soft labels on a hierarchy (Bertinetto et al. 2020, arXiv:1912.09393, eq. 5-6; HELM, arXiv:2410.12459).

    y_j(C) = exp(-beta d(C, j)) / sum_k exp(-beta d(C, k)),     L = KL(y(C) || p) = sum_j y_j log(y_j / p_j)

d(C, j) is the height of the lowest common ancestor over that of the tree, (H - depth(LCA)) / H, and 0 for the
target itself (HELM's release gives it the largest distance, so its true codon is never the likeliest). A
HIGHER beta is HARDER: at beta 30 the target is all but one-hot, at beta 5 it holds 15 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from biotrain.losses.config import LossConfig
from biotrain.losses.tree import token_paths


class SoftLabels(nn.Module):
    """Mean KL divergence over rows, in nats and float32.

    Args:
        paths: for each token by id, its nodes from below the root down to itself.
        beta: hardness, over 0.
    """

    labels: Tensor
    negative_entropy: Tensor

    def __init__(self, paths: Sequence[tuple[str, ...]], *, beta: float) -> None:
        super().__init__()
        labels = (-beta * _distances(paths)).softmax(-1)
        entropy = torch.special.entr(labels).sum(-1)
        self.register_buffer("labels", labels.float(), persistent=False)
        self.register_buffer("negative_entropy", -entropy.float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to a scalar."""
        log_p = logits.float().log_softmax(-1)
        return (self.negative_entropy[targets] - (self.labels[targets] * log_p).sum(-1)).mean()


def build(config: LossConfig, tokens: Sequence[str]) -> SoftLabels:
    """Soft labels on the configured hierarchy."""
    return SoftLabels(token_paths(config, tokens), beta=config.beta)


def _distances(paths: Sequence[tuple[str, ...]]) -> Tensor:
    """[V, V] float64: height of the lowest common ancestor over the tree's height; 0 on the diagonal."""
    height = max(map(len, paths))
    rows = [[0.0 if a == b else (height - _shared(a, b)) / height for b in paths] for a in paths]
    return torch.tensor(rows, dtype=torch.float64)


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Depth of the lowest common ancestor."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b)))
