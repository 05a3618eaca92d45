"""The report as a browser meets it: well-formed, self-contained, with the figures of its inputs, honest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.report.inputs import Facts, ReportInputs, read_facts
from bioeval.report.markup import figures, text
from bioeval.report.page import SECTIONS, render_page, write_part, write_report
from bioeval.report.pairs import paired_tests
from bioeval.report.sections import metrics, probes, summary
from bioeval.report.verdicts import naturalness, ranked, standing
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Checks that tags nest, and collects what matters."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.values: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] != ["style"]:
            self.words.append(data)

    def _note(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags.add(tag)
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        self.links += [
            attributes[name] or ""
            for name in ("src", "href", "srcset", "data", "action")
            if name in attributes
        ]
        self.values += [attributes["data-value"] or ""] if "data-value" in attributes else []

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


MANIFEST: dict[str, Any] = {
    "rows": 90, "splits": {"train": 60, "validation": 14, "test": 16}, "clusters": 31,
    "dropped": {"duplicate": 7, "inner-stop": 2}, "changed": {"upper-cased": 3}, "fingerprint": "f" * 64,
    "sources": [{"name": "genes.fa", "size": 12345, "sha256": "a" * 64, "format": "fasta", "records": 99}],
    "repair": {"explanation": "Purged: 4 rows (4 from train).", "rows_purged": {"train": 4, "test": 0}},
    "audit": {
        "identity": 0.9, "coverage": 0.8, "leaking_pairs": 0, "leaking_rows": 0, "max_identity": 0.8713,
        "method": "a search", "search": {"planted": 64, "planted_found": 63},
        "exact": {"pairs": 1200, "queries": 30},
    },
}  # fmt: skip
SUMMARY = {"step": 30, "tokens": 12000, "train_loss": 3.4567, "val_loss": 3.5123, "val_perplexity": 33.52,
           "tokens_per_s": 812.5, "seconds": 14.8, "parameters": {"total": 812345},
           "versions": {"torch": "2.13"},
           "objective": {"name": "clm"}, "loss": {"name": "hxe", "alpha": 0.2, "tree_seed": 0},
           "data": {"train": {"sequences": 60, "tokens": 4000, "unknown_rate": 0.0,
                              "cut_sequences": 7}}}  # fmt: skip
LOST = {"value": 0.601, "lo": 0.5, "hi": 0.7, "difference": {"delta": -0.19, "lo": -0.3, "hi": -0.1}}
PAIRED = {"delta": -0.05, "lo": -0.12, "hi": 0.02, "p_value": 0.2, "test": "paired permutation",
          "detectable": 0.117, "items_needed": 88, "units": "groups", "n_units": 16}  # fmt: skip
RESULT: dict[str, Any] = {
    "model": "/home/me/run", "task": "stability", "metric": "spearman", "value": 0.4123, "lo": 0.31,
    "hi": 0.52, "n": 16, "split": "test", "verdict": "worse than codon-freq",
    "leakage": {"train_test_rows": 0, "test_rows": 16, "identity": 0.9},
    "baselines": {"codon-freq": LOST, "one-hot": {"value": None, "lo": None, "hi": None}},
}  # fmt: skip


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """Finished stages in the shapes of the contract; the sequence metrics are real."""
    root = tmp_path_factory.mktemp("stages")
    write(root / "dataset/manifest.json", MANIFEST)
    write(root / "tok/tokenizer_config.json", {"seqloom": {"kind": "codon"}})
    write(root / "tok/tokenizer.json", {"model": {"vocab": {f"t{i}": i for i in range(70)}}})
    write(root / "run/summary.json", SUMMARY)
    write(
        root / "run/config.yaml", "model: {name: gpt2, layers: 2}\nloss: {name: hxe, alpha: 0.2}\nseed: 5\n"
    )
    log = [{"step": s, "loss": 5 - s / 20, "xe": 4 - s / 20} for s in range(1, 31)] + [
        {"step": 30, "val_loss": 3.5123}
    ]
    write(root / "run/training_log.jsonl", "".join(json.dumps(line) + "\n" for line in log))
    write(root / "eval/results.json", {"results": [RESULT]})
    rng = np.random.default_rng(0)
    for name, number in (("natural.fa", 24), ("generated.fa", 12)):
        genes = [
            "ATG" + "".join(rng.choice(["GCT", "GCC", "AAA", "TTC", "CTG"], 60)) + "TAA"
            for _ in range(number)
        ]
        write(root / name, "".join(f">{i}\n{g}\n" for i, g in enumerate(genes)))
    evaluate_sequences(
        SequencesConfig(
            generated=root / "generated.fa", reference=root / "natural.fa", train=root / "natural.fa",
            out=root / "sequences", resamples=20, persistence_resamples=20, persistence_points=80,
        )
    )  # fmt: skip
    return ReportInputs(
        dataset=root / "dataset", tokenizer=root / "tok", run=root / "run", evaluation=root / "eval",
        sequences=root / "sequences", generated=root / "generated.fa", title="A <test> & more",
        recipe=f"name: {EVIL}", commands=("seqloom run quickstart",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(stages: ReportInputs) -> str:
    return render_page(read_facts(stages))


def test_page_is_well_formed_and_has_every_section(html: str) -> None:
    page = Page(html)
    assert {"summary", *(part.KEY for part in SECTIONS)} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.isdisjoint({"script", "iframe", "link", "object"})
    assert page.text.count("was not run") == 0


def test_an_interval_likely_too_narrow_says_so(stages: ReportInputs, tmp_path: Path) -> None:
    why = "interval likely too narrow: 12 rows, 15 are wanted"
    write(tmp_path / "eval/results.json", {"results": [RESULT | {"interval": {"caution": why}}]})
    assert why[1:] in render_page(read_facts(replace(stages, evaluation=tmp_path / "eval")))


def test_page_needs_nothing_from_outside(html: str) -> None:
    links = Page(html).links
    assert [x for x in links if not x.startswith(("#", "data:image/png;base64,"))] == []
    assert {x[1:] for x in links if x.startswith("#")} <= set(Page(html).ids)
    assert not re.search(r"url\((?!#)|@import|https?://", html)
    assert len(html.encode()) < 5_000_000


def test_figures_are_those_of_the_inputs(html: str, stages: ReportInputs) -> None:
    page = Page(html)
    shown = [json.loads(v) for v in page.values if v not in ("None", "True", "False", "nan")]
    sequences = read_facts(stages).sequences
    for metric in sequences["metrics"].values():
        wanted = [metric["value"], metric["null_lo"], metric["null_hi"], *metric["scale"].values()]
        assert all(v in shown for v in wanted if v is not None and v is not metric["scale"]["half_vs_half"])
    for value in (0.4123, 0.601, 90, 60, 14, 16, 7, 2, 3, 4, 0.8713, 3.5123, 33.52, 812345, 12000,
                  sequences["nearest_training_identity"]["median"]):  # fmt: skip
        assert value in shown, value


def test_stages_are_told_in_words(html: str, stages: ReportInputs) -> None:
    words = Page(html).text
    assert "a tokenizer (codon, 70 tokens), a gpt2 model" in words
    none = Page(render_page(replace(read_facts(stages), results=()))).text
    assert "Does the model beat the baselines? No task was evaluated." in none
    assert "objective clm loss hxe, alpha 0.2, tree seed 0 train data" in words
    assert "60 sequences, 4,000 tokens, 7 longer than the context, read in several windows" in words


def test_text_is_escaped_and_folders_are_not_named(html: str, stages: ReportInputs) -> None:
    assert EVIL not in html and text(EVIL) in html
    assert "<title>A &lt;test&gt; &amp; more</title>" in html
    assert "/home/me" not in html and str(stages.run) not in html


def test_summary_says_when_the_model_loses(html: str) -> None:
    words = Page(html).text
    assert "Does the model beat the codon-frequency ridge on stability?" in words
    assert "✗ no" in words and "The model is worse: spearman 0.412 (0.310 to 0.520) against 0.601." in words
    assert "The most similar pair across splits is 87.1 % identical." in words


def test_summary_says_when_it_wins_or_cannot_tell(stages: ReportInputs) -> None:
    facts = read_facts(stages)

    def answer(low: float, high: float) -> str:
        score = RESULT["baselines"]["codon-freq"] | {"difference": {"lo": low, "hi": high}}
        result = RESULT | {"baselines": {"codon-freq": score}}
        return summary.beats_baseline(replace(facts, results=(result,)))[0].mark

    assert [answer(0.1, 0.2), answer(-0.1, 0.1), answer(-0.2, -0.1)] == ["yes", "unclear", "no"]


def test_leaks_are_not_hidden(stages: ReportInputs) -> None:
    audit = MANIFEST["audit"] | {"leaking_rows": 3, "leaking_pairs": 5}
    facts = replace(read_facts(stages), manifest=MANIFEST | {"audit": audit}, pictures={})
    page = Page(render_page(facts))
    assert summary.clean_split(facts).mark == "no"
    assert "3 held-out sequences are at least 90 % identical" in page.text


def test_rows_that_leak_have_the_score_without_them_beside(stages: ReportInputs) -> None:
    clean = {"value": 0.25, "lo": 0.125, "hi": 0.375, "n": 11}
    leakage = RESULT["leakage"] | {"train_test_rows": 5, "score_without_leaking_rows": clean}
    found = RESULT | {
        "leakage": leakage,
        "kind": "token",
        "sentence": "/home/me/run is good",
        "validation": 1 / 3,
    }
    none = clean | {"value": None, "lo": None, "hi": None, "n": 2}
    other = RESULT | {"model": "kmer", "leakage": leakage | {"score_without_leaking_rows": none}}
    words = Page(render_page(replace(read_facts(stages), results=(found, other)))).text
    assert "5 of 16 test rows have a near copy among the training rows (identity ≥ 0.9)." in words
    assert "run without them: 0.250 ( 0.125 – 0.375 ), n = 11. kmer without them: undefined, n = 2." in words
    assert "16 labelled positions of the test set" in words and "/home/me" not in words
    assert "validation 0.333" in words
    none = RESULT | {"leakage": RESULT["leakage"] | {"method": "no train rows"}}
    words = Page(render_page(replace(read_facts(stages), results=(none,)))).text
    assert "there are no training rows to leak from" in words and "0 of 16 test rows" not in words


def test_of_cross_entropy_the_lowest_is_best() -> None:
    rows = ranked([RESULT | {"metric": "cross-entropy"}])
    assert [row["value"] for row in rows] == [0.4123, 0.601, None]


def test_stages_that_are_missing_are_said_to_be(stages: ReportInputs, tmp_path: Path) -> None:
    only = ReportInputs(evaluation=stages.evaluation)
    page = Page(write_report(only, tmp_path / "r.html").read_text())
    for words in (
        "No dataset was built",
        "No tokenizer was made",
        "No model was trained",
        "eval sequences was not run",
    ):
        assert words in page.text
    assert "– not run" in page.text
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text('{"step": 3}')
    without = ReportInputs(evaluation=stages.evaluation, run=tmp_path / "run")
    words = "training_log.jsonl is not in the run folder, so there are no curves: put it back"
    assert words in Page(write_report(without, tmp_path / "w.html").read_text()).text
    with pytest.raises(ConfigError, match="at least one finished stage"):
        write_report(ReportInputs(run=tmp_path), tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_a_part_speaks_of_its_own_stages_alone(stages: ReportInputs, tmp_path: Path) -> None:
    scores = Page(
        write_part(ReportInputs(evaluation=stages.evaluation), tmp_path / "e.html").read_text()
    ).text
    assert probes.TITLE in scores and "Does the model beat" in scores
    made = Page(write_part(ReportInputs(sequences=stages.sequences), tmp_path / "s.html").read_text()).text
    assert metrics.TITLE in made and "Are they new, not copied?" in made and "Does the model beat" not in made
    for page in (scores, made):
        assert "not run" not in page.replace("that were not run", "") and "No dataset was built" not in page


def test_of_several_models_the_one_that_is_judged_is_named(stages: ReportInputs) -> None:
    undefined = {"value": None, "lo": None, "hi": None}
    results = ({**RESULT, "model": "codon-freq"}, {**RESULT, "model": "/data/runs/mine"})
    (answer,) = summary.beats_baseline(replace(read_facts(stages), results=results))
    assert answer.question.startswith("Does mine beat the codon-frequency ridge on ")
    results = ({**RESULT, "baselines": {"codon-freq": undefined}},)
    (answer,) = summary.beats_baseline(replace(read_facts(stages), results=results))
    assert answer.mark == "none" and answer.words == "No baseline has a score."


def test_sequences_too_short_for_a_metric_have_no_value_and_no_verdict(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    genes = ["ATG" + "".join(rng.choice(["GCT", "AAA", "TTC", "CTG"], 60)) + "TAA" for _ in range(8)]
    write(tmp_path / "natural.fa", "".join(f">{i}\n{gene}\n" for i, gene in enumerate(genes)))
    write(tmp_path / "short.fa", ">a\nACGT\n>b\nAC\n>c\nACCGT\n")
    made = evaluate_sequences(SequencesConfig(
        generated=tmp_path / "short.fa", reference=tmp_path / "natural.fa", out=tmp_path / "s", resamples=20,
        metrics=("repeats", "kmer", "composition"), kmers=(2,),
    ))  # fmt: skip
    empty = [name for name, one in made["metrics"].items() if one["scale"]["generated"] is None]
    assert empty and not naturalness({name: made["metrics"][name] for name in empty})[1]
    page = Page(write_part(ReportInputs(sequences=tmp_path / "s"), tmp_path / "s.html").read_text())
    assert page.text.count("no value") == len(empty)


def test_broken_json_is_one_line_with_its_place(tmp_path: Path) -> None:
    write(tmp_path / "run/training_log.jsonl", '{"step": 1, "loss": 2}\n{"step": 2, "lo')
    with pytest.raises(DataError, match=r"training_log.jsonl:2: not JSON"):
        write_report(ReportInputs(run=tmp_path / "run"), tmp_path / "r.html")


def test_same_inputs_give_the_same_bytes(stages: ReportInputs, html: str) -> None:
    assert render_page(read_facts(stages)) == html


def test_ranking_and_standing() -> None:
    assert [row["name"] for row in ranked([RESULT])] == ["codon-freq", "run", "one-hot"]
    assert standing(RESULT, "codon-freq") == "loses"
    assert standing(RESULT, "one-hot") == "unknown"
    error = {"metric": "rmse", "value": 1.0, "lo": 0.9, "hi": 1.1, "baselines": {"a": {"value": 2.0}}}
    assert standing(error, "a") == "beats"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.999, "0.999"),
        (12.345, "12.3"),
        (123456.7, "123,457"),
        (float("nan"), "–"),
        (-0.05, "-0.0500"),
    ],
)
def test_figures(value: float, shown: str) -> None:
    assert figures(value) == shown


def test_facts_have_a_place_for_everything() -> None:
    page = Page(render_page(Facts(title="t", recipe="", commands=(), manifest=MANIFEST)))
    assert "duplicate" in page.text


def test_paired_tests_and_power_stand_with_the_verdict() -> None:
    floors = {
        "kmer": {"value": 0.46, "lo": 0.3, "hi": 0.6, "difference": PAIRED},
        "/home/me/twin": {"value": 0.1, "lo": 0.0, "hi": 0.2, "difference": PAIRED | {"p_value": 0.01}},
    }
    result = RESULT | {"baselines": floors, "strongest_baseline": "kmer"}
    result["repeated"] = {"/home/me/run": {"mean": 0.4, "lo": 0.3, "hi": 0.5}, "kmer": {"mean": None}}
    page = Page(paired_tests(result))
    assert {"0.2", "0.02", "0.01", "-0.05", "0.117"} <= set(page.values)
    assert "Paired permutation on the same test items, corrected for 2 baselines." in page.text
    assert "(16 groups) cannot tell apart differences under 0.12 from kmer" in page.text
    assert "would need about 88 groups" in page.text and "/home/me" not in page.text
    assert "overlap: run 0.400 (0.300 to 0.500)." in page.text
    assert paired_tests(RESULT) == ""
