"""Where the regions of a rearrangement are: framework and CDR, V, D, J and C, on the sequence given out.

Coordinates in: AIRR, 1-based and closed, on the read (https://docs.airr-community.org, Rearrangement schema).
Coordinates out: 0-based and half-open. A place is taken from coordinates where the letters agree with the
text of the region, else from the text itself, else from IMGT gaps (doi:10.1016/S0145-305X(02)00039-3, unique
numbering: FR1 1-26, CDR1 27-38, FR2 39-55, CDR2 56-65, FR3 66-104). A region that is not found is counted
(`region-not-located`), never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.curate.spans import Span, find, first_known, unknown, within, without_gaps

FRAMEWORK = {"FR1": "fwr1", "CDR1": "cdr1", "FR2": "fwr2", "CDR2": "cdr2", "FR3": "fwr3", "CDR3": "cdr3",
             "FR4": "fwr4"}  # fmt: skip
"""Name of a feature to the AIRR column of its letters, in the order along the chain."""
SEGMENTS = {"V": "v", "D": "d", "J": "j", "C": "c"}
IMGT_ENDS = {"FR1": 78, "CDR1": 114, "FR2": 165, "CDR2": 195, "FR3": 312}
"""Ends of the regions in nucleotides of the IMGT unique numbering, gaps included."""


def column(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column of texts, or nulls where the table has none."""
    if name in frame.columns:
        return frame[name]
    return pl.Series(name, [None], dtype=pl.String).new_from_index(0, frame.height)


def whole_number(texts: pl.Series) -> pl.Series:
    """Numbers from texts; OAS writes `1.0` for 1.

    >>> whole_number(pl.Series(["1.0", "x", None])).to_list()
    [1, None, None]
    """
    return texts.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)


def nucleotide_regions(
    frame: pl.DataFrame, texts: pl.Series, offset: pl.Series, log: RuleLog
) -> dict[str, Span]:
    """Regions of nucleotide sequences.

    Args:
        frame: columns of AIRR, gaps included, and `vdj`, the alignment without gaps.
        texts: the sequences given out.
        offset: where each begins on the read, 0-based; null where unknown.
        log: takes `region-not-located`.
    """
    spans: dict[str, Span] = {}
    asked = found = 0
    begin = None
    by_gaps = _imgt_regions(frame, find(texts, frame["vdj"]))
    junction = find(texts, column(frame, "junction"))
    for name, key in FRAMEWORK.items():
        letters = without_gaps(column(frame, key))
        span = _by_coordinates(frame, key, texts, offset, letters)
        at = find(texts, letters, begin)
        if name == "CDR3":
            width = column(frame, "junction").str.len_bytes().cast(pl.Int64)
            inside = (junction + 3, junction + width - 3)
            span = first_known(span, (at, at + letters.str.len_bytes()), inside)
        else:
            span = first_known(span, (at, at + letters.str.len_bytes()), by_gaps.get(name))
        spans[name] = within(span, texts)
        begin = spans[name][1] if begin is None else pl.select(pl.coalesce(spans[name][1], begin)).to_series()
        wanted = letters.is_not_null()
        asked, found = asked + int(wanted.sum()), found + int((wanted & spans[name][0].is_not_null()).sum())
    for name, key in SEGMENTS.items():
        spans[name] = within(_by_coordinates(frame, key + "_sequence", texts, offset, None), texts)
        wanted = column(frame, f"{key}_sequence_start").is_not_null()
        asked, found = asked + int(wanted.sum()), found + int((wanted & spans[name][0].is_not_null()).sum())
    # FR4 is what J adds to the junction: from the end of CDR3 to the end of J
    spans["FR4"] = within(first_known(spans["FR4"], (spans["CDR3"][1], spans["J"][1])), texts)
    spans["C"] = _constant(frame, texts, spans)
    if asked > found:
        log.change("region-not-located", asked - found)
    return spans


def protein_regions(frame: pl.DataFrame, texts: pl.Series, log: RuleLog) -> dict[str, Span]:
    """Regions of proteins, by the columns `fwr1_aa`, `cdr1_aa`, ... and `v_sequence_alignment_aa`, ....

    Args:
        frame: rows of an AIRR or OAS table, of which only the columns that are there are looked at.
        texts: the protein of each row.
        log: counts regions that are not in their protein.
    """
    spans: dict[str, Span] = {}
    missing = 0
    begin = None
    junction_letters = column(frame, "junction_aa")
    junction = find(texts, junction_letters)
    inside = (junction + 1, junction + junction_letters.str.len_bytes().cast(pl.Int64) - 1)
    keys = {**{n: f"{k}_aa" for n, k in FRAMEWORK.items()},
            **{n: f"{k}_sequence_alignment_aa" for n, k in SEGMENTS.items()}}  # fmt: skip
    for name, key in keys.items():
        letters = without_gaps(column(frame, key))
        at = find(texts, letters, begin if name in FRAMEWORK else None)
        span = first_known((at, at + letters.str.len_bytes()), inside if name == "CDR3" else None)
        spans[name] = within(span, texts)
        if name in FRAMEWORK:
            end = spans[name][1]
            begin = end if begin is None else pl.select(pl.coalesce(end, begin)).to_series()
        missing += int((letters.is_not_null() & spans[name][0].is_null()).sum())
    if missing:
        log.change("region-not-located", missing)
    return spans


def vdj_letters(frame: pl.DataFrame) -> pl.Series:
    """The alignment without gaps, or the read from the first base of V to the last of J."""
    letters = without_gaps(column(frame, "sequence_alignment"))
    if "sequence" not in frame.columns or not letters.null_count():
        return letters
    start = whole_number(column(frame, "v_sequence_start")) - 1
    width = whole_number(column(frame, "j_sequence_end")) - start
    work = pl.DataFrame({"letters": letters, "read": frame["sequence"], "start": start, "width": width})
    inside = (pl.col("start") >= 0) & (pl.col("width") > 0)
    cut = pl.when(inside).then(pl.col("read").str.slice(pl.col("start"), pl.col("width").clip(0)))
    return work.select(pl.coalesce("letters", cut)).to_series()


def _by_coordinates(
    frame: pl.DataFrame, key: str, texts: pl.Series, offset: pl.Series, letters: pl.Series | None
) -> Span:
    if column(frame, f"{key}_start").null_count() == frame.height:
        return unknown(frame.height), unknown(frame.height)
    start = whole_number(column(frame, f"{key}_start")) - 1 - offset
    end = whole_number(column(frame, f"{key}_end")) - offset
    if letters is None:
        return start, end
    work = pl.DataFrame({"t": texts, "a": start, "n": end - start, "letters": letters})
    same = work.select(
        pl.col("letters").is_null()
        | (pl.col("t").str.slice(pl.col("a"), pl.col("n").clip(0)) == pl.col("letters"))
    ).to_series().fill_null(value=False)  # fmt: skip
    return start.set(~same, None), end.set(~same, None)


def _imgt_regions(frame: pl.DataFrame, vdj_at: pl.Series) -> dict[str, Span]:
    """Regions by the gaps of an alignment in IMGT numbering, where the junction confirms it."""
    gapped = column(frame, "sequence_alignment")
    has_gaps = gapped.str.contains(".", literal=True)
    if not has_gaps.any():
        return {}
    ends = dict(zip(IMGT_ENDS, _letters_before(gapped, tuple(IMGT_ENDS.values()))))
    anchor = find(frame["vdj"], column(frame, "junction")) + 3
    good = (has_gaps & (ends["FR3"] == anchor)).fill_null(value=False)
    start = pl.Series([0]).new_from_index(0, frame.height)
    spans = {}
    for name, end in ends.items():
        spans[name] = ((start + vdj_at).set(~good, None), (end + vdj_at).set(~good, None))
        start = end
    return spans


def _letters_before(gapped: pl.Series, ends: tuple[int, ...]) -> list[pl.Series]:
    """Number of letters, gaps not counted, before each of the positions."""
    column = gapped.fill_null("").to_arrow().cast(pa.large_string())
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
    letters = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    is_gap = (letters == ord(".")) | (letters == ord("-"))
    before = np.concatenate([[0], np.cumsum(~is_gap, dtype=np.int64)])
    starts = offsets[:-1] - offsets[0]
    lengths = np.diff(offsets)
    return [pl.Series(before[starts + np.minimum(lengths, end)] - before[starts]) for end in ends]


def _constant(frame: pl.DataFrame, texts: pl.Series, spans: Mapping[str, Span]) -> Span:
    """The C region: by coordinates, by its letters, or all that follows J where a C gene is named."""
    letters = without_gaps(column(frame, "c_region"))
    end_of_j = spans["J"][1]
    at = find(texts, letters, end_of_j)
    named = column(frame, "c_call").is_not_null()
    total = texts.str.len_bytes().cast(pl.Int64)
    rest = (end_of_j.set(~named, None), total)
    return within(first_known(spans["C"], (at, at + letters.str.len_bytes()), rest), texts)
