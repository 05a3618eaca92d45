"""How often the 95 % interval of each score holds the true value, on simulated test sets.

    python benchmarks/eval_coverage.py [--rows 25 40 60 100] [--sets 1000] [--scores rmse ...] [--json]

Of each score test sets are drawn from ten populations, from a weak to a strong model, so that the lattice of
scores that count rows (accuracy, the top tenth) does not decide. The true value is the score of 200,000 rows;
of scores that depend on the number of rows itself (`BY_NUMBER`) it is the mean over 2,000 sets of the size.
1,000 sets leave a standard error of 0.7 % on a coverage of 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

import numpy as np

from bioeval.scores import CONTACT_METRICS, METRICS, SCORES, score
from bioeval.stats import Resampling, interval

Population = Callable[[np.random.Generator, int, float], tuple[np.ndarray, np.ndarray]]
STRENGTHS = tuple(np.linspace(0.05, 0.95, 10))
MANY = 200_000
SETS_OF_TRUTH = 2000
BY_NUMBER = frozenset({"ndcg10", "top10-recall", "v-measure", "fmax"})


def normal(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of a bivariate normal of correlation `strength`."""
    y, error = rng.standard_normal((2, n))
    return y, strength * y + np.sqrt(1 - strength**2) * error


def heavy(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Errors of Student's t with 5 degrees of freedom: outliers."""
    y = rng.standard_normal(n)
    return y, y + (1.5 - strength) * rng.standard_t(5, n)


def skewed(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Exponential targets, the high ones predicted too low."""
    y = rng.exponential(size=n)
    return y, strength * y + rng.normal(0, 0.5, n)


def two(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, 40 % of the second."""
    y = (rng.random(n) < 0.4).astype(np.int64)
    apart = 0.5 + 2 * strength
    logit = apart * (apart * y + rng.standard_normal(n) - apart / 2) - 0.4
    p = 1 / (1 + np.exp(-logit))
    return y, np.stack([1 - p, p], axis=1)


def three(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 50, 30 and 20 %."""
    y = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    p = np.exp((0.5 + 1.5 * strength) * np.eye(3)[y] + 0.8 * rng.standard_normal((n, 3)))
    return y, p / p.sum(1, keepdims=True)


def labels(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Four labels of 30 to 50 %."""
    y = (rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.3]).astype(float)
    apart = 0.5 + 1.5 * strength
    return y, 1 / (1 + np.exp(-apart * (apart * y + rng.standard_normal((n, 4)) - apart / 2) + 0.3))


def queries(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and hit of queries."""
    found = rng.beta(0.5 + 3 * strength, 2, n)
    return np.zeros(n), np.stack([found, (rng.random(n) < found).astype(float)], axis=1)


def clusters(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes, of which a share falls into the right cluster."""
    y = rng.integers(0, 3, n)
    return y, np.where(rng.random(n) < 0.4 + 0.5 * strength, y, rng.integers(0, 3, n)).astype(float)


def contacts(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Precision of sequences, the same in every range."""
    return np.zeros(n), np.repeat(rng.beta(0.5 + 3 * strength, 2, n)[:, None], len(CONTACT_METRICS), axis=1)


POPULATIONS: tuple[tuple[Sequence[str], Population], ...] = (
    (METRICS["number"], normal), (("spearman", "pearson", "r2", "rmse", "mae"), heavy),
    (("spearman", "pearson", "r2", "rmse", "mae"), skewed), (METRICS["class"], two),
    (METRICS["class"], three), (METRICS["labels"], labels), (METRICS["retrieval"], queries),
    (METRICS["clustering"], clusters), (CONTACT_METRICS[:1], contacts),
)  # fmt: skip


def covered(metric: str, population: Population, n: int, *, sets: int, resamples: int) -> dict[str, float]:
    """Share of intervals that hold the true value, and that lie wholly above and below it."""
    counts = np.zeros(3)
    for place, strength in enumerate(STRENGTHS):
        rng = np.random.default_rng([n, place, *population.__name__.encode()])
        drawn = [population(rng, n, strength) for _ in range(sets // len(STRENGTHS))]
        if metric in BY_NUMBER:
            more = (population(rng, n, strength) for _ in range(SETS_OF_TRUTH))
            truth = float(np.nanmean([score(metric, y, p) for y, p in more]))
        else:
            truth = score(metric, *population(rng, MANY, strength))
        for seed, (y, p) in enumerate(drawn):
            found = interval(metric, y, p, how=Resampling(resamples=resamples, seed=seed))
            if found.lo is None or found.hi is None:
                continue
            above, below = found.lo > truth + 1e-9, found.hi < truth - 1e-9
            counts += [not (above or below), above, below]
    inside, above, below = counts / counts.sum()
    return {"covered": inside, "above": above, "below": below, "sets": int(counts.sum())}


def main() -> None:
    """Prints a table, or with `--json` one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[25, 40, 60, 100])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--scores", nargs="+", default=sorted(SCORES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = []
    for names, population in POPULATIONS:
        for metric in (name for name in names if name in args.scores):
            row = {"score": metric, "population": population.__name__, "covered": {}}
            for n in args.rows:
                row["covered"][str(n)] = covered(
                    metric, population, n, sets=args.sets, resamples=args.resamples
                )
            results.append(row)
            shown = " ".join(f"{100 * found['covered']:6.1f}" for found in row["covered"].values())
            print(f"{metric:20}{population.__name__:12}{shown}", file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps({"rows": args.rows, "sets": args.sets, "results": results}))
        return
    print(f"| score | sets | {' | '.join(f'{n} rows' for n in args.rows)} |")
    print("|" + "---|" * (2 + len(args.rows)))
    for row in results:
        shown = " | ".join(f"{100 * found['covered']:.1f}" for found in row["covered"].values())
        print(f"| `{row['score']}` | {row['population']} | {shown} |")


if __name__ == "__main__":
    main()
