"""Every score against scikit-learn, scipy or published code; weights are repeated rows; degenerate input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from biodata.errors import ConfigError
from bioeval.protocols import KINDS
from bioeval.scores import LOWER_IS_BETTER, METRICS, SCORES, metrics_for, score
from bioeval.scores.contacts import CONTACT_METRICS

RNG = np.random.default_rng(7)
N = 60
NUMBERS = RNG.integers(0, 12, N).astype(float)  # many ties
GUESSES = NUMBERS + RNG.integers(-5, 6, N)
CLASSES = RNG.integers(0, 3, N)
CHANCES = np.round(RNG.dirichlet(np.ones(3), N) + 0.6 * np.eye(3)[CLASSES], 1)
CHANCES /= CHANCES.sum(1, keepdims=True)
LABELS = (RNG.random((N, 4)) < 0.4).astype(float)
MARKS = np.round(np.clip(LABELS * 0.3 + RNG.random((N, 4)) * 0.7, 0, 1), 1)
CLUSTERS = np.where(RNG.random(N) < 0.7, CLASSES, RNG.integers(0, 4, N)).astype(float)
QUERIES = np.stack([RNG.random(N), RNG.integers(0, 2, N)], axis=1).astype(float)


def argmax_of(function: Callable[..., float], **options: object) -> Callable[..., float]:
    return lambda y, p: function(y, p.argmax(1), **options)


def ndcg_by_loop(y: np.ndarray, p: np.ndarray) -> float:
    """The definition, one term after the other."""
    gains = (y - y.min()) / (y.max() - y.min())
    k = int(np.floor(len(y) * 0.1))
    found = sum(
        gains[row] / np.log2(place + 2) for place, row in enumerate(np.argsort(-p, kind="stable")[:k])
    )
    return found / sum(gain / np.log2(place + 2) for place, gain in enumerate(sorted(gains)[::-1][:k]))


def top_by_loop(y: np.ndarray, p: np.ndarray) -> float:
    best, chosen = y > np.percentile(y, 90), p > np.percentile(p, 90)
    return float((best & chosen).sum() / best.sum())


def fmax_by_loop(y: np.ndarray, p: np.ndarray) -> float:
    found = []
    for threshold in np.linspace(0, 1, 101):
        said = p >= threshold
        rows = said.any(1)
        if rows.any():
            precision = np.mean([y[i][said[i]].mean() for i in np.flatnonzero(rows)])
            recall = np.mean([said[i][y[i] > 0].mean() for i in np.flatnonzero(y.any(1))])
            found.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return max(found)


OF_NUMBERS = {
    "spearman": lambda y, p: scipy_stats.spearmanr(y, p)[0],
    "pearson": lambda y, p: scipy_stats.pearsonr(y, p)[0],
    "r2": sk.r2_score,
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "ndcg10": ndcg_by_loop,
    "top10-recall": top_by_loop,
}
TOP = ("ndcg10", "top10-recall")  # ties decide them
OF_CLASSES = {
    "accuracy": argmax_of(sk.accuracy_score),
    "balanced-accuracy": argmax_of(sk.balanced_accuracy_score),
    "macro-f1": argmax_of(sk.f1_score, average="macro"),
    "mcc": argmax_of(sk.matthews_corrcoef),
    "auroc": lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    "auprc": lambda y, p: sk.average_precision_score(np.eye(3)[y], p),
    "cross-entropy": sk.log_loss,
}
OF_LABELS = {
    "auroc": sk.roc_auc_score,
    "auprc": sk.average_precision_score,
    "micro-f1": lambda y, p: sk.f1_score(y, p >= 0.5, average="micro"),
    "macro-f1": lambda y, p: sk.f1_score(y, p >= 0.5, average="macro"),
    "fmax": fmax_by_loop,
}
OF_GROUPS = {
    "v-measure": lambda y, p: sk.v_measure_score(y, p),
    "adjusted-rand": lambda y, p: sk.adjusted_rand_score(y, p),
    "map": lambda y, p: p[:, 0].mean(),
    "recall-at-1": lambda y, p: p[:, 1].mean(),
}
TABLES = np.random.default_rng(5).random((N, len(CONTACT_METRICS)))
TABLES[TABLES < 0.2] = np.nan  # sequences without a contact in the range
OF_CONTACTS = {
    name: lambda y, p, at=at: float(np.nanmean(p[:, at])) for at, name in enumerate(CONTACT_METRICS)
}
CASES = [
    *((m, r, NUMBERS + 0.01 * np.arange(N), GUESSES + 1e-3 * np.arange(N)) for m, r in OF_NUMBERS.items()),
    *((m, r, NUMBERS, GUESSES) for m, r in OF_NUMBERS.items() if m not in TOP),
    *((m, r, CLASSES, CHANCES) for m, r in OF_CLASSES.items()),
    *((m, r, LABELS, MARKS) for m, r in OF_LABELS.items()),
    *((m, r, CLASSES, QUERIES if m in METRICS["retrieval"] else CLUSTERS) for m, r in OF_GROUPS.items()),
    *((m, r, NUMBERS, TABLES) for m, r in OF_CONTACTS.items()),
]
IDS = [f"{case[0]}-{i}" for i, case in enumerate(CASES)]


def test_every_score_has_a_reference() -> None:
    assert {case[0] for case in CASES} == set(SCORES)


@pytest.mark.parametrize(("metric", "reference", "y", "p"), CASES, ids=IDS)
def test_score_equals_its_reference(metric: str, reference: Callable, y: np.ndarray, p: np.ndarray) -> None:
    assert score(metric, y, p) == pytest.approx(reference(y, p), abs=1e-12)


@pytest.mark.parametrize(("metric", "reference", "y", "p"), CASES, ids=IDS)
def test_weights_are_repeated_rows(metric: str, reference: Callable, y: np.ndarray, p: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    weights = np.stack([np.bincount(rng.integers(0, N, N), minlength=N) for _ in range(4)]).astype(float)
    found = SCORES[metric](y, p, weights)
    for row, value in zip(weights.astype(int), found):
        repeated = np.repeat(np.arange(N), row)
        assert value == pytest.approx(reference(y[repeated], p[repeated]), abs=1e-10)


@pytest.mark.parametrize(
    ("n", "ndcg", "recall"),
    [
        (40, 0.5228370755985582, 0.25),
        (137, 0.7538622021692056, 0.42857142857142855),
        (1000, 0.9645139363640605, 0.66),
    ],
)
def test_proteingym_scores_equal_its_published_code(n: int, ndcg: float, recall: float) -> None:
    """Printed by `calc_ndcg` and `calc_toprecall` of ProteinGym 1a99bd0 on the same numbers."""
    i = np.arange(n)
    y, p = np.sin(1.7 * i) + 0.01 * i, np.cos(0.9 * i) + 0.02 * i
    assert score("ndcg10", y, p) == pytest.approx(ndcg, abs=1e-12)
    assert score("top10-recall", y, p) == pytest.approx(recall, abs=1e-12)


def test_two_classes_are_scored_by_the_second() -> None:
    y, p = (CLASSES > 0).astype(int), CHANCES[:, 1]
    for metric, reference in (("auroc", sk.roc_auc_score), ("auprc", sk.average_precision_score)):
        assert score(metric, y, p) == pytest.approx(reference(y, p))
        assert score(metric, y, np.stack([1 - p, p], axis=1)) == pytest.approx(reference(y, p))


def test_labels_that_were_not_measured_do_not_count() -> None:
    y = LABELS.copy()
    y[RNG.random(y.shape) < 0.3] = np.nan
    columns = [(c[np.isfinite(c)], m[np.isfinite(c)]) for c, m in zip(y.T, MARKS.T)]
    expected = np.mean([sk.roc_auc_score(t, m) for t, m in columns])
    assert score("auroc", y, MARKS) == pytest.approx(expected)
    expected = np.mean([sk.f1_score(t, m >= 0.5) for t, m in columns])
    assert score("macro-f1", y, MARKS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "value"),
    [("accuracy", 0.5), ("balanced-accuracy", 0.5), ("macro-f1", 1 / 3), ("mcc", 0.0), ("auroc", 0.5),
     ("auprc", 0.5), ("cross-entropy", np.log(2))],
)  # fmt: skip
def test_what_a_constant_prediction_gives(metric: str, value: float) -> None:
    assert score(metric, np.array([0, 1] * 5), np.full((10, 2), 0.5)) == pytest.approx(value)


def test_constants_and_single_classes_are_undefined_not_zero() -> None:
    for metric in ("spearman", "pearson"):
        assert np.isnan(score(metric, np.arange(9.0), np.full(9, 1e-9)))
    assert score("top10-recall", np.arange(20.0), np.zeros(20)) == 0
    assert np.isnan(score("top10-recall", np.zeros(20), np.arange(20.0)))
    assert np.isnan(score("ndcg10", np.zeros(20), np.arange(20.0)))
    assert np.isnan(score("ndcg10", np.arange(9.0), np.arange(9.0)))  # a tenth of nine rows is none
    one = np.zeros(10, dtype=int)
    for metric in ("mcc", "auroc"):
        assert np.isnan(score(metric, one, CHANCES[:10]))
    assert np.isnan(score("v-measure", one, CLUSTERS[:10]))


def test_signs_stay() -> None:
    assert score("spearman", np.arange(9.0), -np.arange(9.0)) == -1
    assert score("mcc", np.array([0, 1] * 5), np.eye(2)[[1, 0] * 5]) == -1
    assert score("auroc", np.array([0, 1] * 5), np.eye(2)[[1, 0] * 5]) == 0


def test_every_kind_has_scores_and_every_score_a_meaning() -> None:
    for kind in KINDS:
        for classes in (True, False):
            assert set(metrics_for(kind, classes=classes)) <= set(SCORES)
    assert {m for names in METRICS.values() for m in names} == set(SCORES)
    assert all(s.range and s.constant for s in SCORES.values())
    assert {"mae", "rmse", "cross-entropy"} == LOWER_IS_BETTER
    with pytest.raises(ConfigError, match="unknown metric 'f1'"):
        score("f1", CLASSES, CHANCES)
