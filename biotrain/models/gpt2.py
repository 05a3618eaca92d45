"""GPT-2 (Radford et al. 2019): a causal decoder, its weights interchangeable with transformers' own class."""

from __future__ import annotations

from biotrain.layers.transformer import Transformer


class GPT2(Transformer):
    """Each position sees itself and what is before it, so padding on the right never enters."""

    causal = True
