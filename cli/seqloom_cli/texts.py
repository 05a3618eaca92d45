"""How people see what the data commands did; `--json` has every figure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def built(result: Mapping[str, Any]) -> str:
    """A finished build: rows, what was dropped and changed, the repair, the audit, what comes next."""
    path, audit = result["path"], result["audit"]
    lines = [f"{path}: {_rows(result)}"]
    for what in ("dropped", "changed"):
        if counts := result[what]:
            lines.append(f"{what}: {_counts(counts)} (each in {path}/removed/{what}.parquet)")
    lines += [result["repair"]["explanation"], _leaks(audit)]
    lines.append(f"next: seqloom tokenizer train KIND --data {shlex.quote(path)} --out tok "
                 "(seqloom tokenizer kinds)")  # fmt: skip
    return "\n".join(lines)


def verified(result: Mapping[str, Any]) -> str:
    """A finished check: each problem, or that there is none; what was compared; looser signs."""
    lines = (
        ["ok: nothing is wrong"] if result["ok"] else ["not ok", *(f"  {one}" for one in result["problems"])]
    )
    if result["audit"] is not None:
        lines.append(_leaks(result["audit"]))
    if (near := result.get("near")) and near["test_rows"]:
        lines.append(_near(near))
    return "\n".join(lines)


def _rows(result: Mapping[str, Any]) -> str:
    return f"{result['rows']:,} rows in {result['clusters']:,} clusters: {_counts(result['splits'])}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _leaks(audit: Mapping[str, Any]) -> str:
    """What the audit looked for, and what it found."""
    against = "coverage_of" in audit  # another set, not the other splits
    over = f"over {audit['coverage']:.0%} of {audit.get('coverage_of', 'both')}"
    alike = f"at least {audit['identity']:.0%} identical {over}"
    rows = "test" if against else "held-out"
    if found := audit["leaking_rows"]:
        pairs = f"{audit['leaking_pairs']:,} pairs"
        return f"audit: {found:,} {rows} rows in {pairs}, {alike}{_compared(audit)}"
    highest = f"; the highest is {best:.1%}" if (best := audit["max_identity"]) else ""
    other = "a training row" if against else "a row of another split"
    return f"audit: no {rows} row is {alike} to {other}{highest}{_compared(audit)}"


def _compared(audit: Mapping[str, Any]) -> str:
    if (share := audit.get("leaking_share_at_most")) is not None:
        return f" (a sample was searched: at most {share:.2%} of all held-out rows, with 95 % confidence)"
    exact = audit.get("exact", {})
    if not exact.get("queries"):
        return ""
    which = f"all {exact['queries']:,}" if exact.get("complete") else f"a sample of {exact['queries']:,}"
    return f" (searched, and {which} compared exactly)"


def _near(near: Mapping[str, Any]) -> str:
    parts = [f"{near['identical']:,} have the sequence of a training row"]
    if (shared := near.get("sharing_half_of_kmers")) is not None:
        parts.append(f"{shared:,} share half of their {near['kmer']}-mers with one")
    if (protein := near.get("same_protein")) is not None:
        parts.append(f"{protein:,} translate to the protein of one")
    return f"of {near['test_rows']:,} test rows " + ", ".join(parts)
