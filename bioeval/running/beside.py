"""What stands beside a score: the mean of repeated splits, and test rows near a model's pretraining data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioeval.baselines import BASELINES
from bioeval.leakage import pretraining_rows
from bioeval.running.answers import Run
from bioeval.shown import score_shown

if TYPE_CHECKING:
    from bioeval.evaluate import EvalConfig
    from bioeval.results import Judged

UNTRAINED = "random-init:"


def pretrained(name: str) -> bool:
    """Whether a model was trained on anything before.

    >>> [pretrained(name) for name in ("runs/a", "kmer", "random-init:runs/a")]
    [True, False, False]
    """
    return name not in BASELINES and not name.startswith(UNTRAINED)


def pretraining_leakage(name: str, run: Run, judged: Judged, config: EvalConfig) -> dict[str, Any]:
    """Test rows that are near the train rows of a model's pretraining data, and the score without them.

    Args:
        name: of a model that was pretrained.
        run: its predictions.
        judged: task, items, how intervals are made.
        config: `pretraining`, identity and coverage.

    Returns:
        `dataset`, `rows`, `of` and `score_without_leaking_rows`; `rows` is `None` with a `reason` where
        nothing could be looked for.
    """
    stated = config.pretraining or _training_data(name)
    unknown = {"dataset": None if stated is None else stated.name, "rows": None}
    if stated is None:
        return {**unknown, "reason": "not known, --pretraining DATASET names it"}
    if config.pretraining is None and not (stated / "manifest.json").is_file():
        return {**unknown, "reason": f"{stated} is not there, --pretraining DATASET names it"}
    near = pretraining_rows(judged.task, stated, identity=config.identity, coverage=config.coverage)
    if near is None:
        return {**unknown, "reason": "another alphabet"}
    clean = judged.without(run.predictions, near)
    return {
        "dataset": stated.name,
        "rows": int(near.sum()),
        "of": len(near),
        "score_without_leaking_rows": clean,
    }


def _training_data(name: str) -> Path | None:
    """The dataset that a run folder of seqloom, or the model in it, says it was trained on."""
    from biodata.configs import read_yaml

    path = Path(name)
    for folder in (path, path.parent) if path.name == "model" else (path,):
        if (folder / "config.yaml").is_file():
            found = read_yaml(folder / "config.yaml").get("data")
            return Path(found) if isinstance(found, str) else None
    return None


def pretraining_sentence(found: Mapping[str, Any]) -> str:
    """One phrase.

    Args:
        found: by `pretraining_leakage`.

    >>> pretraining_sentence({"dataset": None, "rows": None, "reason": "not known"})
    'pretraining data: not known'
    """
    named = f"pretraining data {found['dataset']}" if found["dataset"] else "pretraining data"
    if found["rows"] is None:
        return f"{named}: {found['reason']}"
    text = f"{found['rows']} of {found['of']} test rows are near its {named}"
    return text + (
        f", without them {score_shown(found['score_without_leaking_rows'])}" if found["rows"] else ""
    )


def repeats_sentence(model: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The mean of a model over repeated splits, one phrase.

    Args:
        model: name.
        found: by `bioeval.running.repeats.repeated`.
    """
    own = found[model]
    if own["mean"] is None:
        return f"repeated splits: {own['reason']}"
    return f"mean of {own['repeats']} repeated splits {own['mean']:.3f} [{own['lo']:.3f}, {own['hi']:.3f}]"
