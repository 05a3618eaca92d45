"""Splits molecules by their scaffold."""

from __future__ import annotations

import numpy as np

from biodata.errors import DataError, require
from biodata.similarity.molecules import EXTRA, scaffolds
from biodata.splits.config import SplitConfig
from biodata.splits.ways import Rows, Units, anywhere, units_of


def by_scaffold(rows: Rows, config: SplitConfig) -> Units:
    """Molecules of one scaffold; those without a ring by their canonical SMILES.

    Raises:
        DataError: the rows are not molecules.
        MissingExtraError: RDKit or selfies is missing.
    """
    if rows.alphabet != "selfies":
        raise DataError(f"by is 'scaffold' but the rows are {rows.alphabet}, allowed: selfies")
    texts = scaffolds(rows.columns["sequence"].to_pylist())
    numbers: dict[str, int] = {}
    codes = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
    labels = units_of(np.array(codes, np.int64))
    info = {"method": "scaffold", "rows_without_value": codes.count(-1),
            "rdkit": require("rdkit", extra=EXTRA).__version__}  # fmt: skip
    return Units(labels=labels, whole=True, place=anywhere(len(labels)), info=info)
