"""Biosafety: leaves out viruses whose host is not known to be a bacterium or an archaeon, and denied taxa.

The rules are a table with a version, `exclusion_rules.yaml`. Evidence counts in this order: lineage (of the
record, else of its taxon id by the NCBI taxonomy), division, name of the organism, words of the description.
What says nothing falls to `unknown_organism`, which drops by default: the exclusion fails closed. It is one
layer among others; see docs/curation.md for what it cannot do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import yaml

from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.curate.rules import RuleLog
from biodata.curate.taxonomy import Taxonomy
from biodata.errors import DataError

VIRUS, TAXON, UNKNOWN, SIMILAR = (
    "excluded-virus", "excluded-taxon", "excluded-unknown-organism", "excluded-similar",
)  # fmt: skip
RULES = (VIRUS, TAXON, UNKNOWN, SIMILAR)
"""The rules by which the exclusion drops rows."""
_KEPT = "unknown-organism-kept"
_HINT = "own or simulated sequences: read.exclusion.unknown_organism keep"

Origin = Literal["cellular", "prokaryotic virus", "virus", "unknown"]


class Evidence(NamedTuple):
    """What a record says of where it comes from; empty where it says nothing."""

    lineage: tuple[str, ...] = ()
    division: str = ""
    host: str = ""
    organism: str = ""
    description: str = ""
    receptor: str = ""  # V gene or locus of an antibody or T-cell receptor


@dataclass(frozen=True, slots=True)
class ExclusionRules:
    """The table `exclusion_rules.yaml`.

    Attributes:
        version: of the table; in every manifest.
        sha256: of its text.
        names: sets of names by kind, in lower case.
        words: regular expressions by kind.
    """

    version: str
    sha256: str
    names: Mapping[str, frozenset[str]]
    words: Mapping[str, re.Pattern[str]]


@cache
def exclusion_rules() -> ExclusionRules:
    """The rules that ship with the package."""
    text = (files("biodata.curate") / "exclusion_rules.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    lists = {f"root:{kind}": names for kind, names in table["roots"].items()}
    lists |= {f"division:{kind}": names for kind, names in table["divisions"].items()}
    lists |= {"viruses": table["prokaryotic_viruses"], "hosts": table["prokaryotic_hosts"]}
    return ExclusionRules(
        version=table["version"],
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        names={kind: frozenset(name.lower() for name in names) for kind, names in lists.items()},
        words={kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in table["words"].items()},
    )


def origin_of(evidence: Evidence, *, more_hosts: tuple[str, ...] = ()) -> tuple[Origin, str]:
    """Where a record comes from, and by which evidence that was decided.

    >>> origin_of(Evidence(lineage=("Viruses", "Caudoviricetes"), host="Homo sapiens"))
    ('prokaryotic virus', 'lineage')
    >>> origin_of(Evidence(lineage=("Viruses", "Riboviria"), organism="Influenza A virus"))
    ('virus', 'lineage')
    >>> origin_of(Evidence(organism="Homo sapiens")), origin_of(Evidence(description="contig 12"))
    (('cellular', 'name'), ('unknown', 'nothing'))
    """
    names, words = exclusion_rules().names, exclusion_rules().words
    is_virus, by = _is_virus(evidence, names, words)
    if is_virus is None:
        return "unknown", by
    if not is_virus:
        return "cellular", by
    lineage = [name.lower() for name in evidence.lineage]
    if not names["viruses"].isdisjoint(lineage):
        return "prokaryotic virus", "lineage"
    if evidence.division.lower() in names["division:prokaryotic_viruses"]:
        return "prokaryotic virus", "division"
    if evidence.host:
        first = evidence.host.lower().removeprefix("candidatus ").strip().partition(" ")[0]
        genus = first.strip("[]',;.")
        known = genus in names["hosts"] or genus in {host.lower() for host in more_hosts}
        return ("prokaryotic virus", "host") if known else ("virus", "host")
    classified = len(lineage) > 1 and not lineage[1].startswith("unclassified")
    name = evidence.organism or evidence.description
    if not classified and (words["phage"].search(name) or name.lower().split(" ")[0] in names["viruses"]):
        return "prokaryotic virus", "name"
    return "virus", by


def _is_virus(
    evidence: Evidence, names: Mapping[str, frozenset[str]], words: Mapping[str, re.Pattern[str]]
) -> tuple[bool | None, str]:
    root, division = (evidence.lineage or ("",))[0].lower(), evidence.division.lower()
    if root in names["root:viral"]:
        return True, "lineage"
    if division in names["division:viral"]:
        return True, "division"
    if root in names["root:cellular"]:
        return False, "lineage"
    if words["viral"].search(evidence.organism):
        return True, "name"
    if words["unknown"].search(evidence.organism) or evidence.lineage:
        return None, "name"
    if division in names["division:cellular"]:
        return False, "division"
    if evidence.organism:
        return False, "name"
    if words["receptor"].search(evidence.receptor):
        return False, "receptor gene"
    return (True, "description") if words["viral"].search(evidence.description) else (None, "nothing")


class Exclusion:
    """Applies an `ExclusionPolicy` to batches while they are read.

    Args:
        policy: what to leave out.

    Raises:
        DataError: the taxonomy cannot be read.
    """

    def __init__(self, policy: ExclusionPolicy) -> None:
        self.policy = policy
        self._taxonomy = Taxonomy(policy.taxonomy) if policy.taxonomy and policy.active else None
        self._denied = tuple(name.strip().lower() for name in policy.deny_taxa)
        self._seen: dict[Any, tuple[str, str]] = {}

    def apply(self, batch: pa.RecordBatch, log: RuleLog) -> pa.RecordBatch:
        """The rows that may stay.

        Args:
            batch: `RAW_SCHEMA`.
            log: takes the others as `excluded-virus`, `excluded-taxon` or `excluded-unknown-organism`.

        Raises:
            DataError: a record of unknown origin where the policy says so.
        """
        verdicts = [self._verdict(*row) for row in zip(*_evidence_columns(batch))]
        rules = np.array([rule for rule, _ in verdicts], object)
        for rule in (TAXON, VIRUS, UNKNOWN, _KEPT):
            at = np.flatnonzero(rules == rule)
            if not len(at):
                continue
            rows = pa.array(at)
            ids, lines = batch["id"].take(rows), batch["line"].take(rows)
            details = [verdicts[row][1] for row in at.tolist()]
            if rule == _KEPT:
                log.change(_KEPT, len(at))
                continue
            if rule == UNKNOWN and self.policy.unknown_organism == "error":
                raise DataError(f"{ids[0].as_py()}: {details[0]}", where=f"{log.file}:{lines[0].as_py()}")
            log.drop(rule, ids, lines=lines, detail=details)
        keep = np.array([rule in ("", _KEPT) for rule in rules], bool)
        return batch if keep.all() else batch.filter(pa.array(keep))

    def _verdict(self, labels: Any, organism: str, taxon: int | None, description: str) -> tuple[str, str]:
        facts = {x["name"]: x["text"] or "" for x in labels or ()}
        if not organism and (named := exclusion_rules().words["organism"].search(description)):
            organism = named["uniprot"] or named["uniref"] or named["ncbi"]
            taxon = taxon or int(named["id"] or named["taxid"] or 0) or None
        receptor = "" if organism else facts.get("locus") or facts.get("v_call", "")
        key = (facts.get("lineage", ""), facts.get("division", ""), facts.get("host", ""), organism, taxon,
               "" if organism else description, receptor)  # fmt: skip
        if key not in self._seen:
            if len(self._seen) > 1 << 16:
                self._seen.clear()
            self._seen[key] = self._decide(*key)
        return self._seen[key]

    def _decide(
        self, lineage: str, division: str, host: str, organism: str, taxon: int | None, description: str,
        receptor: str,
    ) -> tuple[str, str]:  # fmt: skip
        names = tuple(name.strip() for name in lineage.split(";") if name.strip())
        ids: set[str] = {str(taxon)} if taxon else set()
        if self._taxonomy is not None and taxon:
            known = self._taxonomy.lineage(taxon)
            ids |= {str(number) for number, _ in known}
            names = names or tuple(name for _, name in known)
        if denied := self._denied_by(ids, names, organism):
            return TAXON, f"{organism or taxon}: {denied} is on the deny-list"
        if not self.policy.exclude:
            return "", ""
        evidence = Evidence(names, division, host, organism, description, receptor)
        origin, by = origin_of(evidence, more_hosts=self.policy.more_hosts)
        if origin == "virus":
            said = "; ".join(names) or organism or description
            return VIRUS, f"a virus by {by}, host {host or 'not stated'}: {said}"
        if origin == "unknown":
            said = (
                f"organism {organism!r} says too little" if organism else "no lineage, division or organism"
            )
            return (_KEPT if self.policy.unknown_organism == "keep" else UNKNOWN), f"{said}; {_HINT}"
        return "", ""

    def _denied_by(self, ids: set[str], names: tuple[str, ...], organism: str) -> str:
        lower = {name.lower() for name in (*names, organism)}
        for denied in self._denied:
            if denied in ids or denied in lower or organism.lower().startswith(f"{denied} "):
                return denied
        return ""


def _evidence_columns(batch: pa.RecordBatch) -> tuple[list[Any], ...]:
    columns = {name: batch[name].to_pylist() for name in ("labels", "organism", "taxon_id", "description")}
    columns["organism"] = [name or "" for name in columns["organism"]]
    return tuple(columns.values())


def exclusion_entry(
    policy: ExclusionPolicy, dropped: Mapping[str, int], deny_sha256: str | None, *, alphabet: str = "dna"
) -> dict[str, Any]:
    """What the manifest, and from there every checkpoint, says of the exclusion.

    Args:
        dropped: rows dropped by rule, of the whole build.
        deny_sha256: of the FASTA of denied sequences, `None` without one.
        alphabet: of the dataset; molecules (selfies) have no organism, so nothing is excluded.
    """
    table = exclusion_rules()
    return {
        "enabled": policy.exclude and alphabet != "selfies",
        "rule_version": table.version,
        "rules_sha256": table.sha256,
        "unknown_organism": policy.unknown_organism,
        "more_hosts": list(policy.more_hosts),
        "deny_list": {"taxa": list(policy.deny_taxa), "sequences_sha256": deny_sha256,
                      "identity": policy.deny_identity, "coverage": policy.deny_coverage},
        "excluded": {rule: dropped[rule] for rule in RULES if dropped.get(rule)},
    }  # fmt: skip
