"""Every kind of task from rows to results, with toy tasks; what cannot be done is one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, average_precision_score

from biodata.errors import ConfigError, DataError
from bioeval.cache import EmbeddingCache
from bioeval.evaluate import EvalConfig
from bioeval.leakage import find_leakage
from bioeval.protocols import KINDS
from bioeval.running.answers import Asker, probe_name
from bioeval.running.answers import test_items as items_to_score
from bioeval.running.bench import Bench, Models
from bioeval.running.items import check_targets, items_of
from bioeval.running.repeats import resplit
from bioeval.running.rivals import mutation_scores
from bioeval.running.toys import toy_tasks
from bioeval.running.untrained import retrieved
from bioeval.tasks import Task

TASKS = {task.kind: task for task in toy_tasks("dna")}
PROTEIN = {task.kind: task for task in toy_tasks("protein")}


def run(task: Task, tmp_path: Path, model: str = "kmer", **changes: Any) -> tuple[dict[str, Any], pa.Table]:
    settings = {"resamples": 100, "repeats": 0, "cache": tmp_path / "cache", **changes}
    config = EvalConfig(models=(model,), tasks=("toy",), out=tmp_path, **settings)
    entry = Bench(config, task, Models(config)).entry(model, {})
    assert entry.table is not None
    return entry.result, entry.table


@pytest.mark.parametrize(
    ("kind", "rivals"),
    [
        ("regression", {"codon-freq", "one-hot"}),
        ("classification", {"codon-freq", "one-hot", "majority"}),
        ("multi-label", {"codon-freq", "one-hot", "majority"}),
        ("token", {"one-hot", "majority"}),
        ("pairs", {"codon-freq", "one-hot", "majority", "first-only", "second-only"}),
        ("retrieval", {"codon-freq", "one-hot"}),
        ("clustering", {"codon-freq", "one-hot"}),
    ],
)
def test_every_kind_has_a_score_with_interval_and_baselines(
    kind: str, rivals: set[str], tmp_path: Path
) -> None:
    result, table = run(TASKS[kind], tmp_path)
    assert set(result["baselines"]) == rivals and result["kind"] == kind
    assert result["lo"] <= result["value"] <= result["hi"]
    assert result["n"] == table.num_rows == len(set(table.column("id").to_pylist()))
    for name in ("y", "prediction", *(f"prediction_{rival}" for rival in rivals)):
        assert table.column(name).null_count == 0
    assert result["items"] and set(result["cost"]) == {"parameters", "probe_parameters", "seconds"}
    assert result["strongest_baseline"] in rivals


@pytest.mark.parametrize(
    ("kind", "probe", "numbers"),
    [
        ("classification", "logistic", lambda d: d + 1),
        ("multi-label", "logistic", lambda d: 2 * (d + 1)),
        ("regression", "svr", lambda d: 2),
        ("classification", "random-forest", lambda d: 300),
    ],
)
def test_what_a_probe_fitted_is_counted(kind: str, probe: str, numbers: Any, tmp_path: Path) -> None:
    """Of logistic regression a coefficient a feature and an intercept, of others at least so many."""
    result, _ = run(TASKS[kind], tmp_path, baselines=False, probe=probe)
    found, least = result["cost"]["probe_parameters"], numbers(result["probe"].get("features_varying", 0))
    assert found == least if probe == "logistic" else found >= least


def test_classes_are_scored_as_scikit_learn_does(tmp_path: Path) -> None:
    result, table = run(TASKS["classification"], tmp_path, baselines=False)
    y = table.column("y").to_numpy()
    p = np.stack(table.column("prediction").to_numpy(zero_copy_only=False))
    assert p.shape == (18, 2) and p.sum(1) == pytest.approx(np.ones(18))
    assert result["value"] == accuracy_score(y, p.argmax(1))
    assert set(result["other_metrics"]) >= {"macro-f1", "mcc", "auroc", "auprc", "cross-entropy"}


def test_positions_without_a_label_are_neither_learned_nor_scored(tmp_path: Path) -> None:
    task = TASKS["token"]
    result, table = run(task, tmp_path, baselines=False)
    labelled = sum(int((row >= 0).sum()) for row in task.token_values("test"))
    assert result["n"] == labelled < sum(map(len, task.token_values("test")))
    assert table.column("id")[0].as_py() == "toy54:2"  # the first position of a toy row has no label
    assert result["interval"]["units"] == "groups" and result["interval"]["n_units"] == 18


def test_a_one_hot_of_the_unit_knows_what_the_unit_is(tmp_path: Path) -> None:
    result, _ = run(TASKS["token"], tmp_path, model="one-hot", baselines=False)
    assert result["value"] > 0.95


def test_another_probe(tmp_path: Path) -> None:
    result, _ = run(TASKS["classification"], tmp_path, probe="knn", baselines=False)
    assert result["probe"]["probe"] == "knn" and result["probe"]["chosen_on"] == "validation"
    assert result["value"] > 0.6


def test_a_token_probe_reads_one_hots_and_other_baselines_take_the_usual_probe(tmp_path: Path) -> None:
    task = PROTEIN["regression"]
    result, _ = run(task, tmp_path, model="one-hot", probe="textcnn")
    assert result["probe"]["probe"] == "textcnn" and result["value"] > 0.5
    assert result["baselines"]["kmer"]["settings"]["probe"] == "ridge"


def test_a_token_probe_learns_positions(tmp_path: Path) -> None:
    result, table = run(TASKS["token"], tmp_path, model="one-hot", probe="textcnn", baselines=False)
    assert result["probe"]["probe"] == "textcnn" and result["n"] == table.num_rows
    assert result["value"] > 0.95


def test_a_token_probe_reads_pairs_and_baselines_take_the_usual_probe(tmp_path: Path, gpt2: Path) -> None:
    result, table = run(TASKS["pairs"], tmp_path, model=str(gpt2), probe="textcnn")
    assert result["probe"]["probe"] == "textcnn" and result["n"] == table.num_rows == 18
    assert result["baselines"]["first-only"]["settings"]["probe"] == "logistic"
    assert set(result["baselines"]) >= {"kmer", "one-hot", f"random-init:{gpt2}"}


def test_retrieval_by_hand() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(9, 4)), rng.normal(size=(20, 4))
    y, of = rng.integers(0, 3, 9), rng.integers(0, 3, 20)
    found = retrieved(queries, y, gallery, of, own=False)
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    for row, query, c in zip(found, queries, y):
        assert row[0] == pytest.approx(average_precision_score(of == c, unit @ query))
        assert row[1] == float(of[np.argmax(unit @ query)] == c)


def test_zero_shot_baselines_are_mutations_and_blosum() -> None:
    task = PROTEIN["zero-shot"]
    found = mutation_scores(task)
    differing = [
        sum(a != b for a, b in zip(*pair)) for pair in zip(task.sequences("test"), task.seconds("test") or [])
    ]
    assert found["mutations"].tolist() == [-float(n) for n in differing]
    assert set(found) == {"mutations", "blosum62"} and (found["blosum62"] < 0).all()
    assert set(mutation_scores(TASKS["zero-shot"])) == {"mutations"}


class Knows:
    """A scorer that counts residues of class A."""

    name, key, kind = "knows", "knows", "log-likelihood"

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        return np.ones((len(sequences), 1), np.float32)

    def score(self, sequences: Sequence[str]) -> Any:
        from bioeval.protocols import SequenceScores

        total = np.array([float(sum(c in "AGLP" for c in s)) for s in sequences])
        n = np.array([len(s) for s in sequences])
        return SequenceScores(total=total, n_tokens=n, error=np.zeros(len(n)))


def test_zero_shot_asks_a_scorer(tmp_path: Path) -> None:
    result, table = run(PROTEIN["zero-shot"], tmp_path, model=f"{__name__}:Knows")
    assert result["value"] > 0.5 and result["metric"] == "spearman"
    assert set(result["baselines"]) == {"mutations", "blosum62"}
    assert result["leakage"]["method"] == "no train rows" and "no train rows" in result["sentence"]
    np.testing.assert_array_equal(table.column("prediction"), table.column("prediction_mutations"))


@pytest.mark.parametrize(
    ("kind", "probe", "text"),
    [
        ("regression", "logistic", "probe logistic cannot learn a target of kind 'number'"),
        ("classification", "ridge", "probe ridge cannot learn a target of kind 'class'"),
        ("retrieval", "ridge", "probe = 'ridge' does nothing for task 'toy-retrieval'"),
        ("zero-shot", "knn", "probe = 'knn' does nothing for task 'toy-zero-shot'"),
        (
            "token",
            "light-attention",
            "makes one vector of a sequence, but task 'toy-token' labels single pos",
        ),
        ("token", "lora", "probe lora trains a model, kmer has no weights"),
        ("regression", "lora", "probe lora trains a model, kmer has no weights"),
    ],
)
def test_a_probe_that_does_not_fit_is_one_line(kind: str, probe: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        run(TASKS[kind], tmp_path, probe=probe)


def test_usual_probes() -> None:
    found = {kind: probe_name("auto", TASKS[kind]) for kind in KINDS}
    assert found == {"regression": "ridge", "classification": "logistic", "multi-label": "logistic",
                     "token": "logistic", "pairs": "logistic", "zero-shot": "", "retrieval": "",
                     "clustering": "", "contacts": ""}  # fmt: skip


def changed(task: Task, where: str, /, **columns: Any) -> Task:
    """The task with one value in all rows of a split."""
    table = task.table
    inside = np.array(table.column("split").to_pylist()) == where
    for name, value in columns.items():
        rows = [value if yes else old for yes, old in zip(inside, table.column(name).to_pylist())]
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(rows, table.schema.field(name).type))
    return replace(task, table=table)


@pytest.mark.parametrize(
    ("kind", "split", "columns", "text"),
    [
        ("regression", "train", {"value": float("nan")}, "task toy-regression: train target 1 is nan"),
        ("regression", "test", {"value": 2.0}, "all 18 test targets are 2: nothing to predict"),
        ("classification", "train", {"label": 1}, "all 36 train targets are 'b': nothing to predict"),
        ("multi-label", "validation", {"labels": [1.0, 0.0]}, "are alike in every label: nothing to predict"),
        ("token", "test", {"tokens": [-1] * 12}, "0 test items, at least 3 are needed"),
        ("regression", "test", {"split": "train"}, "0 test items, at least 3 are needed"),
        ("regression", "validation", {"split": "train"}, "0 validation items, at least 3 are needed"),
    ],
)
def test_unusable_targets_are_one_line(kind: str, split: str, columns: dict, text: str) -> None:
    with pytest.raises(DataError, match=text):
        check_targets(changed(TASKS[kind], split, **columns))


class Constant:
    """Says the same of every sequence but for the first feature, which nothing depends on."""

    name, key = "constant", "constant"

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        return np.ones((len(sequences), 3), dtype=np.float32)


def test_constant_features_are_one_line_that_names_the_model(tmp_path: Path) -> None:
    text = "task toy-regression, constant: all 3 features are constant over the train rows"
    with pytest.raises(DataError, match=text):
        run(TASKS["regression"], tmp_path, model=f"{__name__}:Constant")


class Unlike:
    """Vectors vary in train alone, so that all test predictions are equal."""

    name, key = "unlike", "unlike"

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        train = set(TASKS["regression"].sequences("train"))
        return np.array([[len(s) if s in train else 7.0] for s in sequences], dtype=np.float32)


def test_constant_predictions_are_undefined_with_a_reason_not_nan(tmp_path: Path) -> None:
    result, _ = run(TASKS["regression"], tmp_path, model=f"{__name__}:Unlike")
    assert result["value"] is None and result["lo"] is None and result["interval"]["reason"]
    assert "spearman undefined (" in result["sentence"] and "cannot be compared" in result["verdict"]
    assert "NaN" not in repr(result).replace("None", "")


class Protein:
    """Knows residues only."""

    name, key = "protein-model", "protein-model"

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        return np.ones((len(sequences), 2), np.float32)

    def counts(self, sequences: Sequence[str]) -> dict[str, int]:
        return {"tokens": 100, "unknown": 80}


def test_a_model_of_another_alphabet_is_one_line(tmp_path: Path) -> None:
    text = "protein-model: 80% of the tokens of task 'toy-regression' .dna. are unknown to its tokenizer"
    with pytest.raises(DataError, match=text):
        run(TASKS["regression"], tmp_path, model=f"{__name__}:Protein")


def test_a_scorer_of_another_alphabet_is_one_line(gpt2: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"82% of the tokens of task 'toy-zero-shot' \(protein\) are unknown"):
        run(PROTEIN["zero-shot"], tmp_path, model=str(gpt2), device="cpu")


def test_retrieval_leaves_out_queries_that_nothing_answers() -> None:
    task = changed(TASKS["retrieval"], "train", label=0)
    items = items_to_score(task)
    assert set(items.y.tolist()) == {0} and len(items.y) == 6 < len(items_of(task, "test").y)


def test_pairs_leak_only_when_both_sides_were_seen() -> None:
    task = TASKS["pairs"]
    train = task.rows("train")
    table = task.rows("test")
    first = [train.column("sequence")[0].as_py()] * 2 + table.column("sequence").to_pylist()[2:]
    second = [train.column("second")[5].as_py(), *table.column("second").to_pylist()[1:]]
    test = table.set_column(
        table.column_names.index("sequence"), "sequence", pa.array(first, pa.large_string())
    )
    test = test.set_column(test.column_names.index("second"), "second", pa.array(second))
    found = find_leakage(replace(task, table=pa.concat_tables([train, task.rows("validation"), test])))
    assert found.leaking.tolist()[:2] == [True, False] and found.exact == 0
    assert found.details["pairs_seen"] == {"both": 1, "one": 1, "none": 16}


def test_molecules_and_groups_leak_too() -> None:
    task = {t.kind: t for t in toy_tasks("selfies")}["regression"]
    copied = changed(task, "test", sequence=task.sequences("train")[0], group="g")
    grouped = changed(copied, "train", group="g")
    found = find_leakage(changed(grouped, "validation", group="h"))
    assert found.leaking.all() and found.exact == 18 and "token by token" in found.method
    assert found.details["rows_of_train_groups"] == 18 and "of a group that trains too" in found.sentence


def test_small_test_sets_get_repeated_splits(tmp_path: Path) -> None:
    result, _ = run(TASKS["regression"], tmp_path, repeats=5)
    found = result["repeated"]
    assert set(found) == {"kmer", result["strongest_baseline"]}
    assert found["kmer"]["repeats"] == 5 and found["kmer"]["lo"] < found["kmer"]["mean"] <= 1
    assert "repeated" not in run(TASKS["regression"], tmp_path, repeats=5, small=18)[0]


def test_resplits_keep_sizes_groups_and_seed() -> None:
    task = TASKS["regression"]
    a, b, c = resplit(task, 1), resplit(task, 1), resplit(task, 2)
    splits = [t.table.column("split").to_pylist() for t in (a, b, c)]
    assert splits[0] == splits[1] != splits[2]
    assert [a.rows(s).num_rows for s in ("train", "validation", "test")] == [36, 18, 18]


def test_a_probe_reads_no_test_target(tmp_path: Path) -> None:
    task = TASKS["classification"]
    other = changed(task, "test", label=0)
    cache = EmbeddingCache(tmp_path)
    from bioeval.baselines import BASELINES

    found = [
        Asker(task=t, probe="logistic", cache=cache, seed=0).probed(BASELINES.load("kmer")(t), cached=False)
        for t in (task, other)
    ]
    np.testing.assert_array_equal(found[0].predictions, found[1].predictions)
