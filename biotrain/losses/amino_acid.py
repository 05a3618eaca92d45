"""Cross-entropy of the amino acid that a codon stands for, alone or added to that of the codon.

With S the codons of the target's group (its synonymous codons, the stops, or the token itself where it
stands alone) and p the softmax over the vocabulary,

    L_aa = -log sum_{j in S} p_j = lse(all logits) - lse(logits of S)

`aa_loss_add` is L_xe + L_aa; `aa_loss_only` is L_aa, which leaves the choice among synonyms untrained: its
models cannot rank synonymous codons. HELM (arXiv:2410.12459) names both; its release feeds probabilities to a
loss of logits, so its values differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biotrain.losses.config import LossConfig
from biotrain.losses.tree import token_paths


class AminoAcidLoss(nn.Module):
    """Mean over rows, in float32.

    Args:
        paths: for each token by id, its nodes; tokens with one parent are one group.
        with_codon: whether the cross-entropy of the token itself is added.
    """

    members: Tensor

    def __init__(self, paths: Sequence[tuple[str, ...]], *, with_codon: bool) -> None:
        super().__init__()
        members = torch.tensor([[a[:-1] == b[:-1] for b in paths] for a in paths])
        self.register_buffer("members", members, persistent=False)
        self.with_codon = with_codon

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to a scalar."""
        log_p = logits.float().log_softmax(-1)
        group = log_p.masked_fill(~self.members[targets], -math.inf).logsumexp(-1)
        if self.with_codon:
            group = group + log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        return -group.mean()


def build_add(config: LossConfig, tokens: Sequence[str]) -> AminoAcidLoss:
    """L_xe + L_aa."""
    return AminoAcidLoss(token_paths(config, tokens), with_codon=True)


def build_only(config: LossConfig, tokens: Sequence[str]) -> AminoAcidLoss:
    """L_aa."""
    return AminoAcidLoss(token_paths(config, tokens), with_codon=False)
