"""Where everything came from: fingerprints, versions, settings, the recipe, the commands."""

from __future__ import annotations

from typing import Any

from biodata import __version__
from bioeval.report.inputs import Facts
from bioeval.report.markup import code, details, facts_list, section, text

KEY, TITLE = "provenance", "Where everything came from"


def render(facts: Facts) -> str:
    """What identifies the data, the run and the program, and how to make it again."""
    pairs: list[tuple[str, Any]] = [("seqloom", __version__)]
    for name, version in facts.summary.get("versions", {}).items():
        if name != "seqloom":
            pairs.append((name, version))
    for name, value in _fingerprints(facts):
        pairs.append((name, code(value)))
    seeds = {
        "data split": facts.manifest.get("split_config", {}).get("seed"),
        "training": facts.run_config.get("seed"),
        "sequence metrics": facts.sequences.get("settings", {}).get("seed"),
    }
    pairs += [(f"seed, {name}", seed) for name, seed in seeds.items() if seed is not None]
    parts = [facts_list(pairs)]
    if facts.commands:
        parts.append(f"<h3>Commands</h3><pre>{text(chr(10).join(facts.commands))}</pre>")
    if facts.recipe:
        parts.append(details("The recipe", f"<pre>{text(facts.recipe)}</pre>"))
    if facts.sequences.get("settings"):
        settings = [(k.replace("_", " "), _listed(v)) for k, v in facts.sequences["settings"].items()]
        parts.append(details("Settings of the sequence metrics", facts_list(settings)))
    return section(KEY, TITLE, "".join(parts))


def _fingerprints(facts: Facts) -> list[tuple[str, str]]:
    found = []
    if facts.manifest.get("fingerprint"):
        found.append(("dataset fingerprint", str(facts.manifest["fingerprint"])))
    for name, values in facts.sequences.get("inputs", {}).items():
        what = values.get("sha256") or values.get("fingerprint")
        if what:
            found.append((f"{name} sequences", f"{values.get('name', '')} {what}"))
    for name, value in facts.summary.get("inputs", {}).items():
        if isinstance(value, str):
            found.append((f"run input {name}", value))
    return found


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
