"""Discriminator: how well a simple classifier tells generated from natural sequences it has not seen.

Logistic regression on k-mer shares, cross-validated; the area under its ROC curve is 0.5 if it cannot tell
and 1 if it always can. By place in the sequence it shows whether generation drifts away from its prompt.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.counting import kmer_table
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting

FOLDS = 5
LEAST_SEQUENCES = 10
_EDGES = (0, 150, 300, 600, 1200, 2400, 4800, 9600)
_REACHED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Discriminator:
    """Cross-validated AUROC of a k-mer classifier between subsets, of whole sequences and of stretches.

    Source: the classifier test of two samples (Lopez-Paz and Oquab 2017, arXiv:1610.06545), with AUROC in the
    place of accuracy. Natural halves against each other give the null around 0.5; the interval of the
    generated set is that of equal-sized draws.

    Attributes:
        k: letters of a k-mer, 1 to 6.
        stretches: (from, to) letters after the prompt, each judged by itself.
        prompt: letters at the start that are left out of everything.
        resamples: at most so many subsets are judged, at least 1: each is five fits.
        seed: of the folds.
    """

    k: int = 3
    stretches: tuple[tuple[int, int], ...] = ()
    prompt: int = 0
    resamples: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 6 or self.resamples < 1 or self.prompt < 0:
            raise ConfigError(
                f"k = {self.k}, resamples = {self.resamples}, prompt = {self.prompt}: allowed are 1 to 6, at "
                "least 1, at least 0"
            )

    @classmethod
    def of_run(cls, setting: Setting) -> list[Discriminator]:
        """Stretches that 20 sequences of either set reach to their end."""
        sets = (setting.generated, setting.reference)
        smaller = min(len(setting.generated), len(setting.reference) // 2)
        if smaller < LEAST_SEQUENCES:
            raise NotApplicableError(
                f"{smaller} sequences of a side are too few to train and test a classifier, "
                f"{LEAST_SEQUENCES} are needed"
            )
        reached = [
            (a, b) for a, b in pairwise(_EDGES)
            if min(int((s.lengths >= setting.prompt + b).sum()) for s in sets) >= _REACHED
        ]  # fmt: skip
        k = 3 if setting.letters == NUCLEOTIDES else 1
        return [
            cls(k=k, stretches=tuple(reached) if len(reached) > 1 else (), prompt=setting.prompt,
                resamples=setting.resamples, seed=setting.seed)
        ]  # fmt: skip

    @property
    def measures(self) -> tuple[Measure, ...]:
        of = f"Classifier on {self.k}-mers, area under ROC"
        whole = Measure(name="discriminator_auroc", unit="AUROC", title=of, kind="share")
        return (whole, *(
            Measure(name=f"discriminator_auroc_{a}_{b}", unit="AUROC", kind="share",
                    title=f"{of}, letters {a + 1:,} to {b:,}" + (" after the prompt" if self.prompt else ""))
            for a, b in self.stretches
        ))  # fmt: skip

    def features(self, sequences: SequenceSet) -> np.ndarray:
        """k-mer shares [n, 1 + stretches, 4^k], NaN where a sequence ends before its stretch does."""
        pieces = [(0, None), *self.stretches]
        return np.stack([self._shares(sequences, a, b) for a, b in pieces], axis=1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        judged = range(min(len(rows), self.resamples))
        return np.array([
            [self._auroc(first[rows[i], piece], second[others[i], piece]) for piece in range(first.shape[1])]
            for i in judged
        ])  # fmt: skip

    def _shares(self, sequences: SequenceSet, begin: int, end: int | None) -> np.ndarray:
        texts = sequences.after(self.prompt).strings()
        pieces = [text[begin:end] for text in texts]
        counts = kmer_table(SequenceSet.from_strings(pieces, letters=sequences.letters), self.k)
        total = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(total, 1)
        short = np.array([len(text) < (end or 0) for text in texts], dtype=bool)
        shares[short | (total[:, 0] == 0)] = np.nan
        return shares

    def _auroc(self, first: np.ndarray, second: np.ndarray) -> float:
        """AUROC of scores that were given to each sequence by a fit which had not seen it; NaN where a fit
        would see one class alone, as of a set that is one sequence many times."""
        from sklearn.metrics import roc_auc_score

        x, y = _labelled(first, second)
        if min(int(y.sum()), int((1 - y).sum())) < FOLDS:
            return np.nan
        fold = _folds(x, y, self.seed)
        parts = [fold == number for number in np.unique(fold)]
        if any(len(np.unique(y[~part])) < 2 for part in parts):
            return np.nan
        scores = np.zeros(len(y))
        for part in parts:
            scores[part] = _scores(x[~part], y[~part], x[part])
        return float(roc_auc_score(y, scores))


def _scores(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What a fit to some sequences says of others."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    model = LogisticRegression(solver="newton-cholesky", C=0.1)
    with warnings.catch_warnings():  # where Newton's steps do not help, scikit-learn goes on with L-BFGS
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - mean) / scale, y)
    return model.decision_function((asked - mean) / scale)


def _labelled(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([first, second])
    y = np.repeat([1, 0], [len(first), len(second)])
    known = ~np.isnan(x).any(axis=1)
    return x[known], y[known]


def _folds(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each row, of both classes alike; equal rows share one, so that no copy is seen before."""
    groups = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(y), dtype=np.int64)
    for label in (1, 0):
        members = np.unique(groups[y == label])
        fold_of = dict(zip(rng.permutation(members).tolist(), np.arange(len(members)) % FOLDS))
        fold[y == label] = [fold_of[g] for g in groups[y == label].tolist()]
    shared = np.intersect1d(groups[y == 1], groups[y == 0])
    for group in shared:  # in both classes: the fold of the first
        fold[groups == group] = fold[groups == group][0]
    return fold
