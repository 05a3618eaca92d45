"""Texts of sequences, from what GenBank and EMBL say of records and features.

A text is a list of statements, one a line, `key: value`, in the order of `FIELDS`:

    definition: Arabidopsis thaliana chloroplast, complete genome.
    organism: Arabidopsis thaliana
    lineage: Eukaryota; Viridiplantae; Streptophyta; ...

Of a feature it begins with its type (`type: CDS`). Of a window each feature inside is one line, in order,
with its 1-based place as biologists write it, its strand, and `partial` where the window cuts it:

    feature: CDS 12..450 + psbA: photosystem II protein D1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.curate.text_policy import FIELDS, TextPolicy

Facts = dict[str, list[str]]

_GO = re.compile(r"\bGO:(\d{7})\b")
_GO_KEYS = ("db_xref", "go_process", "go_component", "go_function", "note")
_NO_WORD = {"source", "gene"}  # they repeat the header, and the CDS or RNA they hold


def add_texts(batch: pa.RecordBatch, policy: TextPolicy, *, log: RuleLog) -> pa.RecordBatch:
    """The batch with the column `text`; null where nothing is said.

    Args:
        batch: rows as they will be written: records, coding sequences or other features, or windows; with
            `description`, `organism`, `features`, `labels`.
        policy: the level and the fields.
        log: takes `without-text` (rows).
    """
    if policy.text_level == "none":
        return batch
    columns = [batch[name].to_pylist() for name in ("description", "organism", "features", "labels")]
    made = [text_of(policy, *row) for row in zip(*columns)]
    if without := sum(not text for text in made):
        log.change("without-text", without)
    texts = pa.array([text or None for text in made], pa.large_string())
    if "text" in batch.schema.names:
        return batch.set_column(batch.schema.get_field_index("text"), "text", texts)
    return batch.append_column("text", texts)


def text_of(policy: TextPolicy, description: str, organism: str | None, features: Any, labels: Any) -> str:
    """The text of one row, `""` if nothing is said.

    Args:
        policy: the level and the fields.
        description: of the record (its definition), or of the feature (its product).
        features: as in `SCHEMA`; at level `feature` the first is the row's own.
        labels: as in `SCHEMA`; `lineage` and `pubmed` are used.

    >>> row = [{"type": "CDS", "start": 0, "end": 9, "strand": -1,
    ...         "attributes": [{"key": "gene", "value": "psbA"}, {"key": "EC_number", "value": "1.10.3.9"}]}]
    >>> print(text_of(TextPolicy(text_level="feature"), "D1", "A. thaliana", row, None))
    type: CDS
    organism: A. thaliana
    gene: psbA
    product: D1
    ec: 1.10.3.9
    """
    facts: Facts = {name: [] for name in FIELDS}
    facts["organism"] = [organism] if organism else []
    for label in labels or ():
        if label["name"] in ("lineage", "pubmed") and label["text"]:
            facts[label["name"]] = [label["text"]]
    head: list[str] = []
    if policy.text_level == "feature":
        own = (features or [None])[0]
        head = [f"type: {own['type']}"] if own else []
        for name, values in feature_facts(_attributes(own) if own else {}).items():
            facts[name] = values
        facts["product"] = facts["product"] or ([description] if description else [])
    else:
        facts["definition"] = [description] if description else []
    lines = [
        f"{name}: {'; '.join(facts[name])}" for name in FIELDS if facts[name] and name in policy.text_fields
    ]
    if policy.text_level == "window":
        lines += [line for line in map(_line, features or ()) if line]
    said = any(not line.startswith("type: ") for line in lines)
    return "\n".join([*head, *lines]) if said else ""


def feature_facts(attributes: Mapping[str, str]) -> Facts:
    """What the qualifiers of a feature say, by field.

    >>> feature_facts({"product": "D1", "db_xref": "GeneID:84; GO:0009507", "function": "light reaction"})
    {'product': ['D1'], 'function': ['light reaction'], 'go': ['GO:0009507']}
    """
    found: Facts = {}
    for field, keys in (("gene", ("gene", "locus_tag")), ("product", ("product",)), ("note", ("note",)),
                        ("function", ("function",)), ("ec", ("EC_number",))):  # fmt: skip
        value = next((attributes[key] for key in keys if attributes.get(key)), "")
        if value:
            found[field] = [value]
    terms = [n for key in _GO_KEYS for n in _GO.findall(attributes.get(key, ""))]
    # /GO_process="... [goid 0009507]" and AmiGO style "GO:0009507 - chloroplast"
    terms += [n for key, text in attributes.items() if key.lower().startswith("go_")
              for n in re.findall(r"(?:\[goid |GO:)(\d{7})", text)]  # fmt: skip
    if terms:
        found["go"] = [f"GO:{n}" for n in dict.fromkeys(terms)]
    return found


def _line(feature: Mapping[str, Any]) -> str:
    attributes = _attributes(feature)
    if feature["type"] in _NO_WORD:
        return ""
    facts = feature_facts(attributes)
    name = facts.get("gene", [""])[0]
    said = next((facts[key][0] for key in ("product", "function", "note") if key in facts), "")
    strand = {1: "+", -1: "-"}.get(feature["strand"], ".")
    words = [feature["type"], f"{feature['start'] + 1}..{feature['end']}", strand,
             "partial" if "clipped" in attributes else "", name]  # fmt: skip
    head = " ".join(word for word in words if word)
    return f"feature: {head}" + (f": {said}" if said else "")


def _attributes(feature: Mapping[str, Any]) -> dict[str, str]:
    pairs: Iterable[Mapping[str, str]] = feature["attributes"] or ()
    return {pair["key"]: pair["value"] for pair in pairs}
