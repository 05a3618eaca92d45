"""How training went: loss curves and the figures of the run."""

from __future__ import annotations

from typing import Any

from bioeval.report.charts import BASE, MUTED, NATURAL, canvas, light_grid
from bioeval.report.inputs import Facts
from bioeval.report.markup import Html, facts_list, figure, figures, missing, number, section, tiles

KEY, TITLE = "training", "Training"


def render(facts: Facts) -> str:
    """Key figures and curves."""
    if not facts.log and not facts.summary:
        return section(KEY, TITLE, missing("No model was trained in this run."))
    parts = [_tiles(facts)]
    if any("loss" in line or "val_loss" in line for line in facts.log):
        caption = (
            "Cross-entropy per token in nats (whatever the training loss), so runs compare; the dashed line "
            "is what guessing every token with equal probability gives."
        )
        parts.append(figure(_curves(facts), caption))
    else:
        parts.append(
            missing(
                "training_log.jsonl is not in the run folder, so there are no curves: put it "
                "back from where the model was trained, and make the report again."
            )
        )
    parts.append(facts_list(_facts(facts)))
    return section(KEY, TITLE, "".join(parts))


def _tiles(facts: Facts) -> str:
    summary = facts.summary
    parameters = _parameters(facts)
    found = {
        "parameters": parameters, "steps": summary.get("step"), "tokens read": summary.get("tokens"),
        "validation loss (nats)": summary.get("val_loss"),
        "validation perplexity": summary.get("val_perplexity"),
    }  # fmt: skip
    return tiles((name, number(value)) for name, value in found.items() if value is not None)


def _parameters(facts: Facts) -> int | None:
    counted = facts.summary.get("parameters")
    return counted.get("total") if isinstance(counted, dict) else counted


def _curves(facts: Facts) -> Html:
    train = [(x["step"], x.get("xe", x.get("loss"))) for x in facts.log if "loss" in x]
    validation = [(x["step"], x["val_loss"]) for x in facts.log if "val_loss" in x]
    with canvas(5.8, 2.8, name="Training and validation loss by step") as (axes, result):
        if train:
            axes.plot(*zip(*train), color=BASE, label="train", linewidth=1.3)
        if validation:
            axes.plot(*zip(*validation), color=NATURAL, marker="o", markersize=3.5, label="validation")
        _guess_line(axes, facts)
        axes.set_xlabel("step")
        axes.set_ylabel("cross-entropy (nats / token)")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        light_grid(axes)
    return result[0]


def _guess_line(axes: Any, facts: Facts) -> None:
    import math

    if facts.tokenizer_vocabulary:
        level = math.log(facts.tokenizer_vocabulary)
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))


def _facts(facts: Facts) -> list[tuple[str, Any]]:
    summary, config = facts.summary, facts.run_config
    model = config.get("model", {})
    shape = ", ".join(
        f"{k} {model[k]}" for k in ("name", "layers", "width", "heads", "context") if k in model
    )
    data = summary.get("data", {})
    pairs: list[tuple[str, Any]] = [("model", shape)]
    pairs += [(name, _words(summary.get(name) or config.get(name))) for name in ("objective", "loss")]
    for name in ("train", "validation"):
        part = data.get(name, {})
        if part:
            words = f"{part.get('sequences', 0):,} sequences, {part.get('tokens', 0):,} tokens"
            cut = part.get("cut_sequences", 0)
            longer = f", {cut:,} longer than the context, read in several windows"
            pairs.append((f"{name} data", words + (longer if cut else "")))
    if "train_loss" in summary:
        pairs.append(("training loss", number(summary["train_loss"])))
    if "seconds" in summary:
        pairs.append(
            ("time", f"{figures(summary['seconds'])} s, {figures(summary.get('tokens_per_s'))} tokens/s")
        )
    return [(name, value) for name, value in pairs if value]


def _words(settings: Any) -> str | None:
    """A group of settings, its name first: `hxe, alpha 0.2`; of those that are groups again the names."""
    if not isinstance(settings, dict):
        return settings
    plain = {k: v for k, v in settings.items() if k != "name" and not isinstance(v, dict)}
    words = [str(settings.get("name", "")), *(f"{k.replace('_', ' ')} {v}" for k, v in plain.items())]
    return ", ".join(word for word in words if word)
