"""Hierarchical cross-entropy on the codon tree, or any other (`biotrain.losses.tree`).

Bertinetto et al. 2020 (arXiv:1912.09393, eq. 3-4) with HELM's tree and reading of the weight
(arXiv:2410.12459): for a leaf C with path root = C0, C1, ..., CH = C

    L = -sum_{d=1..H} w_d log( P(C_d) / P(C_{d-1}) ),     w_d = exp(-alpha d) [/ Z]

where d is the depth of the edge's lower end, P(C_d) the summed probability of the leaves below it, and Z, in
HELM's normalised form, the sum of exp(-alpha depth) over all nodes, the root included. Telescoped it needs
one log-probability per ancestor:

    L = -w_H log P(C) - sum_{d=1..H-1} (w_d - w_{d+1}) log P(C_d)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.losses.config import LossConfig
from biotrain.losses.tree import token_paths


class HierarchicalCrossEntropy(nn.Module):
    """Mean HXE over rows, in float32.

    Works on log-probabilities, each ancestor's by its own log-sum-exp, so extreme logits give finite losses
    and gradients (HELM's release returns 0 there).

    Args:
        paths: for each token by id, its nodes from below the root down to itself.
        alpha: decay of the weight with depth, 0 or more; 0 un-normalised is cross-entropy.
        normalize: divide by Z.
    """

    members: Tensor
    ancestor_weight: Tensor
    leaf_weight: Tensor

    def __init__(self, paths: Sequence[tuple[str, ...]], *, alpha: float, normalize: bool) -> None:
        super().__init__()
        weights = _edge_weights(paths, alpha=alpha, normalize=normalize)
        members, ancestors, leaves = _tables(paths, weights)
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("ancestor_weight", ancestors, persistent=False)
        self.register_buffer("leaf_weight", leaves, persistent=False)
        self.is_cross_entropy = alpha == 0 and not normalize

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to a scalar."""
        if self.is_cross_entropy:
            return F.cross_entropy(logits.float(), targets)
        log_p = F.log_softmax(logits.float(), dim=-1)
        below = log_p.unsqueeze(1).masked_fill(~self.members[targets], -math.inf)
        ancestors = torch.logsumexp(below, dim=-1)
        leaf = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        rows = self.leaf_weight[targets] * leaf + (self.ancestor_weight[targets] * ancestors).sum(-1)
        return -rows.mean()


def build(config: LossConfig, tokens: Sequence[str]) -> HierarchicalCrossEntropy:
    """HXE on the configured hierarchy, for ids in any order."""
    paths = token_paths(config, tokens)
    return HierarchicalCrossEntropy(paths, alpha=config.alpha, normalize=config.normalize)


def _edge_weights(paths: Sequence[tuple[str, ...]], *, alpha: float, normalize: bool) -> Mapping[int, float]:
    """Depth to w_d."""
    nodes = {path[:depth] for path in paths for depth in range(len(path) + 1)}
    z = sum(math.exp(-alpha * len(node)) for node in nodes) if normalize else 1.0
    deepest = max(map(len, paths))
    return {depth: math.exp(-alpha * depth) / z for depth in range(1, deepest + 1)}


def _tables(paths: Sequence[tuple[str, ...]], w: Mapping[int, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Per target: which leaves each ancestor holds [V, A, V], ancestors' weights [V, A], own weight [V].

    A target with fewer ancestors than the deepest has itself in the free places, with weight 0.
    """
    size, places = len(paths), max(map(len, paths)) - 1
    members = torch.eye(size, dtype=torch.bool).unsqueeze(1).repeat(1, places, 1)
    ancestors = torch.zeros(size, places, dtype=torch.float64)
    leaves = torch.tensor([w[len(path)] for path in paths], dtype=torch.float64)
    for target, path in enumerate(paths):
        for depth in range(1, len(path)):
            members[target, depth - 1] = torch.tensor([p[:depth] == path[:depth] for p in paths])
            ancestors[target, depth - 1] = w[depth] - w[depth + 1]
    return members, ancestors.float(), leaves.float()
