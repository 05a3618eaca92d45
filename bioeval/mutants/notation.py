"""Substitutions as people write them: `A12V`, several joined by a colon, places counted from 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

from biodata.errors import DataError

_ONE = re.compile(r"([A-Za-z*])(\d+)([A-Za-z*])")
_WILD = ("WT", "wt", "_wt")


def apply_mutants(
    wild_type: str | Sequence[str],
    mutants: Sequence[str | None],
    *,
    first: int = 1,
    where: object = "mutants",
) -> list[str]:
    """The sequences that mutants name, in ProteinGym's notation.

    Args:
        wild_type: the sequence they were counted on, one for all or one for each; places are letters of it,
            whatever a model's tokens are.
        mutants: `A12V` or `A12V:G15S`; `WT` is the wild type itself.
        first: number of the first letter of `wild_type`.
        where: file or table, for messages.

    Raises:
        DataError: the first mutant that is none, lies outside, or starts from another letter.

    >>> apply_mutants("MKV", ["K2R", "M1L:V3I", "WT"])
    ['MRV', 'LKI', 'MKV']
    """
    wild_types = [wild_type] * len(mutants) if isinstance(wild_type, str) else wild_type
    rows = enumerate(zip(wild_types, mutants), 1)
    return [_applied(wild, mutant, first, f"{where}: row {row}") for row, (wild, mutant) in rows]


def _applied(wild_type: str, mutant: str | None, first: int, where: str) -> str:
    if mutant in _WILD:
        return wild_type
    letters = list(wild_type)
    for part in (mutant or "").split(":"):
        match = _ONE.fullmatch(part.strip())
        if match is None:
            hint = "A12V, several joined by ':', or WT for the wild type"
            raise DataError(f"mutant {mutant!r} cannot be read", where=where, hint=hint)
        old, place, new = match[1], int(match[2]) - first, match[3]
        if not 0 <= place < len(wild_type):
            last = first + len(wild_type) - 1
            raise DataError(f"mutant {part!r} lies outside of the wild type ({first} to {last})", where=where)
        if wild_type[place] != old:
            found = f"the wild type has {wild_type[place]!r} at {match[2]}"
            hint = "places are counted from 1; another number of its first letter can be given"
            raise DataError(f"mutant {part!r}, but {found}", where=where, hint=hint)
        letters[place] = new
    return "".join(letters)
