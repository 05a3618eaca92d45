"""How people see what data and evaluation commands did; `--json` has every figure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biodata.configs import read_yaml
from seqloom_cli.output import plain

_PURGED = "similar-across-splits"


def built(result: Mapping[str, Any]) -> str:
    """A finished build: rows, what was dropped and changed, the repair, the audit, what comes next."""
    path, audit = result["path"], result["audit"]
    lines = [f"{path}: {_rows(result)}"]
    if dropped := result["dropped"]:
        purged = f", {_PURGED} in purged.parquet" if _PURGED in dropped else ""
        lines.append(f"dropped: {_counts(dropped)} (each in {path}/removed/dropped.parquet{purged})")
    if changed := result["changed"]:  # of most rules only the number is kept
        lines.append(f"changed: {_counts(changed)}")
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


def evaluated(result: Mapping[str, Any]) -> str:
    """Scores of `eval run`: the models, the baselines of each below, the verdicts."""
    lines = ["| task | model | metric | score | 95 % interval | n |", "|---|---|---|---:|---:|---:|"]
    seen: set[tuple[str, str]] = set()
    for one in result["results"]:
        lines.append(_score_row(one, f"**{one['model']}**", one))
        for name, score in one["baselines"].items():
            if (one["task"], name) not in seen:
                lines.append(_score_row(one, f"{name} (baseline)", score))
            seen.add((one["task"], name))
    return "\n".join([*lines, "", *(one["sentence"] for one in result["results"]), *_written(result)])


def trained(result: Mapping[str, Any]) -> str:
    """A finished run: its figures, where the model is, what comes next."""
    run = shlex.quote(str(result["run"]))
    width = max(map(len, result))
    lines = [f"{name:<{width}}  {plain(value)}" for name, value in result.items()]
    steps = [f"seqloom eval run {run} --task NAME (seqloom eval tasks)"]
    if "val_perplexity" not in result:  # pictures have no tokens
        steps = [f"seqloom generate {run} --num 100 --out new.npy"]
    elif kind := _generates(Path(result["run"])):
        text = " --text 'a description'" if kind == "text_to_sequence" else ""
        steps.insert(0, f"seqloom generate {run} --num 100{text} --out new.fasta")
    return "\n".join([*lines, f"next: {', '.join(steps)}"])


def generated(result: Mapping[str, Any]) -> str:
    """What was drawn, and how it is judged."""
    width = max(map(len, result))
    lines = [f"{name:<{width}}  {plain(value)}" for name, value in result.items()]
    if "sheet" not in result:
        path = shlex.quote(str(result["path"]))
        lines.append(f"next: seqloom eval sequences {path} --reference DATA --out validity")
    return "\n".join(lines)


def _generates(run: Path) -> str:
    """By which objective the model of a run learnt to draw sequences; empty where it draws none."""
    settings = read_yaml(run / "config.yaml")
    objective = settings["objective"]["name"]
    return "" if settings["model"]["bidirectional"] and objective != "masked_diffusion" else objective


def compared(result: Mapping[str, Any]) -> str:
    """Metrics of `eval sequences`: each beside what nature shows against itself, then what was not run."""
    head = "| metric | unit | value | of as many | natural halves, 95 % | verdict |"
    lines = [head, "|---|---|---:|---:|---:|---|"]
    for name, one in result["metrics"].items():
        null = f"{_figure(one['null_lo'])} to {_figure(one['null_hi'])}"
        figures = f"{_figure(one['value'])} | {_figure(one['scale']['generated'])}"
        lines.append(f"| {name} | {one['unit']} | {figures} | {null} | {_standing(one)} |")
    lines.append("")
    lines += [f"warning: {warning}" for warning in result["warnings"]]
    reasons = {name: why for name, why in result["not_run"].items() if not why.startswith("not chosen")}
    lines += [f"not run: {name}: {reason}" for name, reason in reasons.items()]
    near = result["nearest_training_identity"]
    if near.get("median") is not None:
        lines.append(
            f"nearest training sequence: median {near['median']:.1%} identical, at most {near['max']:.1%}"
        )
    counts = f"{result['n_generated']:,} generated, {result['n_reference']:,} natural sequences"
    lines.append(f"{counts}; verdicts are those of as many sequences as half of nature has")
    return "\n".join([*lines, *_written(result)])


def _score_row(result: Mapping[str, Any], name: str, score: Mapping[str, Any]) -> str:
    interval = f"{_figure(score['lo'])} to {_figure(score['hi'])}"
    cells = (result["task"], name, result["metric"], _figure(score["value"]), interval, f"{result['n']:,}")
    return f"| {' | '.join(cells)} |"


def _standing(metric: Mapping[str, Any]) -> str:
    if metric["scale"]["generated"] is None:
        return "no value: too few or too short sequences"
    if metric["within_null"] is None:
        return "no null: too few or too short natural sequences"
    if not metric["within_null"]:
        return "unlike nature"
    return "like nature" if metric["tells"] else "cannot tell: shuffled sequences pass as well"


def _written(result: Mapping[str, Any]) -> list[str]:
    return [f"written: {result['report']}"] if "report" in result else []


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


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
