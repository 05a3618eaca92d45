"""Every rule by which a row can be dropped or changed stands in docs/data.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from biodata.curate.accessions import REPEATED
from biodata.curate.exclusion import RULES
from biodata.curate.ids import MADE_UNIQUE
from biodata.curate.letter_rules import LetterPolicy, letter_rules
from biodata.publish import PURGE_REASON

CALLS = {"drop", "change", "apply", "_Unreadable", "LocationError", "count"}
"""Functions whose first argument is the name of a rule."""
BY_VARIABLE = {"too-short", "too-long", MADE_UNIQUE, PURGE_REASON, REPEATED, *RULES, "reading-added"}


def rules_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CALLS:
                texts = (n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant))
                yield from (
                    t for t in texts if isinstance(t, str) and re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", t)
                )


def test_every_rule_is_documented(project: Path):
    folders = ("io", "curate", "sources")
    files = [f for name in folders for f in (project / "biodata" / name).glob("*.py")]
    rules = {rule for f in [*files, project / "biodata" / "ingest.py"] for rule in rules_in(f)}
    rules -= {"id", "complement"}  # a column of polars, a word of locations
    for alphabet in ("dna", "rna", "protein"):
        actions = letter_rules(alphabet, LetterPolicy()).actions
        rules |= {name for _, _, reason, rule in actions for name in (reason, rule) if len(name) > 2}
    page = (project / "docs" / "data.md").read_text()
    documented = set(re.findall(r"`([a-z0-9-]+)`", page))
    rules = {r for r in rules if not re.search(r"^-|-in-protein$", r)}  # proteins exchange no letters
    assert sorted((rules | BY_VARIABLE) - documented) == []
