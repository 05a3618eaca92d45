"""Places of parts in texts, as pairs of columns: first position and the one after the last, or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import polars as pl

Span: TypeAlias = "tuple[pl.Series, pl.Series]"

_GAPS = (".", "-")


def without_gaps(texts: pl.Series) -> pl.Series:
    """The letters without `.` and `-`; an empty text is none.

    >>> without_gaps(pl.Series(["A..C-G", "..", None])).to_list()
    ['ACG', None, None]
    """
    bare = texts
    for gap in _GAPS:
        if texts.str.contains(gap, literal=True).any():
            bare = bare.str.replace_all(gap, "", literal=True)
    empty = bare.str.len_bytes() == 0
    return bare.set(empty, None) if empty.any() else bare


def find(texts: pl.Series, parts: pl.Series, begin: pl.Series | None = None) -> pl.Series:
    """First position of each part in its text, from `begin` on; null where it is not there.

    Args:
        texts: what is searched, one for each row.
        parts: what is looked for in each; null or empty is found nowhere.
        begin: first position allowed in each text, 0-based; null counts as 0.

    >>> find(pl.Series(["xABAB", "AB"]), pl.Series(["AB", "C"]), pl.Series([2, 0])).to_list()
    [3, None]
    """
    if parts.null_count() == len(parts):
        return unknown(len(parts))
    if begin is None:
        place = pl.DataFrame({"text": texts, "part": parts}).select(
            pl.when(pl.col("part").str.len_bytes() > 0).then(
                pl.col("text").str.find(pl.col("part"), literal=True).cast(pl.Int64)
            )
        )
        return place.to_series()
    begin = begin.fill_null(0)
    frame = pl.DataFrame({"text": texts, "part": parts, "begin": begin})
    rest = pl.col("text").str.slice(pl.col("begin"))
    place = rest.str.find(pl.col("part"), literal=True).cast(pl.Int64) + pl.col("begin")
    return frame.select(pl.when(pl.col("part").str.len_bytes() > 0).then(place))["text"]


def shifted(spans: Mapping[str, Span], by: pl.Series, lengths: pl.Series) -> dict[str, Span]:
    """Regions on sequences that were cut at their beginning (by so many letters) and end (to this length).

    Args:
        spans: region name to first position and the one after the last, of every row; null where unknown.
        by: letters cut off at the beginning of each row.
        lengths: letters left of each row.
    """
    out = {}
    for name, (start, end) in spans.items():
        frame = pl.DataFrame({"start": start - by, "end": end - by, "most": lengths})
        inside = frame.select(
            start=pl.max_horizontal("start", pl.lit(0)), end=pl.min_horizontal("end", "most"),
            known=pl.col("start").is_not_null() & pl.col("end").is_not_null(),
        )  # fmt: skip
        keep = (inside["known"] & (inside["start"] < inside["end"])).fill_null(value=False)
        out[name] = (inside["start"].set(~keep, None), inside["end"].set(~keep, None))
    return out


def as_residues(known: Span, letters: Span | None, frames: pl.Series, good: pl.Series) -> Span:
    """A region of residues, where unknown that of whole codons of nucleotides.

    Args:
        known: positions in residues, null where unknown.
        letters: positions in nucleotides, None if no row has any.
        frames: nucleotides before the first whole codon, 0 to 2.
        good: whether a row could be translated.
    """
    if letters is None:
        return known
    start = ((letters[0] - frames + 2) // 3).set(~good.fill_null(value=False), None)
    end = ((letters[1] - frames) // 3).set(~good.fill_null(value=False), None)
    inside = (start < end).fill_null(value=False) & known[0].is_null()
    work = pl.DataFrame({"a": known[0].cast(pl.Int64), "b": known[1].cast(pl.Int64),
                         "c": start.set(~inside, None), "d": end.set(~inside, None)})  # fmt: skip
    out = work.select(a=pl.coalesce("a", "c"), b=pl.coalesce("b", "d"))
    return out["a"], out["b"]


def inside_junction(texts: pl.Series, anchor: int) -> dict[str, Span]:
    """CDR3: the junction without its two anchor residues, `anchor` letters each."""
    ends = texts.str.len_bytes().cast(pl.Int64) - anchor
    start = pl.Series([anchor]).new_from_index(0, len(texts))
    return {"CDR3": (start.set(ends <= anchor, None), ends)}


def first_known(*spans: Span | None) -> Span:
    """Row by row the first span that is known."""
    known = [span for span in spans if span is not None and span[0].null_count() < len(span[0])]
    if not known:
        return next(span for span in spans if span is not None)
    if len(known) == 1 or not known[0][0].null_count() + known[0][1].null_count():
        return known[0]
    work = pl.DataFrame({f"{side}{i}": span[j].cast(pl.Int64) for i, span in enumerate(known)
                         for j, side in enumerate("ab")})  # fmt: skip
    both = [pl.col(f"a{i}").is_not_null() & pl.col(f"b{i}").is_not_null() for i in range(len(known))]
    pick = [[pl.when(ok).then(pl.col(f"{side}{i}")) for i, ok in enumerate(both)] for side in "ab"]
    out = work.select(a=pl.coalesce(pick[0]), b=pl.coalesce(pick[1]))
    return out["a"], out["b"]


def within(span: Span, texts: pl.Series) -> Span:
    """The places that lie in their texts; null where they do not."""
    start, end = span
    good = ((start >= 0) & (start < end) & (end <= texts.str.len_bytes().cast(pl.Int64))).fill_null(
        value=False
    )
    return start.set(~good, None), end.set(~good, None)


def unknown(n: int) -> pl.Series:
    """So many nulls."""
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, n)
