"""Tasks that nothing is fitted for: what lies near what (retrieval) and what falls together (clustering)."""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 512  # queries compared with the gallery at once


def retrieved(
    queries: np.ndarray, classes: np.ndarray, gallery: np.ndarray, gallery_classes: np.ndarray, *, own: bool
) -> np.ndarray:
    """Average precision and hit of the nearest row, for each query by cosine similarity.

    Args:
        queries: `[n, d]`.
        classes: of the queries `[n]`.
        gallery: `[m, d]`.
        gallery_classes: `[m]`.
        own: whether gallery and queries are the same rows: a query then does not find itself.

    Returns:
        float64 `[n, 2]`, NaN for a query of whose class the gallery has no row. Equally near rows are taken
        in gallery order.

    >>> x = np.array([[1.0, 0], [0.9, 0.1], [0, 1]])
    >>> retrieved(x, np.array([0, 0, 1]), x, np.array([0, 0, 1]), own=True).tolist()
    [[1.0, 1.0], [1.0, 1.0], [nan, nan]]
    """
    a, b = _unit(queries), _unit(gallery)
    found = np.full((len(a), 2), np.nan)
    for start in range(0, len(a), _BLOCK):
        near = a[start : start + _BLOCK] @ b.T
        for row, similar in enumerate(near, start):
            if own:
                similar[row] = -np.inf
            order = np.argsort(-similar, kind="stable")[: len(b) - own]
            relevant = gallery_classes[order] == classes[row]
            if relevant.any():
                precision = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
                found[row] = precision[relevant].mean(), float(relevant[0])
    return found


def clustered(x: np.ndarray, *, k: int, seed: int) -> np.ndarray:
    """Cluster of each row, float64 `[n]`: k-means on standardised features, 10 starts drawn with `seed`.

    Args:
        x: `[n, d]`.
        k: clusters, at most n.
        seed: of the starts.
    """
    from sklearn.cluster import KMeans

    from bioeval.probes.features import Standard

    starts: Any = 10  # the stubs know only "auto"
    return KMeans(k, n_init=starts, random_state=seed).fit_predict(Standard.of(x)(x)).astype(np.float64)


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(norm, 1e-12)
