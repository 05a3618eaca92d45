"""Coding sequences: checked against their own translation and reading frame.

They come from records with features (`biodata.curate.cds_cut`), or are rows that are coding sequences already
(FASTA). What leaves or is kept in spite of a rule is counted and listed in the `RuleLog`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from biodata.codon import genetic_code
from biodata.curate.cds_policy import CdsPolicy
from biodata.curate.frame import CodonFacts, codon_facts
from biodata.curate.rules import RuleLog
from biodata.curate.translation import exempt_codons, translation_problem
from biodata.io.features import FeatureColumn

# qualifiers that are of no use once the translation is checked
_CHECKED = ("translation", "codon_start", "transl_except")


def check_frames(
    batch: pa.RecordBatch, *, policy: CdsPolicy, log: RuleLog, transl_table: int = 1
) -> pa.RecordBatch:
    """Applies the rules of `CdsPolicy` to coding sequences; qualifiers that were checked are removed.

    Rules by name: `partial-codon` / `trimmed-to-codons`, `no-codon`, `inner-stop` (stops that
    `/transl_except` or a U or O in `/translation` explain are none), `ambiguous-codon`, `missing-start`,
    `missing-stop`, `unknown-transl-table`, `translation-mismatch`, `translation-unchecked`.

    Args:
        batch: `CDS_SCHEMA` or `RAW_SCHEMA`; valid letters of DNA or RNA in upper case.
        policy: what to do with each.
        log: the book of the file.
        transl_table: NCBI translation table of rows that do not name their own.
    """
    qualifiers = _qualifiers(batch)
    batch, tables, qualifiers = _with_known_tables(batch, qualifiers, transl_table, log)
    keep = _divisible(batch, policy, log)
    batch, tables = batch.filter(pa.array(keep)), tables[keep]
    qualifiers = qualifiers and [q for q, kept in zip(qualifiers, keep) if kept]
    batch = _trimmed(batch, log) if policy.partial_codon == "trim" else batch
    facts = codon_facts(batch["sequence"], tables=tables)
    rules = _Rules(batch, log)
    rules.apply("no-codon", facts.codons == 0, "drop", "fewer than three letters")
    inner = _unexplained_inner_stops(batch, facts, tables, qualifiers)
    rules.apply("inner-stop", inner, policy.inner_stop)
    rules.apply("ambiguous-codon", facts.ambiguous > 0, policy.ambiguous_codon)
    rules.apply("missing-start", ~facts.starts, policy.missing_start)
    rules.apply("missing-stop", ~facts.stops, policy.missing_stop)
    if qualifiers:
        _check_translations(rules, tables, qualifiers, policy)
        batch = _without_checked(batch, qualifiers)
    return batch if rules.keep.all() else batch.filter(pa.array(rules.keep))


class _Rules:
    """Applies one rule after the other; a row that one dropped is not looked at by the next."""

    def __init__(self, batch: pa.RecordBatch, log: RuleLog) -> None:
        self.batch, self.log = batch, log
        self.keep = np.ones(batch.num_rows, bool)

    def apply(self, rule: str, broken: npt.NDArray[np.bool_], action: str, detail: Any = "") -> None:
        at = np.flatnonzero(broken & self.keep)
        if not len(at):
            return
        rows = pa.array(at)
        ids, lines = self.batch["id"].take(rows), self.batch["line"].take(rows)
        if action == "drop":
            self.log.drop(rule, ids, lines=lines, detail=detail)
            self.keep[at] = False
        else:
            self.log.change(rule, ids=ids, lines=lines, detail=detail)


def _qualifiers(batch: pa.RecordBatch) -> list[dict[str, str]]:
    """The qualifiers of each row's CDS; an empty list where no row has a CDS among its features."""
    kinds = batch["features"].flatten().field("type")
    if not pc.call_function("equal", [kinds, pa.scalar("CDS")]).true_count:
        return []
    rows = batch["features"].to_pylist()
    return [
        {a["key"]: a["value"] for f in row or [] if f["type"] == "CDS" for a in f["attributes"]}
        for row in rows
    ]


def _with_known_tables(
    batch: pa.RecordBatch, qualifiers: list[dict[str, str]], default: int, log: RuleLog
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64], list[dict[str, str]]]:
    if not qualifiers:
        return batch, np.full(batch.num_rows, default, np.int64), []
    named = [q.get("transl_table", str(default)) for q in qualifiers]
    rules = _Rules(batch, log)
    unknown = np.array([not _is_table(name) for name in named], bool)
    details = [f"/transl_table={n}" for n, wrong in zip(named, unknown) if wrong]
    rules.apply("unknown-transl-table", unknown, "drop", details)
    tables = np.array([int(n) for n, wrong in zip(named, unknown) if not wrong], np.int64)
    return batch.filter(pa.array(rules.keep)), tables, [q for q, k in zip(qualifiers, rules.keep) if k]


def _is_table(name: str) -> bool:
    try:
        genetic_code(int(name))
    except ValueError:  # ConfigError is one
        return False
    return True


def _lengths(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    return pc.call_function("binary_length", [batch["sequence"]]).to_numpy(zero_copy_only=False)


def _divisible(batch: pa.RecordBatch, policy: CdsPolicy, log: RuleLog) -> npt.NDArray[np.bool_]:
    rules, lengths = _Rules(batch, log), _lengths(batch)
    broken = lengths % 3 > 0
    if policy.partial_codon != "trim" and broken.any():
        details = [f"length {n}" for n in lengths[broken]]
        rules.apply("partial-codon", broken, policy.partial_codon, details)
    return rules.keep


def _trimmed(batch: pa.RecordBatch, log: RuleLog) -> pa.RecordBatch:
    lengths = _lengths(batch)
    rules = _Rules(batch, log)
    rules.apply("trimmed-to-codons", lengths % 3 > 0, "change")
    if not (lengths % 3).any():
        return batch
    column = pl.DataFrame({"s": pl.Series(batch["sequence"]), "n": lengths // 3 * 3})
    cut = column.select(pl.col("s").str.head(pl.col("n")))["s"].to_arrow().cast(pa.large_string())
    index = batch.schema.get_field_index("sequence")
    return batch.set_column(index, batch.schema.field(index), cut)


def _unexplained_inner_stops(
    batch: pa.RecordBatch, facts: CodonFacts, tables: npt.NDArray[np.int64], qualifiers: list[dict[str, str]]
) -> npt.NDArray[np.bool_]:
    broken = facts.inner_stops > 0
    for at in np.flatnonzero(broken) if qualifiers else ():
        letters = batch["sequence"][int(at)].as_py().replace("U", "T")
        code = genetic_code(int(tables[at]))
        stops = {i for i in range(int(facts.codons[at]) - 1) if code.get(letters[3 * i : 3 * i + 3]) == "*"}
        named = qualifiers[at].get("translation", "")
        unusual = {i for i, residue in enumerate(named) if residue in "UO"}
        broken[at] = not stops <= exempt_codons(qualifiers[at]) | unusual
    return broken


def _check_translations(
    rules: _Rules, tables: npt.NDArray[np.int64], qualifiers: list[dict[str, str]], policy: CdsPolicy
) -> None:
    wrong, unchecked = np.zeros(len(qualifiers), bool), np.zeros(len(qualifiers), bool)
    details = []
    for at in np.flatnonzero(rules.keep).tolist():
        if not qualifiers[at].get("translation"):
            unchecked[at] = True
            continue
        letters = rules.batch["sequence"][at].as_py()
        if problem := translation_problem(letters, qualifiers[at], table=int(tables[at])):
            wrong[at] = True
            details.append(problem)
    rules.apply("translation-unchecked", unchecked, "change", "no /translation")
    rules.apply("translation-mismatch", wrong, policy.translation_mismatch, details)


def _without_checked(batch: pa.RecordBatch, qualifiers: list[dict[str, str]]) -> pa.RecordBatch:
    column = FeatureColumn()
    for q, length in zip(qualifiers, _lengths(batch).tolist()):
        column.add("CDS", (0, length, 1), {k: v for k, v in q.items() if k not in _CHECKED})
        column.end_row()
    index = batch.schema.get_field_index("features")
    return batch.set_column(index, batch.schema.field(index), column.array())
