"""Which windows a model reads to score a sequence, and what is looked at in each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from biodata.errors import ConfigError
from biodata.schema import checksum
from bioeval.backends.passes import Pass
from bioeval.backends.spans import after, around, stride_of
from bioeval.backends.windows import Frame

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How sequences are laid out before a model.

    Attributes:
        frame: special tokens around each; the suffix is scored by `causal_passes` alone.
        limit: most tokens of a window, specials included; `None` for no limit.
        stride: new tokens of each window of a long sequence; 0 for half of it.
        special: ids that `bound_passes` never hides.
        samples: passes of `bound_passes`.
        seed: of what these hide.
    """

    frame: Frame
    limit: int | None
    stride: int
    special: frozenset[int] = frozenset()
    samples: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None:
            if self.limit <= self.frame.size + 1:
                specials = f"{self.frame.size} special tokens"
                raise ConfigError(f"windows of {self.limit} tokens leave too little room beside {specials}")
            stride_of(self.limit - self.frame.size, self.stride)

    @property
    def room(self) -> int | None:
        """Tokens of a window that are no specials."""
        return None if self.limit is None else self.limit - self.frame.size

    def framed(self, content: np.ndarray) -> np.ndarray:
        """With the specials around."""
        return np.concatenate((self.frame.prefix, content, self.frame.suffix)).astype(np.int64)


Plan: TypeAlias = Callable[[int, Sequence[int], Layout], list[Pass]]


def causal_passes(owner: int, content: Sequence[int], layout: Layout) -> list[Pass]:
    """Every token but the prefix, from the output at the token before; a very first token has none.

    Args:
        owner: number of the sequence.
        content: its tokens.
        layout: prefix and suffix are part of the sequence and not repeated in later windows.
    """
    ids = layout.framed(np.asarray(content))
    passes = []
    for start, end, first, last in after(len(ids), layout.limit, layout.stride):
        places = np.arange(max(first, len(layout.frame.prefix), 1), last)
        passes.append(Pass(owner, ids[start:end], _NONE, places - 1 - start, ids[places]))
    return passes


def seen_passes(owner: int, content: Sequence[int], layout: Layout) -> list[Pass]:
    """Every token, seen, in the window that has most around it.

    Args:
        owner: number of the sequence.
        content: its tokens.
        layout: each window has the frame.
    """
    ids, offset = np.asarray(content, dtype=np.int64), len(layout.frame.prefix)
    passes = []
    for start, end, first, last in around(len(ids), layout.room, layout.stride):
        places = np.arange(first, last)
        window = layout.framed(ids[start:end])
        passes.append(Pass(owner, window, _NONE, places - start + offset, ids[places]))
    return passes


def masked_passes(
    owner: int, content: Sequence[int], layout: Layout, *, only: Collection[int] | None = None
) -> list[Pass]:
    """Every token, hidden by itself: a pass each.

    Args:
        owner: number of the sequence.
        content: its tokens.
        layout: each window has the frame.
        only: numbers of the tokens that are wanted; `None` for all.
    """
    number, passes = 0, []  # windows hold the tokens in order
    for one in seen_passes(owner, content, layout):
        for place, target in zip(one.places[:, None], one.targets[:, None]):
            if only is None or number in only:
                passes.append(one._replace(hidden=place, places=place, targets=target))
            number += 1
    return passes


def ordinary_passes(owner: int, content: Sequence[int], layout: Layout) -> list[Pass]:
    """`masked_passes` of the tokens that are not special: of models that predict no others.

    Args:
        owner: number of the sequence.
        content: its tokens.
        layout: says which are special.
    """
    only = {number for number, token in enumerate(content) if token not in layout.special}
    return masked_passes(owner, content, layout, only=only)


def bound_passes(owner: int, content: Sequence[int], layout: Layout) -> list[Pass]:
    """`samples` passes of each window; each hides some of the window's new tokens and looks at these.

    Their mean, weighted, is the bound. What is hidden depends on the seed and the tokens alone.

    Args:
        owner: number of the sequence.
        content: its tokens.
        layout: each window has the frame, and what stands before its new tokens is seen.
    """
    ids, offset = np.asarray(content, dtype=np.int64), len(layout.frame.prefix)
    random = np.random.default_rng([layout.seed, int(checksum(ids.tobytes()), 16)])
    passes = []
    for start, end, first, last in after(len(ids), layout.room, layout.stride):
        window = layout.framed(ids[start:end])
        able = np.arange(first, last)[~np.isin(ids[first:last], list(layout.special))] - start + offset
        times = (random.permutation(layout.samples) + random.random(layout.samples)) / layout.samples
        for count in np.ceil(times * len(able)).astype(int).clip(1) if len(able) else ():
            hidden = np.sort(random.choice(able, size=count, replace=False))
            passes.append(Pass(owner, window, hidden, hidden, window[hidden], len(able) / count))
    return passes
