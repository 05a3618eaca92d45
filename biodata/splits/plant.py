"""Near-copies of training rows, hidden among the held-out rows of an audit: how many does its search find?"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.mmseqs import NUCLEOTIDES
from biodata.similarity.search import LONG, lengths_of
from biodata.similarity.short import short_below

LEVELS = (0.90, 0.92, 0.95, 0.99)
_PLANTED = 64


def plant(
    sequences: pa.ChunkedArray, split: np.ndarray, *, alphabet: str, identity: float, seed: int
) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Up to 64 copies of training rows with substitutions, a quarter at each of four identities.

    The identities are 0.90, 0.92, 0.95 and 0.99, moved up evenly where the threshold is another one (from
    `identity` to 1). Every second copy of DNA is on the other strand.

    Args:
        sequences: normalised sequences.
        split: 0 for training rows.
        identity: the threshold of the audit.

    Returns:
        The copies, the row of each original, the identity that each copy was given.

    >>> text = "ACGTTGCA" * 50
    >>> copies, rows, levels = plant(pa.chunked_array([[text] * 4]), np.zeros(4), alphabet="rna",
    ...                              identity=0.9, seed=1)
    >>> [sum(a != b for a, b in zip(text, copy.as_py())) / 400 for copy in copies], levels.tolist()
    ([0.1, 0.08, 0.05, 0.01], [0.9, 0.92, 0.95, 0.99])
    """
    length = lengths_of(sequences)
    rows = np.flatnonzero((split == 0) & (length >= short_below(alphabet)) & (length <= LONG))
    random = np.random.default_rng([seed, 1])
    rows = np.sort(random.permutation(rows)[:_PLANTED])
    stretch = (1 - identity) / (1 - LEVELS[0])
    levels = np.round([1 - (1 - LEVELS[at % len(LEVELS)]) * stretch for at in range(len(rows))], 4)
    letters = np.frombuffer(b"ACGT" if alphabet in NUCLEOTIDES else b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
    texts = []
    for number, (row, level) in enumerate(zip(rows.tolist(), levels.tolist())):
        text = np.frombuffer(sequences[row].as_py().encode("latin-1"), np.uint8).copy()
        at = random.choice(len(text), int((1 - level) * len(text) + 1e-9), replace=False)
        code = np.searchsorted(letters, text[at])
        shift = random.integers(1, len(letters), len(at))
        text[at] = letters[(code + shift) % len(letters)]
        copy = text.tobytes().decode("latin-1")
        texts.append(reverse_complement(copy) if alphabet == "dna" and number // len(LEVELS) % 2 else copy)
    return pa.array(texts, pa.large_string()), rows, np.array(levels, float)
