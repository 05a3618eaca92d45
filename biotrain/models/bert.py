"""The two-directional form of the same stack (HELM's masked language model, arXiv:2410.12459).

It is GPT-2's pre-norm block with attention to both sides, not Google's post-norm BERT.
"""

from __future__ import annotations

from biotrain.layers.transformer import Transformer


class Bert(Transformer):
    """Each position sees every token of its sequence; padding is masked out of the attention."""

    causal = False
