"""Attention within each document of packed rows, so that nothing is computed between documents.

On the CPU document by document; on a GPU by torch's kernel for sequences of any length (FlashAttention,
arXiv:2307.08691), which takes half precision only. What neither serves has a mask of T x T instead.

Shapes: B rows, T tokens, N = B T, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.models.config import ModelConfig

_MULTIPLE = 8
"""Of which the width of a head must be one for the kernel on GPUs."""


class Spans(NamedTuple):
    """Where the documents of packed rows lie among all N tokens; padding is a document of its own.

    Attributes:
        sizes: tokens of each document, on the CPU; empty on a GPU.
        bounds: where each begins, and N: int32 [documents + 1].
        longest: tokens of the longest.
        causal: whether a token sees only what comes before it in its document.
    """

    sizes: list[int]
    bounds: Tensor
    longest: int
    causal: bool


def find_spans(config: ModelConfig, documents: Tensor, mask: Tensor | None) -> Spans | None:
    """The documents of a batch, or `None` where attention must be told by a mask which tokens see which.

    Args:
        config: of the model.
        documents: [B, T] numbers, equal for neighbours of one document.
        mask: [B, T], True at real tokens; `None` = all.
    """
    on_cpu = documents.device.type == "cpu"
    if config.position in ("alibi", "relative") or not (on_cpu or _kernel_serves(config, documents.device)):
        return None
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    if mask is not None:
        begins[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    starts = begins.flatten().nonzero().squeeze(1)
    bounds = torch.cat((starts, starts.new_tensor([documents.numel()])))
    sizes = bounds.diff()
    return Spans(
        sizes=sizes.tolist() if on_cpu else [],
        bounds=bounds.to(torch.int32),
        longest=int(sizes.max()),
        causal=not config.bidirectional,
    )


def attention_in_spans(
    q: Tensor, k: Tensor, v: Tensor, spans: Spans, *, dropout: float, scale: float | None
) -> Tensor:
    """softmax(q k^T x scale) v within each document.

    Args:
        q: [B, T, H, d].
        k: [B, T, G, d], as `v`.
        v: as `k`.
        spans: of the documents.
        dropout: probability, 0 on a GPU.
        scale: of the scores; `None` = 1 / sqrt(d).

    Returns:
        [B, T, H d].
    """
    grouped = q.shape[2] != k.shape[2]
    flat = [x.flatten(0, 1) for x in (q, k, v)]
    if spans.sizes:
        pieces = zip(*(x.split(spans.sizes) for x in flat))
        y = torch.cat([
            F.scaled_dot_product_attention(
                *(x.transpose(0, 1)[None] for x in piece), dropout_p=dropout,
                is_causal=spans.causal and len(piece[0]) > 1, scale=scale, enable_gqa=grouped,
            )[0].transpose(0, 1)
            for piece in pieces
        ])  # fmt: skip
    else:
        from torch.nn.attention.varlen import varlen_attn

        bounds, longest = spans.bounds, spans.longest
        y = varlen_attn(
            flat[0], flat[1], flat[2], bounds, bounds, longest, longest, scale=scale,
            window_size=(-1, 0 if spans.causal else -1), enable_gqa=grouped,
        )  # fmt: skip
        assert isinstance(y, Tensor)
    return y.reshape(*q.shape[:2], -1)


def _kernel_serves(config: ModelConfig, device: torch.device) -> bool:
    half = torch.is_autocast_enabled(device.type)
    return device.type == "cuda" and half and not config.attention_drop and config.head_width % _MULTIPLE == 0
