"""The reading frame of rearranged reads, and what is cut from them as coding sequence."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.repertoire_regions import column
from biodata.curate.rules import RuleLog
from biodata.curate.spans import find, without_gaps
from biodata.curate.translated import translate_column


def reading_frames(frame: pl.DataFrame, log: RuleLog, *, compare: bool = True) -> pl.DataFrame:
    """The frame of every V(D)J, from its junction, and whether it gives the residues that the row states.

    The junction begins with the codon of the conserved cysteine (IMGT 104), so its place modulo three is the
    frame. Where a row states its residues (`sequence_alignment_aa`), they decide: the frame that gives them
    is taken (counted as `frame-from-translation` if the junction says otherwise or nothing).

    Args:
        frame: columns of AIRR and `vdj`, letters without gaps, no nulls.
        log: takes `frame-from-translation`, `translation-unchecked`.
        compare: whether residues are looked at; without, there is no column `residues`.

    Returns:
        Columns `frame` (0, 1, 2 or null), `residues` (of the V(D)J in that frame) and `agrees` (null where
        nothing is stated).
    """
    vdj, junction = frame["vdj"], without_gaps(column(frame, "junction"))
    at = find(vdj, junction)
    whole = (junction.str.len_bytes() % 3 == 0).fill_null(value=False)
    frames = (at % 3).set(~whole, None)
    stated = without_gaps(column(frame, "sequence_alignment_aa"))
    if not compare:
        none = pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(frames))
        return pl.DataFrame({"frame": frames, "agrees": none})
    residues = _translated(vdj, frames.fill_null(0))
    agrees = _agree(residues, stated)
    first = frames
    for number in range(3):
        if not (again := (stated.is_not_null() & (frames.is_null() | ~agrees)).fill_null(value=False)).any():
            break
        other = _translated(vdj.filter(again), pl.Series([number]).new_from_index(0, int(again.sum())))
        good = _agree(other, stated.filter(again))
        rows = again.arg_true().filter(good.fill_null(value=False))
        frames = _put(frames, rows, number)
        residues = residues.scatter(rows, other.filter(good.fill_null(value=False)))
        agrees = agrees.scatter(rows, [True] * len(rows))
    moved = first.is_null() | (first != frames).fill_null(value=True)
    changed = int((frames.is_not_null() & moved).sum())
    if changed > 0:
        log.change("frame-from-translation", changed)
    if unchecked := int(stated.is_null().sum()):
        log.change("translation-unchecked", unchecked)
    return pl.DataFrame({"frame": frames, "residues": residues, "agrees": agrees})


def open_frame(texts: pl.Series, frames: pl.Series, v_start: pl.Series) -> pl.DataFrame:
    """The open reading frame around the V gene of whole reads.

    Upstream it begins with the first ATG in frame that no stop or ambiguous codon follows before V, or, where
    there is none, with the first codon after the last of those; downstream it ends with the first
    stop codon or the read.

    Args:
        texts: reads.
        frames: of each, 0 to 2.
        v_start: where V begins on the read.

    Returns:
        `start` and `end` on the read (0-based, half-open, whole codons), `has_start`: whether it begins with
        the ATG.
    """
    residues = _translated(texts, frames)
    work = pl.DataFrame({"aa": residues, "frame": frames, "v": (v_start - frames + 2) // 3})
    work = work.with_columns(before=pl.col("aa").str.slice(0, pl.col("v")))
    work = work.with_columns(tail=pl.col("before").str.extract(r"([^*X]*)$"))
    work = work.with_columns(
        first=pl.col("v") - pl.col("tail").str.len_bytes(), met=pl.col("tail").str.find("M", literal=True),
        stop=pl.col("aa").str.slice(pl.col("v")).str.find("*", literal=True),
    )  # fmt: skip
    start = pl.col("first").cast(pl.Int64) + pl.col("met").fill_null(0)
    end = pl.when(pl.col("stop").is_not_null()).then(pl.col("v") + pl.col("stop") + 1).otherwise(
        pl.col("aa").str.len_bytes().cast(pl.Int64))  # fmt: skip
    return work.select(
        start=3 * start + pl.col("frame"),
        end=3 * end + pl.col("frame"),
        has_start=pl.col("met").is_not_null(),
    )


def _translated(texts: pl.Series, frames: pl.Series) -> pl.Series:
    letters = texts.to_arrow().cast(pa.large_string())
    return pl.Series(translate_column(letters, frames.to_numpy().astype(np.int64)))


def _put(frames: pl.Series, rows: pl.Series, number: int) -> pl.Series:
    return frames.cast(pl.Int64).scatter(rows, number)


def _agree(residues: pl.Series, stated: pl.Series) -> pl.Series:
    """Whether translations are the stated ones, up to X and one residue of a last codon cut short."""
    work = pl.DataFrame({"a": residues, "b": stated})
    n, m = pl.col("a").str.len_bytes().cast(pl.Int64), pl.col("b").str.len_bytes().cast(pl.Int64)
    near = (n - m).abs() <= 1
    same = pl.when(near).then(
        pl.col("a").str.starts_with(pl.col("b")) | pl.col("b").str.starts_with(pl.col("a"))
    ).otherwise(pl.lit(value=False))  # fmt: skip
    out = work.select(pl.when(pl.col("b").is_not_null()).then(same)).to_series()
    unsure = (~out & work.select(near).to_series()).fill_null(value=False).arg_true()
    good = [at for at in unsure if _compatible(residues[at], stated[at])]
    return out.scatter(good, [True] * len(good)) if good else out


def _compatible(ours: str, theirs: str) -> bool:
    return all(a == b or "X" in (a, b) for a, b in zip(ours, theirs))
