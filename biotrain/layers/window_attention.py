"""Attention to the nearest tokens: w before and with a token, two-sided also after it, in time w per token.

The sequence is cut into pieces of w tokens, each of which looks at itself and its neighbours.

Shapes: N sequences, H heads, L tokens, e width of a head, C pieces.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, *, window: int, real: Tensor | None, causal: bool, dropout: float = 0.0
) -> Tensor:
    """softmax(q k^T / sqrt(e)) v over the keys with 0 <= i - j < window, or |i - j| < window.

    Args:
        q: [N, H, L, e].
        k: the same.
        v: the same.
        window: w, 1 or more.
        real: [N, L], True at real tokens, `None` = all; only a two-sided one looks at it.
        causal: no later keys.
        dropout: share of weights set to 0.

    Returns:
        [N, H, L, e].
    """
    length, real = q.shape[2], None if causal else real
    if length <= 2 * window:
        places = torch.arange(length, device=q.device)
        seen = _near(places[:, None], places, window, causal)
        if real is not None:
            seen = seen & real[:, None, None] | (places[:, None] == places)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
    pieces = -(-length // window)
    seen = _seen(q, pieces, window, real=real, causal=causal)
    short = pieces * window - length
    q = F.pad(q, (0, 0, 0, short)).unflatten(2, (pieces, window)).transpose(1, 2).flatten(0, 1)
    k, v = (_with_neighbours(x, pieces, window, causal=causal) for x in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
    y = y.unflatten(0, (-1, pieces)).transpose(1, 2)
    return y.flatten(2, 3)[:, :, :length]


def window_step(q: Tensor, k: Tensor, v: Tensor, *, window: int) -> Tensor:
    """Causal, for t queries that are the last of S tokens.

    Args:
        q: [N, H, t, e].
        k: [N, H, S, e], those of a window before the first query at least, as far as there are any.
        v: the same.
        window: w.
    """
    new, total = q.shape[2], k.shape[2]
    places = torch.arange(total, device=q.device)
    seen = _near(places[total - new :, None], places, window, causal=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


def _near(queries: Tensor, keys: Tensor, window: int, causal: bool) -> Tensor:
    distance = queries - keys
    return (distance < window) & (distance >= 0 if causal else distance > -window)


def _with_neighbours(x: Tensor, pieces: int, window: int, *, causal: bool) -> Tensor:
    """[N, H, L, e] to the pieces with the one before and, two-sided, the one after: [N C, H, 2 or 3 w, e]."""
    after = 0 if causal else window
    x = F.pad(x, (0, 0, window, pieces * window - x.shape[2] + after))
    wide = x.unfold(2, 2 * window + after, window)  # [N, H, C, e, w's]
    return wide.permute(0, 2, 1, 4, 3).flatten(0, 1)


def _seen(q: Tensor, pieces: int, window: int, *, real: Tensor | None, causal: bool) -> Tensor:
    """Which keys are seen: [N C, 1, w, 2 or 3 w]; a query sees itself even where it is padding."""
    (n, _, length, _), device = q.shape, q.device
    first = torch.arange(pieces, device=device)[:, None] * window
    queries = first + torch.arange(window, device=device)
    keys = first - window + torch.arange((2 if causal else 3) * window, device=device)
    seen = _near(queries[..., None], keys[:, None], window, causal)
    itself = queries[..., None] == keys[:, None]
    known = ((keys >= 0) & (keys < length)).expand(n, -1, -1)
    if real is not None:
        known = known & real[:, keys.clamp(0, length - 1)]
    return (seen & known[:, :, None] | itself).flatten(0, 1)[:, None]
