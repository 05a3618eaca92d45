"""Which rearrangements stay: productive, in frame, of the wanted chain. Columnar; counted and listed."""

from __future__ import annotations

import polars as pl

from biodata.curate.repertoire_policy import LOCI, RepertoirePolicy
from biodata.curate.rules import RuleLog

_YES, _NO = ("T", "TRUE", "1", "1.0", "YES", "Y"), ("F", "FALSE", "0", "0.0", "NO", "N")
_OLD_LOCI = {"H": "IGH", "K": "IGK", "L": "IGL"}


def as_boolean(column: pl.Expr) -> pl.Expr:
    """Booleans as AIRR and its dialects write them (T, true, 1, ...); null for anything else.

    >>> pl.select(as_boolean(pl.Series(["T", "false", "", None]).implode().explode())).to_series().to_list()
    [True, False, None, None]
    """
    text = column.str.strip_chars().str.to_uppercase()
    return pl.when(text.is_in(_YES)).then(True).when(text.is_in(_NO)).then(False).otherwise(None)


def normal_locus(column: pl.Expr) -> pl.Expr:
    """IGH, IGK, IGL, TRA, TRB, TRD, TRG; OAS writes H, K, L."""
    return column.str.to_uppercase().replace(_OLD_LOCI)


def keep_rearrangements(frame: pl.DataFrame, policy: RepertoirePolicy, log: RuleLog) -> pl.DataFrame:
    """Applies the rules of the policy in the order of their names below.

    Rules: `other-chain`, `not-productive`, `out-of-frame`, `stop-codon`, `productivity-unknown`,
    `low-redundancy`, `redundancy-unknown`, `shortened-chain`, `incomplete-pair`.

    Args:
        frame: columns `id`, `line`, `locus`, booleans `productive`, `vj_in_frame` and `stop_codon`, number
            `redundancy`, text `anarci_status`, text `pair` (null for chains of their own).
        policy: what to drop.
        log: the book of the file.
    """
    false = pl.lit(False)
    chain = (
        pl.col("locus").is_in(LOCI[policy.chain]).fill_null(value=False) if policy.chain != "any" else ~false
    )
    frame = _apply(frame, "other-chain", ~chain, "drop", log, "locus")
    before = frame
    known = pl.any_horizontal(pl.col("productive", "vj_in_frame", "stop_codon").is_not_null())
    rules = (
        ("not-productive", ~pl.col("productive"), policy.unproductive, "v_call"),
        ("out-of-frame", ~pl.col("vj_in_frame"), policy.out_of_frame, "v_call"),
        ("stop-codon", pl.col("stop_codon"), policy.stop_codon, "v_call"),
        ("productivity-unknown", ~known, policy.productivity_unknown, ""),
        ("shortened-chain", pl.col("anarci_status").str.contains("Shorter", literal=True), policy.shortened,
         "anarci_status"),
    )  # fmt: skip
    for rule, broken, action, detail in rules:
        frame = _apply(frame, rule, broken.fill_null(value=False), action, log, detail)
    if policy.min_redundancy:
        unknown = pl.col("redundancy").is_null()
        frame = _apply(frame, "redundancy-unknown", unknown, "keep", log, "")
        few = (pl.col("redundancy") < policy.min_redundancy).fill_null(value=False)
        frame = _apply(frame, "low-redundancy", few, "drop", log, "redundancy")
    if policy.incomplete_pair == "drop" and before.height > frame.height:
        left, whole = frame["pair"].value_counts(), before["pair"].value_counts()
        counts = whole.join(left, on="pair", how="left", suffix="_left")
        broken_pairs = counts.filter(pl.col("count") != pl.col("count_left"))["pair"]
        broken = pl.col("pair").is_in(broken_pairs.implode()).fill_null(value=False)
        frame = _apply(frame, "incomplete-pair", broken, "drop", log, "pair")
    return frame


def _apply(
    frame: pl.DataFrame, rule: str, broken: pl.Expr, action: str, log: RuleLog, detail: str
) -> pl.DataFrame:
    """Drops the rows that break a rule, or counts them where they are kept."""
    mask = (
        frame.select(pl.lit(value=False) | broken).to_series()
        if frame.height
        else pl.Series([], dtype=pl.Boolean)
    )
    if len(mask) != frame.height:  # a condition without columns is one value
        mask = mask.new_from_index(0, frame.height)
    if not mask.any():
        return frame
    rows = frame.filter(mask)
    texts = rows[detail].cast(pl.String).fill_null("").to_arrow() if detail else ""
    if action == "drop":
        log.drop(rule, rows["id"].to_arrow(), lines=rows["line"].to_arrow(), detail=texts)
        return frame.filter(~mask)
    log.change(rule, rows.height)
    return frame
