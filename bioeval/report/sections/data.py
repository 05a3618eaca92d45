"""The dataset: sources, what each rule dropped or changed, splits, repair, audit."""

from __future__ import annotations

from typing import Any

from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import (
    Html,
    code,
    details,
    facts_list,
    missing,
    number,
    paragraph,
    percent,
    row_of,
    section,
    table,
    tiles,
)

KEY, TITLE = "data", "Data"


def render(facts: Facts) -> str:
    """Key figures, rules, splits, audit, sources."""
    manifest = facts.manifest
    if not manifest:
        return section(KEY, TITLE, missing("No dataset was built in this run."))
    parts = [_tiles(manifest), _rules(manifest), _repair(manifest), _audit(manifest), _sources(manifest)]
    return section(KEY, TITLE, "".join(parts))


def rows_of(manifest: Json) -> int:
    """Rows in all splits."""
    return int(manifest.get("rows", sum(manifest.get("splits", {}).values())))


def _tiles(manifest: Json) -> str:
    shown: list[tuple[str, Any]] = [("sequences kept", number(rows_of(manifest)))]
    total = max(rows_of(manifest), 1)
    for name, rows in manifest.get("splits", {}).items():
        shown.append((f"{name} ({percent(rows / total, 0)})", number(rows)))
    if isinstance(manifest.get("clusters"), int):
        shown.append(("clusters", number(manifest["clusters"])))
    return tiles(shown)


def _rules(manifest: Json) -> str:
    dropped = dict(manifest.get("dropped", {}))
    for name, rows in manifest.get("repair", {}).get("rows_purged", {}).items():
        if rows:
            dropped[f"similar to a row of another split, was in {name}"] = rows
    tables = []
    for title, unit, counts in (
        ("Dropped", "rows", dropped),
        ("Changed", "count", manifest.get("changed", {})),
    ):
        if counts:
            tables.append(table((title, unit), [(_rule(rule), number(n)) for rule, n in counts.items()]))
    if not tables:
        return paragraph("No row was dropped and none was changed.")
    gone = sum(dropped.values())
    words = (
        f"{gone:,} rows were dropped and {rows_of(manifest):,} kept; each that is not here has its reason."
    )
    return "<h3>What the rules did</h3>" + paragraph(words) + row_of(*tables)


def _rule(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def _repair(manifest: Json) -> str:
    """Why a plain cluster split is not enough, with the user's own figures."""
    explanation = manifest.get("repair", {}).get("explanation")
    return "<h3>Split and repair</h3>" + paragraph(explanation) if explanation else ""


def _audit(manifest: Json) -> str:
    audit = manifest.get("audit")
    if not audit:
        return paragraph("The split was not audited.", kind="warning")
    clean = not audit.get("leaking_rows")
    verdict = '<span class="good">clean</span>' if clean else '<span class="bad">leaks</span>'
    listed = [
        ("verdict", Html(verdict)),
        ("what a leak is", f"identity ≥ {percent(audit['identity'], 0)} over ≥ "
                           f"{percent(audit['coverage'], 0)} of both sequences"),
        ("leaking pairs", number(audit.get("leaking_pairs"))),
        ("leaking held-out rows", number(audit.get("leaking_rows"))),
        ("highest identity across splits", highest_identity(audit)),
        *_how_sure(audit),
    ]  # fmt: skip
    method = details("How the audit works", paragraph(audit["method"])) if audit.get("method") else ""
    return "<h3>Audit of the split</h3>" + facts_list(listed) + method


def highest_identity(audit: Json) -> Html:
    """The highest identity found, or from where on there is none."""
    highest, floor = audit.get("max_identity"), audit.get("searched_from_identity")
    if highest is None and floor is not None:
        return number(floor, shown=f"below {percent(floor, 0)}")
    return number(highest, shown=percent(highest))


def _how_sure(audit: Json) -> list[tuple[str, str]]:
    search, exact = audit.get("search", {}), audit.get("exact", {})
    listed = []
    if search.get("planted"):
        listed.append(("planted near copies found", f"{search['planted_found']} of {search['planted']}"))
    if exact.get("pairs"):
        rows = "every held-out row" if exact.get("complete") else f"{exact['queries']:,} held-out rows"
        listed.append(("compared exactly as well", f"{rows}, {exact['pairs']:,} pairs"))
    return listed


def _sources(manifest: Json) -> str:
    sources = manifest.get("sources", [])
    if not sources:
        return ""
    rows = [
        (s.get("name", s.get("url", "?")), s.get("format", ""), number(s.get("records")),
         number(s.get("size"), shown=_size(s.get("size"))), code(f"{str(s.get('sha256', ''))[:16]}…"))
        for s in sources
    ]  # fmt: skip
    return "<h3>Sources</h3>" + table(("File", "Format", "Records", "Size", "SHA-256"), rows, left=2)


def _size(size: int | None) -> str:
    """Bytes in the unit that leaves 1 to 4 digits."""
    value = float(size or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f}\u00a0{unit}" if unit == "B" or value >= 10 else f"{value:.1f}\u00a0{unit}"
        value /= 1000
    raise AssertionError
