"""The box on top: four questions, answered from the figures in plain words, good news or bad."""

from __future__ import annotations

from dataclasses import dataclass

from bioeval.baselines import BASELINES
from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import figures, percent, text
from bioeval.report.verdicts import model_name, naturalness, ranked, standing, task_names

BASELINE = "codon-freq"
MARKS = {
    "yes": "✓ yes",
    "no": "✗ no",
    "partly": "△ partly",
    "unclear": "△ unclear",
    "none": "– not run",
    "made": "● made",
}
VERDICTS = {
    "beats": ("yes", "The model is better: "),
    "loses": ("no", "The model is worse: "),
    "about equal": ("unclear", "No clear difference: "),
    "unknown": ("none", "Not decidable: "),
}
_CLASS = {"yes": "yes", "made": "yes", "no": "no", "partly": "no", "unclear": "none", "none": "none"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, its short answer (a key of `MARKS`) and the sentence behind it."""

    question: str
    mark: str
    words: str


def render(facts: Facts, *, whole: bool = True) -> str:
    """The summary box; where not `whole`, of the stages that are there."""
    answers = [built(facts), clean_split(facts), *beats_baseline(facts), like_nature(facts), copies(facts)]
    if not whole:
        there = (facts.summary or facts.manifest or facts.sequences, facts.manifest,
                 *[facts.results] * (len(answers) - 4), facts.sequences, facts.sequences)  # fmt: skip
        answers = [answer for answer, has in zip(answers, there) if has]
    return f'<div class="summary" id="summary"><h2>In short</h2><ul>{"".join(map(_item, answers))}</ul></div>'


def built(facts: Facts) -> Answer:
    """What the run made."""
    pieces = []
    splits = facts.manifest.get("splits", {})
    if splits:
        sizes = ", ".join(f"{n:,} {name}" for name, n in splits.items())
        pieces.append(f"a dataset of {sum(splits.values()):,} sequences ({sizes})")
    if facts.tokenizer:
        kind = facts.tokenizer.get("seqloom", {}).get("kind", "unknown")
        size = f", {facts.tokenizer_vocabulary:,} tokens" if facts.tokenizer_vocabulary else ""
        pieces.append(f"a tokenizer ({kind}{size})")
    if facts.summary:
        pieces.append(_model(facts))
    if facts.sequences:
        pieces.append(f"{facts.sequences['n_generated']:,} generated sequences to judge")
    return Answer("What was built?", "made" if pieces else "none", _sentence(pieces) or "Nothing yet.")


def clean_split(facts: Facts) -> Answer:
    """Whether held-out rows are unlike training rows."""
    question, audit = "Is the split clean?", facts.manifest.get("audit")
    if not audit:
        return Answer(
            question, "none", "There is no audit of the split, so scores may be inflated by near copies."
        )
    rows, threshold = audit.get("leaking_rows"), percent(audit.get("identity"), 0)
    if rows == 0:
        words = (
            f"An independent search found no held-out sequence within {threshold} identity of another split."
        )
        return Answer(question, "yes", f"{words} {_nearest_pair(audit)}")
    words = (
        f"{rows:,} held-out sequences are at least {threshold} identical to one in another split: scores on "
    )
    return Answer(question, "no", f"{words}them are inflated. {_nearest_pair(audit)}")


def _nearest_pair(audit: Json) -> str:
    highest, floor = audit.get("max_identity"), audit.get("searched_from_identity")
    if highest is not None:
        return f"The most similar pair across splits is {percent(highest)} identical."
    return f"No pair across splits is {percent(floor, 0)} identical or more." if floor is not None else ""


def beats_baseline(facts: Facts) -> list[Answer]:
    """One answer a task: the first model against the codon-frequency ridge, or the best other baseline."""
    if not facts.results:
        return [Answer("Does the model beat the baselines?", "none", "No task was evaluated.")]
    return [
        _task_answer([r for r in facts.results if r["task"] == task]) for task in task_names(facts.results)
    ]


def like_nature(facts: Facts) -> Answer:
    """Whether the sequence metrics lie in the range nature shows against itself."""
    question, made = "Are generated sequences like natural ones?", facts.sequences
    if not made:
        return Answer(question, "none", "Generated sequences were not compared.")
    inside, outside, powerless = naturalness(made["metrics"])
    told = inside + outside
    words = f"{inside} of {told} metrics lie within what random halves of the natural sequences show."
    if powerless:
        words += f" {powerless} more cannot tell: shuffled sequences pass them too."
    mark = "none" if not told else "yes" if not outside else "partly" if inside >= told / 4 else "no"
    return Answer(question, mark, f"{words}{_frames(made['metrics'])}{_distance_sentence(made['metrics'])}")


def copies(facts: Facts) -> Answer:
    """Whether the model repeats its training set more than nature does."""
    question = "Are they new, not copied?"
    near = facts.sequences.get("nearest_training_identity", {}) if facts.sequences else {}
    if near.get("median") is None:
        return Answer(question, "none", "No training sequences were given to compare with.")
    words = (
        f"The median generated sequence is {percent(near['median'])} identical to its nearest training "
        f"sequence, held-out natural ones {percent(near['reference_median'])}; the closest are "
        f"{percent(near['max'])} and {percent(near['reference_max'])}."
    )
    if near["exact_copies"]:
        return Answer(
            question, "no", f"{near['exact_copies']:,} generated sequences are exact copies. {words}"
        )
    measure = facts.sequences["metrics"].get("nearest_identity_p95", {})
    generated, highest = measure.get("scale", {}).get("generated"), measure.get("null_hi")
    above = generated is not None and highest is not None and generated > highest
    return Answer(question, "partly" if above else "yes", words)


def _task_answer(results: list[Json]) -> Answer:
    # of several models the first that is no baseline itself
    result = next((one for one in results if one["model"] not in BASELINES), results[0])
    names = [name for name in result.get("baselines", {})]
    rows = [row for row in ranked(results) if row["name"] in names and row["value"] is not None]
    baseline = BASELINE if BASELINE in names else rows[0]["name"] if rows else ""
    label = "codon-frequency ridge" if baseline == BASELINE else f"baseline {baseline}"
    model = "the model" if len(results) == 1 else model_name(result["model"])
    question = f"Does {model} beat the {label} on {result['task']}?"
    if not rows:
        return Answer(question, "none", "No baseline was run." if not names else "No baseline has a score.")
    how = standing(result, baseline)
    best = rows[0]
    words = (
        f"{result['metric']} {figures(result['value'])} ({figures(result['lo'])} to {figures(result['hi'])}) "
        f"against {figures(result['baselines'][baseline]['value'])}"
    )
    other = ""
    if best["name"] != baseline:
        other = f" The best baseline is {best['name']} with {figures(best['value'])}."
    mark, verdict = VERDICTS[how]
    return Answer(question, mark, f"{verdict}{words}.{other}{_leaks(result)}")


def _leaks(result: Json) -> str:
    rows = (result.get("leakage") or {}).get("train_test_rows")
    return f" Mind that {rows:,} test rows have near copies in training." if rows else ""


def _frames(metrics: Json) -> str:
    """How many of the generated sequences could be genes at all."""
    found = metrics.get("orf_valid")
    if not found:
        return ""
    natural = figures(found["scale"]["half_vs_half"])
    return f" {figures(found['value'])} % of them are valid open reading frames (natural: {natural} %)."


def _distance_sentence(metrics: Json) -> str:
    """The 3-mer divergence (or another distance that has power) in proportion."""
    useful = {n: m for n, m in metrics.items() if m["kind"] == "distance" and m["tells"]}
    name = next((n for n in ("kmer_jsd_k3", "codon_usage_jsd", "kmer_jsd_k6") if n in useful), None)
    if name is None:
        return ""
    scale, unit = metrics[name]["scale"], metrics[name]["unit"]
    if scale["generated"] is None or not scale["half_vs_half"]:
        return ""
    times = scale["generated"] / scale["half_vs_half"]
    return (
        f" {metrics[name]['title']}: {figures(scale['generated'])} {unit}, {figures(times)} times what "
        f"nature shows against itself ({figures(scale['half_vs_half'])}); shuffling gives "
        f"{figures(scale['shuffled'])}."
    )


def _model(facts: Facts) -> str:
    counted = facts.summary.get("parameters")
    total = counted.get("total") if isinstance(counted, dict) else counted
    name = facts.run_config.get("model", {}).get("name", "")
    size = f" with {total:,} parameters" if total else ""
    steps, tokens = facts.summary.get("step"), facts.summary.get("tokens")
    trained = f" trained for {steps:,} steps on {tokens:,} tokens" if steps and tokens else ""
    return f"a {name or 'model'} model{size}{trained}" if name else f"a model{size}{trained}"


def _sentence(pieces: list[str]) -> str:
    if not pieces:
        return ""
    joined = pieces[0] if len(pieces) == 1 else ", ".join(pieces[:-1]) + " and " + pieces[-1]
    return joined[0].upper() + joined[1:] + "."


def _item(answer: Answer) -> str:
    return (
        f'<li><span class="mark {_CLASS[answer.mark]}">{text(MARKS[answer.mark])}</span><div>'
        f'<p class="q">{text(answer.question)}</p><p>{text(answer.words)}</p></div></li>'
    )
