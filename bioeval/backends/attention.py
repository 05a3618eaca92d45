"""Attention weights of a model: which position looks at which, in every head of every layer.

Models of transformers give them where attention is computed step by step (`eager`). Of models that call
`scaled_dot_product_attention` themselves, as seqloom's own do, they are computed from what is passed to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.backends.checkpoint import Checkpoint
from bioeval.backends.units import spans_of
from bioeval.backends.windows import cut, padded

if TYPE_CHECKING:
    import torch


def attending_model(checkpoint: Checkpoint) -> Any:
    """A model that gives its attention weights where its kind can.

    Args:
        checkpoint: of the model.
    """
    model = checkpoint.load()
    try:
        model.set_attn_implementation("eager")
        model.config.output_attentions = True
    except (ValueError, AttributeError, NotImplementedError):
        pass  # a model without a choice: what it passes to torch is watched
    return model


def attention_of(model: Any, checkpoint: Checkpoint, sequence: str, *, width: int) -> np.ndarray:
    """float32 `[layers * heads, t, t]` of one sequence, special tokens left out.

    Args:
        model: of `attending_model`.
        checkpoint: tokenizer, context.
        sequence: letters.
        width: letters of a unit; every token must be one unit.

    Raises:
        ConfigError: the model has no attention weights, or its tokens are no units.
        DataError: a sequence longer than the context.
    """
    import torch

    name, content = checkpoint.name, checkpoint.tokens([sequence])
    units = [(at, min(at + width, len(sequence))) for at in range(0, len(sequence), width)]
    if spans_of(checkpoint, [sequence])[0] != units:
        what = "letter" if width == 1 else f"{width} letters"
        raise ConfigError(f"{name} makes {len(content[0])} tokens of {len(sequence)} letters, contacts from "
                          f"attention need one for each {what}: take --contacts embeddings")  # fmt: skip
    windows = cut(content, checkpoint.frame(sequence), checkpoint.limit)
    if len(windows) > 1:
        what = f"a sequence of {len(content[0])} tokens, {name} has a context of {checkpoint.limit}"
        hint = "attention needs it whole: leave such rows out or take --contacts embeddings"
        raise DataError(what, where=repr(sequence[:20]), hint=hint)
    ids, mask = (torch.from_numpy(a).to(checkpoint.device) for a in padded(windows, checkpoint.pad))
    watched: list[torch.Tensor] = []
    with torch.inference_mode(), _watch(watched):
        out = model(input_ids=ids, attention_mask=mask)
    maps = _of_tokens(getattr(out, "attentions", None) or (), ids.shape[1]) or _of_tokens(
        watched, ids.shape[1]
    )
    if not maps:
        kind = getattr(model.config, "model_type", "")
        raise ConfigError(f"{name} ({kind}) has no attention weights: take --contacts embeddings")
    inner = slice(windows[0].start, windows[0].end)
    return np.concatenate([found[0, :, inner, inner].float().cpu().numpy() for found in maps])


def _of_tokens(maps: Sequence[Any], tokens: int) -> list[Any]:
    """Those maps that are of all tokens; layers of another kind have none."""
    shape = (tokens, tokens)
    return [m for m in maps if m is not None and m.ndim == 4 and tuple(m.shape[-2:]) == shape]


def _watch(maps: list[torch.Tensor]) -> Any:
    """While it is entered, the weights of every attention that is asked of torch are added to `maps`."""
    from torch.nn.functional import scaled_dot_product_attention
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is scaled_dot_product_attention:
                maps.append(_weights(*args, **(kwargs or {})))
            return func(*args, **(kwargs or {}))

    return Watch()


def _weights(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """softmax(q k' scale + mask), as `scaled_dot_product_attention` defines it, `[b, heads, t, s]`."""
    import torch

    del value, dropout_p
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query.float() @ key.float().transpose(-1, -2) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    if attn_mask is not None:
        boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if boolean else scores + attn_mask
    return scores.softmax(-1).nan_to_num(0.0)  # a row that sees nothing
