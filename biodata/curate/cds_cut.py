"""Cuts coding sequences, or features of other kinds, from annotated records (GenBank, EMBL)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biodata.alphabet import reverse_complement
from biodata.curate.rules import RuleLog
from biodata.io.features import FeatureColumn
from biodata.io.locations import LocationError, parse_location
from biodata.io.raw import RAW_SCHEMA
from biodata.schema import SCHEMA

_PLACE = ("parent", "start", "end", "strand")
CDS_SCHEMA = pa.schema(
    [*RAW_SCHEMA, pa.field("record", pa.string()), *(SCHEMA.field(name) for name in _PLACE)]
)
"""`RAW_SCHEMA`, the accession of the record that a CDS was cut from (null for CDS given as such), and its
place there: the hull of the location less the letters before `/codon_start`; strand null if parts differ."""


def extract_cds(
    batch: pa.RecordBatch, *, log: RuleLog, kinds: Collection[str] = ("CDS",)
) -> pa.RecordBatch:  # fmt: skip
    """Every CDS of the records of a batch, cut out and reverse complemented as its location says.

    The letters before `/codon_start` are cut off. Dropped and counted: `no-cds` (a record without any;
    `no-feature` for other kinds), `pseudo`, `remote-location`, `bad-location`, `bad-codon-start`.

    Args:
        batch: `RAW_SCHEMA` with features, nucleotides in upper case.
        log: the book of the file.
        kinds: feature keys to cut.

    Returns:
        `CDS_SCHEMA`: id = protein_id, else locus_tag, else `record:start..end` (0-based, half-open), of other
        kinds always `record:start..end:kind`; description = product; the features hold the feature alone,
        with all its qualifiers.
    """
    features = batch["features"]
    flat, parents = features.flatten(), pc.call_function("list_parent_indices", [features])
    wanted = pc.SetLookupOptions(pa.array(sorted(kinds), pa.string()))
    is_wanted = pc.call_function("is_in", [flat.field("type")], wanted)
    found = flat.filter(is_wanted).to_pylist()
    of_record = parents.filter(is_wanted).to_pylist()
    _log_without(batch, set(of_record), kinds, log)
    rows, features_out = [], FeatureColumn()
    records: dict[int, dict[str, Any]] = {}
    for feature, at in zip(found, of_record):
        if at not in records:
            records = {at: _record(batch, at, log)}
        attributes = {a["key"]: a["value"] for a in feature["attributes"]}
        row = _cut(records[at], feature, attributes, log)
        if row is not None:
            rows.append(row)
            features_out.add(feature["type"], (0, len(row["sequence"]), 1), attributes)
            features_out.end_row()
    columns = [pa.array([r[f.name] for r in rows], f.type) for f in CDS_SCHEMA if f.name != "features"]
    columns.insert(CDS_SCHEMA.get_field_index("features"), features_out.array())
    return pa.record_batch(columns, schema=CDS_SCHEMA)


def _log_without(batch: pa.RecordBatch, having: set[int], kinds: Collection[str], log: RuleLog) -> None:
    none = [i for i in range(batch.num_rows) if i not in having]
    if none:
        at = pa.array(none, pa.int64())
        ids, lines = batch["id"].take(at), batch["line"].take(at)
        if set(kinds) == {"CDS"}:
            log.drop("no-cds", ids, lines=lines, detail="no CDS feature")
        else:
            log.drop("no-feature", ids, lines=lines, detail=f"no {', '.join(sorted(kinds))}")


def _record(batch: pa.RecordBatch, at: int, log: RuleLog) -> dict[str, Any]:
    record = {name: batch[name][at].as_py() for name in RAW_SCHEMA.names if name != "features"}
    if "U" in record["sequence"]:
        record["sequence"] = record["sequence"].replace("U", "T")
        log.change("u-to-t")
    return record


def _cut(
    record: Mapping[str, Any], feature: Mapping[str, Any], attributes: Mapping[str, str], log: RuleLog
) -> dict[str, Any] | None:  # fmt: skip
    """The row of one CDS, or `None` after writing down why not."""
    place = f"{record['id']}:{feature['start']}..{feature['end']}"
    id = (attributes.get("protein_id") or attributes.get("locus_tag") or place).split(";")[0]
    if feature["type"] != "CDS":
        id = f"{place}:{feature['type']}"
    where = attributes.get("location") or f"{feature['start'] + 1}..{feature['end']}"
    if "pseudo" in attributes or "pseudogene" in attributes:
        log.drop("pseudo", id, lines=record["line"], detail=f"{record['id']}: {where}")
        return None
    try:
        letters = _letters(record["sequence"], where)
    except LocationError as error:
        log.drop(error.reason, id, lines=record["line"], detail=f"{record['id']}: {error}")
        return None
    skip = attributes.get("codon_start", "1")
    if skip not in ("1", "2", "3"):
        log.drop("bad-codon-start", id, lines=record["line"], detail=f"/codon_start={skip}")
        return None
    if skip != "1":
        log.change("codon-start-applied", ids=id, lines=record["line"], detail=f"/codon_start={skip}")
    kept = {name: record[name] for name in ("line", "organism", "taxon_id", "labels")}
    return {**kept, **_place(record["id"], feature, int(skip) - 1), "id": id,
            "sequence": letters[int(skip) - 1 :], "record": record["id"],
            "description": attributes.get("product", "")}  # fmt: skip


def _place(record: str, feature: Mapping[str, Any], skip: int) -> dict[str, Any]:
    start, end, strand = feature["start"], feature["end"], feature["strand"] or None
    if strand == 1:
        start = min(start + skip, end)
    elif strand == -1:
        end = max(end - skip, start)
    return {"parent": record, "start": start, "end": end, "strand": strand}


def _letters(sequence: str, where: str) -> str:
    pieces = []
    for start, end, strand, _, _ in parse_location(where).parts:
        if end > len(sequence):
            raise LocationError("bad-location", f"{where} ends after the last of {len(sequence)} letters")
        piece = sequence[start:end]
        pieces.append(piece if strand > 0 else reverse_complement(piece))
    return "".join(pieces)
