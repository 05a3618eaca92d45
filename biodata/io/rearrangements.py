"""Rows of rearranged antibody and T-cell receptor genes, by the column names of AIRR, as `RAW_SCHEMA`.

AIRR files and OAS data units both pass through here: rows that are not productive leave, the wanted region is
taken, its parts are located, gene calls and the like become labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.curate.repertoire import as_boolean, keep_rearrangements, normal_locus
from biodata.curate.repertoire_frame import open_frame, reading_frames
from biodata.curate.repertoire_regions import (
    FRAMEWORK,
    SEGMENTS,
    column,
    nucleotide_regions,
    protein_regions,
    vdj_letters,
)
from biodata.curate.rules import RuleLog
from biodata.curate.spans import Span, as_residues, find, inside_junction, shifted, without_gaps
from biodata.io.nested import feature_lists, label_lists, raw_batch
from biodata.io.tables import Header
from biodata.read_config import ReadConfig

_BOOLEANS = ("productive", "vj_in_frame", "stop_codon")
_TEXT_LABELS = (
    "locus", "v_call", "d_call", "j_call", "c_call", "junction_aa", "cdr3_aa", "isotype", "cell_id",
    "clone_id", "subject_id", "sample_id", "repertoire_id", "study_id", "species", "tissue",
    "disease_diagnosis", "epitope", "antigen", "anarci_status", "pair",
)  # fmt: skip
_NUMBER_LABELS = ("redundancy", "duplicate_count", "consensus_count", "v_identity")
_OTHER = (
    "sequence_id", "sequence", "sequence_aa", "sequence_alignment", "sequence_alignment_aa",
    "sequence_vdj_aa", "rev_comp", "junction", "c_region",
)  # fmt: skip
COLUMNS = (
    *_OTHER, *_BOOLEANS, *_TEXT_LABELS, *_NUMBER_LABELS,
    *(f"{key}{end}" for key in FRAMEWORK.values() for end in ("", "_aa", "_start", "_end")),
    *(f"{key}_sequence_{end}" for key in SEGMENTS.values() for end in ("start", "end", "alignment_aa")),
)  # fmt: skip
"""AIRR columns that are read; others are left out."""

SOURCE_COLUMNS = {
    ("nucleotide", "full"): ("sequence",),
    ("nucleotide", "vdj"): ("sequence_alignment", "sequence"),
    ("protein", "full"): ("sequence_aa",),
    ("protein", "vdj"): ("sequence_alignment_aa", "sequence_vdj_aa", "sequence_alignment"),
    **{("nucleotide", r): (r,) for r in ("junction", "cdr1", "cdr2", "cdr3")},
    **{("protein", r): (f"{r}_aa",) for r in ("junction", "cdr1", "cdr2", "cdr3")},
}
"""Kind of letters and region to the columns that can give it."""


class Rearrangements:
    """The way of one file's rows.

    Args:
        config: alphabet, `take`, and the policy `repertoire`.
        header: of the file, with AIRR names.
        where: the file, for messages.
        log: its book.

    Raises:
        DataError: no column for the region asked for; lists the columns there are.
    """

    def __init__(self, config: ReadConfig, header: Header, *, where: Path, log: RuleLog) -> None:
        self.config, self.log = config, log
        self.is_protein, self.is_cds = config.alphabet == "protein", config.take == "cds"
        region = config.repertoire.region
        if region == "auto":
            region = "vdj" if self.is_protein or self.is_cds else "full"
        self.region = region
        kind = "protein" if self.is_protein else "nucleotide"
        hint = f"--region names the part of {kind} sequences to take, now {region!r}"
        others = SOURCE_COLUMNS.get(("protein", region), ())
        if not self.is_protein and any(name in header.names for name in others):
            hint += "; there are residues: --alphabet protein"
        self.source = header.require(SOURCE_COLUMNS[kind, region], where=where, hint=hint)

    def batch(
        self, frame: pl.DataFrame, *, constant: Mapping[str, str | float | None] | None = None,
        organism: str | None = None, taxon_id: int | None = None,
    ) -> pa.RecordBatch:  # fmt: skip
        """The rows that are kept.

        Args:
            frame: texts by AIRR names, and `id`, `line`, `pair` (null where a chain stands alone).
            constant: labels that all rows have.
            organism: of all rows, if known.
            taxon_id: of all rows, if known.
        """
        frame = keep_rearrangements(_typed(frame), self.config.repertoire, self.log)
        taken, spans = self._protein(frame) if self.is_protein else self._nucleotides(frame)
        n = taken.height
        labels: dict[str, pl.Series | str | float | None] = dict(constant or {})
        labels |= {name: taken[name] for name in _TEXT_LABELS if name in taken.columns}
        labels |= {name: taken[name] for name in _BOOLEANS if name in frame.columns}
        labels |= {name: _number(taken[name]) for name in _NUMBER_LABELS if name in taken.columns}
        return raw_batch({
            "id": taken["id"], "sequence": taken["taken"], "line": taken["line"],
            "features": feature_lists(n, spans), "labels": label_lists(n, list(labels.items())),
            **({"organism": _same(organism, n, pl.String)} if organism else {}),
            **({"taxon_id": _same(taxon_id, n, pl.Int64)} if taxon_id else {}),
        })  # fmt: skip

    def _nucleotides(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Span]]:
        frame = self._oriented(frame)
        frame = frame.with_columns(vdj=vdj_letters(frame), taken=self._letters(frame))
        frame = self._present(frame)
        texts = frame["taken"]
        if self.region in ("cdr1", "cdr2", "cdr3", "junction"):
            return frame, inside_junction(texts, 3) if self.region == "junction" else {}
        offset = (
            find(frame["sequence"], texts)
            if "sequence" in frame.columns
            else _same(None, len(texts), pl.Int64)
        )
        spans = nucleotide_regions(frame, texts, offset, self.log)
        if self.region == "vdj":
            return self._in_frame(frame, spans) if self.is_cds else (frame, spans)
        return self._whole_read(frame, spans)

    def _in_frame(
        self, frame: pl.DataFrame, spans: Mapping[str, Span]
    ) -> tuple[pl.DataFrame, dict[str, Span]]:  # fmt: skip
        """V(D)J cut to whole codons of its reading frame."""
        frames = reading_frames(frame, self.log)
        end = frames["frame"] + (frame["taken"].str.len_bytes().cast(pl.Int64) - frames["frame"]) // 3 * 3
        return self._cut(frame, spans, frames.with_columns(start=frames["frame"], end=end))

    def _whole_read(
        self, frame: pl.DataFrame, spans: Mapping[str, Span]
    ) -> tuple[pl.DataFrame, dict[str, Span]]:  # fmt: skip
        """A read with its signal peptide; cut to its open reading frame if coding sequences are taken."""
        filled = frame.with_columns(vdj=frame["vdj"].fill_null(""))
        frames = reading_frames(filled, self.log, compare=self.is_cds)
        place = (find(frame["taken"], frame["vdj"]) + frames["frame"]) % 3
        direct = find(frame["taken"], column(frame, "junction")) % 3
        reading = pl.select(pl.coalesce(place, direct)).to_series()
        v_start = pl.select(pl.coalesce(spans["FR1"][0], spans["V"][0])).to_series()
        known = reading.is_not_null() & v_start.is_not_null()
        texts, starts = frame["taken"], v_start.fill_null(0)
        if not self.is_cds:  # only what lies before V is looked at
            texts = pl.select(pl.lit(texts).str.slice(0, pl.lit(starts))).to_series()
        orf = open_frame(texts, reading.fill_null(0), starts)
        signal = (orf["start"].set(~(orf["has_start"] & known), None), v_start)
        signal = (signal[0].set((signal[0] >= v_start).fill_null(value=False), None), v_start)
        spans = {"signal_peptide": signal, **spans}
        if not self.is_cds:
            return frame, spans
        ends = frames.with_columns(frame=reading.set(~known, None), start=orf["start"], end=orf["end"])
        return self._cut(frame, spans, ends)

    def _cut(
        self, frame: pl.DataFrame, spans: Mapping[str, Span], ends: pl.DataFrame
    ) -> tuple[pl.DataFrame, dict[str, Span]]:  # fmt: skip
        """Rows cut to `start`..`end`; without a frame, or with one that contradicts the row, they leave."""
        unknown = ends["frame"].is_null()
        wrong = (~ends["agrees"]).fill_null(value=False) & ~unknown
        self._drop(frame, "frame-unknown", unknown, "no junction or translation gives the reading frame")
        if self.config.cds.translation_mismatch == "drop":
            self._drop(frame, "translation-mismatch", wrong, "no frame gives sequence_alignment_aa")
        else:
            self._count("translation-mismatch", wrong)
            wrong = pl.Series([False]).new_from_index(0, len(wrong))
        keep = ~(unknown | wrong)
        frame, ends = frame.filter(keep), ends.filter(keep)
        width = ends["end"] - ends["start"]
        old = frame["taken"].str.len_bytes().cast(pl.Int64)
        self._count("cut-to-reading-frame", (ends["start"] > 0) | (ends["end"] < old))
        cut = frame.with_columns(start=ends["start"], width=width).with_columns(
            taken=pl.col("taken").str.slice(pl.col("start"), pl.col("width"))
        )
        kept = {name: (a.filter(keep), b.filter(keep)) for name, (a, b) in spans.items()}
        return cut, shifted(kept, ends["start"], width)

    def _protein(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Span]]:
        letters = without_gaps(column(frame, self.source))
        if self.region == "vdj":
            stated = pl.select(
                pl.coalesce(*(without_gaps(column(frame, n)) for n in SOURCE_COLUMNS["protein", "vdj"][:2]))
            )
            frame, letters = self._with_translations(frame, stated.to_series())
        frame = self._present(frame.with_columns(taken=letters.cast(pl.String)))
        if self.region == "junction":
            return frame, inside_junction(frame["taken"], 1)
        if self.region in ("cdr1", "cdr2", "cdr3"):
            return frame, {}
        spans = protein_regions(frame, frame["taken"], self.log)
        return frame, self._by_nucleotides(frame, spans) if self.region == "vdj" else spans

    def _with_translations(self, frame: pl.DataFrame, stated: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
        """The stated residues, and where there are none, those of the alignment."""
        need = stated.is_null() & vdj_letters(frame).is_not_null()
        if not need.any():
            return frame, stated
        rows = frame.filter(need)
        rows = rows.with_columns(vdj=vdj_letters(rows).fill_null(""))
        found = reading_frames(rows, RuleLog())
        letters = found["residues"].set(found["frame"].is_null(), None)
        letters = letters.set((letters == "").fill_null(value=False), None)
        self.log.change("translated", int(letters.is_not_null().sum()))
        return frame, stated.scatter(need.arg_true(), letters)

    def _by_nucleotides(self, frame: pl.DataFrame, spans: Mapping[str, Span]) -> dict[str, Span]:
        """Regions that residues do not tell, by those of the nucleotides where they give these residues."""
        letters = vdj_letters(frame)
        missing = spans["FR1"][0].is_null() | spans["V"][0].is_null()
        if not (missing & letters.is_not_null()).any():
            return dict(spans)
        work = frame.with_columns(vdj=letters.fill_null(""))
        found = reading_frames(work, RuleLog())
        good = (found["residues"] == frame["taken"]) & found["frame"].is_not_null()
        reads = frame["sequence"] if "sequence" in frame.columns else letters
        by_letters = nucleotide_regions(work, work["vdj"], find(reads, letters), RuleLog())
        return {
            name: as_residues(span, by_letters.get(name), found["frame"], good)
            for name, span in spans.items()
        }

    def _letters(self, frame: pl.DataFrame) -> pl.Series:
        if self.region == "full":
            return frame["sequence"]
        if self.region == "vdj":
            return vdj_letters(frame)
        return without_gaps(column(frame, self.source))

    def _oriented(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Reads turned to the strand of their alignment where `rev_comp` says so and the letters agree."""
        if "rev_comp" not in frame.columns or "sequence" not in frame.columns:
            return frame
        turned = frame.select(as_boolean(pl.col("rev_comp"))).to_series().fill_null(value=False)
        if not turned.any():
            return frame
        part = pl.coalesce(without_gaps(column(frame, "sequence_alignment")), column(frame, "junction"))
        missing = find(frame["sequence"], pl.select(part).to_series()).is_null()
        rows = (turned & missing & frame["sequence"].is_not_null()).arg_true()
        if not len(rows):
            return frame
        self.log.change("reverse-complemented", len(rows))
        other = [reverse_complement(frame["sequence"][at]) for at in rows]
        return frame.with_columns(sequence=frame["sequence"].scatter(rows, other))

    def _present(self, frame: pl.DataFrame) -> pl.DataFrame:
        missing = frame["taken"].is_null()
        self._drop(frame, "no-sequence", missing, f"no letters for region {self.region}")
        return frame.filter(~missing)

    def _drop(self, frame: pl.DataFrame, rule: str, rows: pl.Series, detail: str) -> None:
        if rows.any():
            gone = frame.filter(rows)
            self.log.drop(rule, gone["id"].to_arrow(), lines=gone["line"].to_arrow(), detail=detail)

    def _count(self, rule: str, rows: pl.Series) -> None:
        if n := int(rows.sum()):
            self.log.change(rule, n)


def wanted(names: Sequence[str]) -> list[str]:
    """Those of the columns that are read, in the order of the file."""
    return [name for name in names if name in COLUMNS]


def _number(values: pl.Series) -> pl.Series:
    """Numbers from texts, null for anything else."""
    return values.cast(pl.Float64, strict=False)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Locus names, booleans, and nulls for the columns that rules look at but the table lacks."""
    absent = [
        n for n in (*_BOOLEANS, "locus", "v_call", "redundancy", "anarci_status") if n not in frame.columns
    ]
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    gene = pl.col("v_call").str.extract(r"^((?:IG[HKL])|(?:TR[ABDG]))")
    return frame.with_columns(
        *(as_boolean(pl.col(name)).alias(name) for name in _BOOLEANS),
        locus=pl.coalesce(normal_locus(pl.col("locus")), gene),
        redundancy=pl.col("redundancy").cast(pl.Float64, strict=False),
    )


def _same(value: str | int | None, n: int, kind: type[pl.DataType]) -> pl.Series:
    return pl.Series([value], dtype=kind).new_from_index(0, n)
