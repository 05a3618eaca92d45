"""What every block of one forward pass looks at besides the hidden states.

Shapes: B sequences, T tokens, H heads, S tokens seen by attention (T and what a cache holds).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from biotrain.layers.cache import Cache, States
from biotrain.layers.documents import Documents, find_documents
from biotrain.layers.positions import Rope, alibi_bias, places_in_documents, relative_bias, rope_table
from biotrain.layers.routing import Routing
from biotrain.layers.spans import Spans, find_spans
from biotrain.models.config import ModelConfig


class Scene(NamedTuple):
    """Made once per forward pass.

    Attributes:
        places: [T] or [B, T] of the tokens in their sequence or document.
        is_causal: each position sees itself and what is before it, and nothing else is to be known.
        bias: otherwise, [.., T, S]: True or a number to add where a key may be seen; `None` = everywhere.
        rope: `None` for other positions.
        cache: keys and values of what came before.
        routing: what the routers did, where that is asked for.
        real: [B, T], True at real tokens; `None` when there is no padding.
        documents: of packed rows, for layers other than attention (`Architecture.attends`).
        states: what such layers remember of what came before.
        spans: where packed documents lie, for attention within each; then `bias` is not needed.
    """

    places: Tensor
    is_causal: bool
    bias: Tensor | None
    rope: Rope | None
    cache: Cache | None
    routing: Routing | None
    real: Tensor | None
    documents: Documents | None = None
    states: States | None = None
    spans: Spans | None = None


def make_scene(
    config: ModelConfig,
    ids: Tensor,
    *,
    mask: Tensor | None,
    documents: Tensor | None,
    cache: Cache | States | None,
    routing: Routing | None,
    table: Tensor | None = None,
) -> Scene:
    """See `Transformer.hidden` for the arguments; `table` [RELATIVE_BUCKETS, H] holds relative biases."""
    start = 0 if cache is None else cache.length
    places = torch.arange(start, start + ids.shape[1], device=ids.device)
    if documents is not None:
        places = places_in_documents(documents)
    rope = None
    if config.position == "rope":
        rope = rope_table(places, width=config.head_width, base=config.rope_base or 0)
    if not config.architecture.attends:
        apart = None if documents is None else find_documents(documents, mask)
        states = cache if isinstance(cache, States) else None
        causal = not config.bidirectional
        return Scene(places, causal, None, rope, None, routing, mask, documents=apart, states=states)
    assert not isinstance(cache, States)
    if documents is not None and cache is None:
        spans = find_spans(config, documents, mask)
        if spans is not None:
            return Scene(places, spans.causal, None, rope, None, routing, mask, spans=spans)
    is_causal, bias = not config.bidirectional, None
    if is_causal and (documents is not None or config.position == "alibi" or start):
        is_causal, bias = False, _future(start, ids)
    if mask is not None and (config.bidirectional or documents is not None):
        bias = _both(bias, mask[:, None, None, :])
    if documents is not None:
        bias = _both(bias, (documents[:, :, None] == documents[:, None, :])[:, None])
    if config.position == "alibi":
        every = torch.arange(start + ids.shape[1], device=ids.device)
        slopes = alibi_bias(every, heads=config.heads, new=ids.shape[1])
        bias = slopes if bias is None else slopes.masked_fill(~bias, -torch.inf)
    if table is not None:
        added = relative_bias(torch.arange(ids.shape[1], device=ids.device), table)
        bias = added if bias is None else added.masked_fill(~bias, -torch.inf)
    return Scene(places, is_causal, bias, rope, cache, routing, mask)


def _future(start: int, ids: Tensor) -> Tensor | None:
    """[T, S], True where a key is not later than the query; `None` for a single query, which sees all."""
    if ids.shape[1] == 1:
        return None
    places = torch.arange(start + ids.shape[1], device=ids.device)
    return places <= places[start:, None]


def _both(bias: Tensor | None, other: Tensor) -> Tensor:
    return other if bias is None else bias & other
