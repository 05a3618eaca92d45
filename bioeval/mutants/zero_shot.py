"""Effects of mutations from a model that was never told of them.

masked-marginals  sum over the tokens that differ of log p(mutant) - log p(wild type), each place masked by
                  itself in the wild type (Meier et al. 2021, doi:10.1101/2021.07.09.450648; for several
                  mutations as in its released code, where effects add up). A pass a place.
wt-marginals      the same with the wild type seen: one pass for all mutants.
difference        score of the mutant less score of the wild type, of any scorer and any change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint
from bioeval.cache import EmbeddingCache, Maker
from bioeval.protocols import HasMarginals, Scorer

METHODS = ("auto", "masked-marginals", "wt-marginals", "difference")
_MASKED_KINDS = ("pseudo-log-likelihood", "elbo")


class Change(NamedTuple):
    """Tokens in which a mutant differs from its wild type.

    Attributes:
        places: numbers of tokens, from 0.
        old: token ids of the wild type there.
        new: of the mutant.
    """

    places: np.ndarray
    old: np.ndarray
    new: np.ndarray


class MutantScores(NamedTuple):
    """What a model says of mutants.

    Attributes:
        values: float64 `[n]`, nats; higher is more natural, 0 is as natural as the wild type.
        n_tokens: int64 `[n]`, tokens that differ; -1 where their number does.
        method: that was used.
    """

    values: np.ndarray
    n_tokens: np.ndarray
    method: str


def zero_shot_scores(
    scorer: Scorer, sequences: Sequence[str], references: Sequence[str] | None = None, *,
    method: str = "auto", cache: EmbeddingCache | None = None,
) -> np.ndarray:  # fmt: skip
    """float64 `[n]`, nats, higher is more natural: scores of sequences, or of mutants against wild types.

    Args:
        scorer: of `bioeval.backends.open_scorer`.
        sequences: what is scored.
        references: the wild type of each; `None` scores sequences as they are.
        method: see the module and `score_mutants`; `auto` where there are no references.
        cache: where scores are kept; `None` takes the usual place.

    Raises:
        ConfigError: a method that does not fit the model or the mutants.
        DataError: a token that the model never predicts, or a sequence without one.
    """
    if references is not None:
        return score_mutants(scorer, sequences, references, method=method, cache=cache).values
    if method != "auto":
        raise ConfigError(f"method = {method!r} compares with wild types, and there are none")
    return (cache or EmbeddingCache()).score(scorer, sequences).total


def score_mutants(
    scorer: Scorer, sequences: Sequence[str], references: Sequence[str], *, method: str = "auto",
    cache: EmbeddingCache | None = None,
) -> MutantScores:  # fmt: skip
    """Scores mutants against their wild types.

    Args:
        scorer: of `bioeval.backends.open_scorer`.
        sequences: the mutants.
        references: the wild type of each.
        method: `auto` takes masked-marginals where the model is masked and all mutants have as many tokens as
            their wild types, else difference: one method for all, for methods do not compare.
        cache: where scores are kept; `None` takes the usual place.

    Raises:
        ConfigError: a method that does not fit the model or the mutants.
        DataError: a token that the model never predicts, or a sequence without one.
    """
    if method not in METHODS:
        raise ConfigError(f"method = {method!r}, allowed: {', '.join(METHODS)}")
    cache = cache or EmbeddingCache()
    can = isinstance(scorer, HasMarginals) and scorer.kind in _MASKED_KINDS
    if not can and method in ("masked-marginals", "wt-marginals"):
        raise ConfigError(f"{method} need a masked model, {scorer.name} gives {scorer.kind}: take difference")
    if not isinstance(scorer, HasMarginals):
        counts = np.full(len(sequences), -1, dtype=np.int64)
        return MutantScores(_differences(scorer, sequences, references, cache), counts, "difference")
    changes = _changes(scorer, sequences, references)
    counts = np.array([-1 if c is None else len(c.places) for c in changes], dtype=np.int64)
    if method == "auto":
        method = "masked-marginals" if can and (counts >= 0).all() else "difference"
    if method == "difference":
        return MutantScores(_differences(scorer, sequences, references, cache), counts, method)
    if (counts < 0).any():
        row = int(np.argmin(counts)) + 1
        raise ConfigError(f"mutant {row} has another number of tokens than its wild type: take difference")
    whole = [change for change in changes if change is not None]
    return MutantScores(_marginals(scorer, whole, references, method, cache), counts, method)


def _differences(
    scorer: Scorer, sequences: Sequence[str], references: Sequence[str], cache: EmbeddingCache
) -> np.ndarray:
    distinct = list(dict.fromkeys([*references, *sequences]))
    total = dict(zip(distinct, cache.score(scorer, distinct).total))
    return np.array([total[s] - total[r] for s, r in zip(sequences, references)], dtype=np.float64)


def _changes(
    scorer: HasMarginals, sequences: Sequence[str], references: Sequence[str]
) -> list[Change | None]:
    if not sequences:
        return []
    distinct = list(dict.fromkeys(references))
    before = dict(zip(distinct, map(np.asarray, scorer.tokens(distinct))))
    changes: list[Change | None] = []
    for after, reference in zip(map(np.asarray, scorer.tokens(sequences)), references):
        old = before[reference]
        if len(old) != len(after):
            changes.append(None)
            continue
        places = np.flatnonzero(old != after)
        changes.append(Change(places, old[places], after[places]))
    return changes


def _marginals(
    scorer: Scorer, changes: Sequence[Change], references: Sequence[str], method: str, cache: EmbeddingCache
) -> np.ndarray:
    rows_of: dict[str, list[int]] = {}
    for row, reference in enumerate(references):
        rows_of.setdefault(reference, []).append(row)
    values = np.zeros(len(changes))
    for reference, rows in rows_of.items():
        places = np.unique(np.concatenate([changes[row].places for row in rows]))
        table = _table(scorer, reference, places, hidden=method == "masked-marginals", cache=cache)
        for row in rows:
            at = np.searchsorted(places, changes[row].places)
            values[row] = (table[at, changes[row].new] - table[at, changes[row].old]).sum()
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values))) + 1
        raise DataError(f"mutant {row} has a token that the model never predicts", where=scorer.name)
    return values


def _table(
    scorer: Scorer, reference: str, places: np.ndarray, *, hidden: bool, cache: EmbeddingCache
) -> np.ndarray:
    """Log-probabilities [places, vocabulary]; those of hidden places are kept, for they take a pass each."""
    assert isinstance(scorer, HasMarginals)
    if not hidden:
        return scorer.log_probabilities(reference, places.tolist(), hidden=False)
    look = scorer.log_probabilities
    maker = Maker(
        name=scorer.name, key=fingerprint([scorer.key, "masked", reference]),
        doing=f"masking with {scorer.name}", work=lambda place: len(reference),
        make=lambda part: list(look(reference, [int(place) for place in part], hidden=True)),
    )  # fmt: skip
    return np.stack(cache.rows(maker, [str(place) for place in places])) if len(places) else np.zeros((0, 1))
