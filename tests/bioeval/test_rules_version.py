"""`RULES_VERSION` is raised when `eval run` makes other results of the same embeddings.

It is part of the key of every result: unless it changes, results of before a change stand beside results of
after it in one `results.json`. `tests/golden/eval_rules.json` holds what the toy tasks give; it says nothing
of whether that is right (other tests do), only whether it is as it was.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bioeval.evaluate import EvalConfig
from bioeval.protocols import SequenceScores
from bioeval.running.bench import RULES_VERSION, Bench, Models
from bioeval.running.toys import toy_tasks

GOLDEN = Path(__file__).parents[1] / "golden" / "eval_rules.json"
PROBES = {"regression": ("auto", "knn")}
REPEATS = {"regression": 5}
SAME = 1e-3  # scores of one machine and another differ by less, changes of a rule are larger
WHAT_TO_DO = (
    "If results are meant to change, raise RULES_VERSION in bioeval/running/bench.py, so that `eval run` "
    "makes finished results anew; in any case record what they are now: "
    "python -m tests.bioeval.test_rules_version"
)


class GcScorer:
    """Scores without a model."""

    name, key, kind = "gc", "gc", "made up"

    def score(self, sequences: Sequence[str]) -> SequenceScores:
        """Letters that are G or C."""
        total = np.array([sum(s in "GC" for s in sequence) for sequence in sequences], float)
        lengths = np.array([len(sequence) for sequence in sequences])
        return SequenceScores(total=total, n_tokens=lengths, error=np.zeros(len(total)))


def numbers_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of a result sees, without time and version."""
    whole = (
        "value",
        "lo",
        "hi",
        "n",
        "validation",
        "verdict",
        "strongest_baseline",
        "other_metrics",
        "leakage",
    )
    found = {name: result[name] for name in whole}
    found["baselines"] = {
        name: {k: row[k] for k in ("value", "lo", "hi")}
        | {f"difference {k}": row["difference"][k] for k in ("delta", "lo", "hi", "p_value")}
        for name, row in result["baselines"].items()
    }
    return json.loads(json.dumps(found | {"repeated": result.get("repeated")}))


def results() -> dict[str, dict[str, Any]]:
    """A result for each kind of task and some probes."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for task in toy_tasks("dna"):
            model = "tests.bioeval.test_rules_version:GcScorer" if task.kind == "zero-shot" else "kmer"
            more: dict[str, Any] = {"contacts": "embeddings"} if task.kind == "contacts" else {}
            for probe in PROBES.get(task.kind, ("auto",)):
                config = EvalConfig(
                    models=(model,), tasks=("toy",), out=Path(folder), cache=Path(folder) / "cache",
                    resamples=100, probe=probe, repeats=REPEATS.get(task.kind, 0), **more,
                )  # fmt: skip
                bench = Bench(config, task, Models(config), tell=False)
                found[f"{task.kind} {probe}"] = numbers_of(bench.entry(model, {}).result)
    return found


def differences(a: Any, b: Any, at: str = "") -> Iterator[str]:
    """Where two results differ, by path; numbers within `SAME` and sentences that state them are equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted({*a, *b}):
            yield from differences(a.get(name), b.get(name), f"{at} {name}".strip())
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{at} {number}")
    elif isinstance(a, int | float) and isinstance(b, int | float):
        if not math.isclose(a, b, abs_tol=SAME, rel_tol=SAME):
            yield f"{at}: {a} before, {b} now"
    elif isinstance(a, str) and isinstance(b, str) and any(s.isdigit() for s in a):
        if words(a) != words(b):
            yield f"{at}: {a!r} before, {b!r} now"
    elif a != b:
        yield f"{at}: {a!r} before, {b!r} now"


def words(text: str) -> list[str]:
    """A sentence without its figures."""
    return [word for word in text.split() if not any(s.isdigit() for s in word)]


def test_results_are_those_of_their_rules_version() -> None:
    before = json.loads(GOLDEN.read_text())
    recorded = before["rules_version"]
    assert recorded == RULES_VERSION, f"recorded for version {recorded}, it is {RULES_VERSION}. {WHAT_TO_DO}"
    found = list(differences(before["results"], results()))
    assert not found, (
        f"eval run gives other results than rules {recorded}: {'; '.join(found[:5])}. {WHAT_TO_DO}"
    )


def test_a_change_is_told() -> None:
    """What the test above would say of a changed interval, a lost baseline and another verdict."""
    before = {"value": 0.5, "lo": 0.1, "baselines": {"kmer": {"value": 0.2}}, "verdict": "better by 0.312"}
    same = {**before, "value": 0.5004, "verdict": "better by 0.313"}
    assert list(differences(before, same)) == []
    other = {"value": 0.5, "lo": 0.12, "baselines": {}, "verdict": "worse by 0.312"}
    assert list(differences(before, other)) == [
        "baselines kmer: {'value': 0.2} before, None now",
        "lo: 0.1 before, 0.12 now",
        "verdict: 'better by 0.312' before, 'worse by 0.312' now",
    ]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"rules_version": RULES_VERSION, "results": results()}, indent=1) + "\n")
