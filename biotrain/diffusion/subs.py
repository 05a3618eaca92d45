"""What stands behind a `<mask>`: never a special token (SUBS, arXiv:2406.07524, section 3.2.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from biodata.tokenizers.special import SPECIAL_TOKENS


def without_special(logits: Tensor) -> Tensor:
    """Logits [.., V] with `-inf` at the special tokens.

    >>> without_special(torch.zeros(8)).softmax(-1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]
    """
    special = torch.arange(logits.shape[-1], device=logits.device) < len(SPECIAL_TOKENS)
    return logits.masked_fill(special, -torch.inf)
