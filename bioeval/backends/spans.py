"""Windows of what is longer than a model's context, for scores: every token is scored once, none is lost."""

from __future__ import annotations

from typing import NamedTuple

from biodata.errors import ConfigError


class Span(NamedTuple):
    """A window.

    Attributes:
        start: first token that the model sees.
        end: position after the last.
        first: first token that is scored here.
        last: position after the last of these.
    """

    start: int
    end: int
    first: int
    last: int


def stride_of(limit: int, stride: int) -> int:
    """New tokens of each window: `stride`, or half of the window.

    Raises:
        ConfigError: more than a window holds beside one token of context.
    """
    if stride > limit - 1:
        raise ConfigError(
            f"stride = {stride}, allowed: at most {limit - 1}, a window less one token of context"
        )
    return stride or max(1, limit // 2)


def after(n: int, limit: int | None, stride: int) -> list[Span]:
    """Windows whose scored tokens come last, behind the nearest `limit - stride` or more before them.

    The first window scores all it holds.

    Args:
        n: tokens, at least 1.
        limit: most tokens of a window, `None` for no limit.
        stride: new tokens of each window; 0 for half of it.

    >>> after(10, 4, 2)[:2], after(10, 4, 2)[-1]
    ([Span(start=0, end=4, first=0, last=4), Span(start=2, end=6, first=4, last=6)], \
Span(start=6, end=10, first=8, last=10))
    """
    if limit is None or n <= limit:
        return [Span(0, n, 0, n)]
    step, spans = stride_of(limit, stride), [Span(0, limit, 0, limit)]
    while (done := spans[-1].last) < n:
        end = min(done + step, n)
        spans.append(Span(end - limit, end, done, end))
    return spans


def around(n: int, limit: int | None, stride: int) -> list[Span]:
    """Windows whose scored tokens lie in the middle, with as much context on both sides as there is.

    Args:
        n: tokens, at least 1.
        limit: most tokens of a window, `None` for no limit.
        stride: scored tokens of each window; 0 for half of it.

    >>> around(9, 4, 2)[1:3]
    [Span(start=1, end=5, first=2, last=4), Span(start=3, end=7, first=4, last=6)]
    """
    if limit is None or n <= limit:
        return [Span(0, n, 0, n)]
    step = min(stride_of(limit, stride), limit)
    spans = []
    for first in range(0, n, step):
        last = min(first + step, n)
        start = min(max(0, (first + last - limit) // 2), n - limit)
        spans.append(Span(start, start + limit, first, last))
    return spans
