"""Whether a coding sequence gives the protein that its record prints as `/translation`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from biodata.alphabet import PROTEIN
from biodata.codon import start_codons, translate
from biodata.io.locations import Location, LocationError, parse_location

_EXCEPT = re.compile(r"pos:\s*((?:[^,()]|\([^()]*(?:\([^()]*\))?[^()]*\))+),\s*aa:")


def exempt_codons(qualifiers: Mapping[str, str]) -> set[int]:
    """Numbers (from 0) of the codons that `/transl_except` names.

    >>> sorted(exempt_codons({"location": "complement(11..40)", "codon_start": "1",
    ...                       "transl_except": "(pos:complement(35..37),aa:Sec)"}))
    [1]
    """
    text = qualifiers.get("transl_except", "")
    if not text:
        return set()
    skip = int(qualifiers.get("codon_start", "1")) - 1
    location = parse_location(qualifiers["location"])
    found = (_first_offset(location, place) for place in _EXCEPT.findall(text))
    return {(offset - skip) // 3 for offset in found if offset is not None}


def _first_offset(location: Location, place: str) -> int | None:
    try:
        parts = parse_location(place.strip()).parts
    except LocationError:
        return None
    ends = (position for part in parts for position in (part.start, part.end - 1))
    offsets = [offset for position in ends if (offset := location.offset_of(position)) is not None]
    return min(offsets, default=None)


def translation_problem(cds: str, qualifiers: Mapping[str, str], *, table: int) -> str:
    """What differs between the residues of a CDS and its `/translation`; `""` if nothing.

    Allowed: M for a start codon of the table at a complete 5' end, or for any first codon where the record
    says that RNA editing makes one; no residue for the final stop; codons of
    `/transl_except`; U and O for stops; X on either side; B, Z and J for their residues; a last codon cut
    short, with or without a residue.

    Args:
        cds: upper-case DNA or RNA from the first codon on.
        qualifiers: of the CDS, with `location` and `translation`.
        table: NCBI translation table.

    >>> q = {"location": "1..9", "translation": "MK"}
    >>> translation_problem("TTGAAATAA", q, table=1)
    ''
    >>> translation_problem("ATGCCCTAA", q, table=1)
    'residue 2 is P by the sequence, K in /translation'
    """
    expected = qualifiers["translation"].rstrip("*")
    exempt = exempt_codons(qualifiers)
    rest = len(cds) % 3
    residues = translate(cds + "N" * (3 - rest) if rest else cds, table=table)
    n = len(expected)
    if len(residues) == n + 1 and (rest or residues[-1] == "*" or n in exempt):
        residues = residues[:n]
    note = f" (/exception={qualifiers['exception']})" if "exception" in qualifiers else ""
    if len(residues) != n:
        return f"{len(residues)} residues by the sequence, {n} in /translation{note}"
    if expected[:1] == "M" and _may_start(cds, qualifiers, table):
        exempt |= {0}
    for i, (ours, theirs) in enumerate(zip(residues, expected)):
        if ours != theirs and i not in exempt and not _compatible(ours, theirs):
            return f"residue {i + 1} is {ours} by the sequence, {theirs} in /translation{note}"
    return ""


def _may_start(cds: str, qualifiers: Mapping[str, str], table: int) -> bool:
    """Whether the first codon is read as M: a start codon at a complete 5' end, or edited into one."""
    if qualifiers.get("codon_start", "1") != "1" or parse_location(qualifiers["location"]).open_5prime:
        return False
    edited = "RNA editing" in qualifiers.get("exception", "")  # ACG to AUG in plastids
    return edited or cds[:3].replace("U", "T") in start_codons(table)


def _compatible(ours: str, theirs: str) -> bool:
    if "X" in (ours, theirs) or (ours == "*" and theirs in "UO"):
        return True
    return theirs in PROTEIN.ambiguous.get(ours, "") or ours in PROTEIN.ambiguous.get(theirs, "")
