"""Verdicts of screeners, from the formats that they write."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Verdicts = dict[str, str]
"""Name of a sequence to `pass`, `warn`, `flag` or `unscreened`."""

_NAMES = ("id", "query", "name", "sequence_id", "filename")
_STATES = ("status", "verdict", "overall", "flag", "recommendation", "recommend_flag_or_pass",
           "screen_status")  # fmt: skip
_COMMEC_FLAGS = ("biorisk", "regulated_virus", "regulated_bacteria", "regulated_eukaryote")
_WORDS = {
    "pass": "pass", "passed": "pass", "p": "pass", "ok": "pass", "clear": "pass", "false": "pass",
    "warn": "warn", "warning": "warn", "w": "warn",
    "flag": "flag", "flagged": "flag", "f": "flag", "fail": "flag", "hit": "flag", "true": "flag",
}  # fmt: skip


def read_verdicts(folder: Path, said: str, *, names: tuple[str, ...]) -> tuple[str | None, Verdicts]:
    """Verdicts from the files of a folder, else from standard output.

    Args:
        folder: what the screener wrote to.
        said: its standard output.
        names: of the sequences; a table that names none of them is not one of verdicts.

    Returns:
        `(format, verdicts)`; format None where nothing was understood.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".csv", ".tsv") and p.is_file())
    files.sort(key=lambda p: p.suffix != ".json")
    for text in (*(p.read_text(encoding="utf-8", errors="replace") for p in files), said):
        kind, verdicts = _understood(text)
        known = {_base(name): state for name, state in verdicts.items() if _base(name) in names}
        if kind and known:
            return kind, known
    return None, {}


def verdict_of(word: object) -> str:
    """What a screener's word means; an unknown one counts as no verdict, never as a pass.

    Of commec: `Pass`, `Pass (Skipped Taxonomy)` and what was cleared pass; `Skip ...`, `Incomplete`, `Error`
    and `-` are no verdicts.

    >>> [verdict_of(w) for w in ("Pass", "Flag (Cleared)", "Warning", "Flag", "Skip (too short)", True)]
    ['pass', 'pass', 'warn', 'flag', 'unscreened', 'flag']
    """
    text = str(word).strip().lower()
    if text.endswith("(cleared)") or text == "pass (skipped taxonomy)":
        return "pass"
    return _WORDS.get(text, "unscreened")


def _understood(text: str) -> tuple[str | None, Verdicts]:
    text = text.strip()
    if text.startswith(("{", "[")):
        try:
            return _of_json(json.loads(text))
        except json.JSONDecodeError:
            return None, {}
    return _of_table(text)


def _of_json(value: Any) -> tuple[str | None, Verdicts]:
    if isinstance(value, Mapping) and isinstance(value.get("queries"), Mapping | list):
        queries = value["queries"]
        rows = queries.items() if isinstance(queries, Mapping) else ((q.get("query"), q) for q in queries)
        found = {str(name): verdict_of(_commec_state(query)) for name, query in rows}
        return "commec JSON", found
    if isinstance(value, list):
        return _of_rows("JSON", (row for row in value if isinstance(row, Mapping)))
    plain = {str(k): v for k, v in value.items() if isinstance(v, str | bool)}
    return ("JSON", {k: verdict_of(v) for k, v in plain.items()}) if plain else (None, {})


def _commec_state(query: Any) -> object:
    """Since version 0.3 under `status`, before that under `recommendation`."""
    for place, key in (("status", "screen_status"), ("recommendation", "commec_recommendation")):
        inner = query.get(place) if isinstance(query, Mapping) else None
        if isinstance(inner, Mapping) and key in inner:
            return inner[key]
    return "-"


def _of_table(text: str) -> tuple[str | None, Verdicts]:
    head = text.split("\n", 1)[0]
    separator = "\t" if "\t" in head else ","
    if separator not in head:
        return None, {}
    return _of_rows("table", csv.DictReader(io.StringIO(text), delimiter=separator))


def _of_rows(kind: str, rows: Iterable[Mapping[Any, Any]]) -> tuple[str | None, Verdicts]:
    found: Verdicts = {}
    for row in rows:
        plain = {str(key).strip().lower(): value for key, value in row.items()}
        name = next((plain[n] for n in _NAMES if n in plain), None)
        state = next((plain[s] for s in _STATES if s in plain), None)
        if name is None:
            return None, {}
        if state is None and set(_COMMEC_FLAGS) <= set(plain):
            kind, verdict = "commec flags.csv", _of_flags(plain)
        elif state is None:
            return None, {}
        else:
            verdict = verdict_of(state)
        found[str(name)] = verdict
    return (kind, found) if found else (None, {})


def _of_flags(row: Mapping[str, Any]) -> str:
    """A row of commec's flags.csv: F flagged, Err failed. Hits cleared as benign pass, biorisks do not."""
    states = [str(row[key]).strip() for key in _COMMEC_FLAGS]
    if "Err" in states:
        return "unscreened"
    if states[0] == "F":
        return "flag"
    cleared = str(row.get("benign", "")).strip() == "P"
    return "flag" if "F" in states[1:] and not cleared else "pass"


def _base(name: str) -> str:
    """A name without folder and endings that screeners add to names of files."""
    plain = name.strip().rsplit("/", 1)[-1]
    for ending in (".screen", ".fasta", ".fa"):
        plain = plain.removesuffix(ending)
    return plain
