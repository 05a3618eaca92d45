"""Molecules: their scaffolds, and how alike their fingerprints are.

Scaffold: rings and the chains between them (Bemis & Murcko 1996, doi:10.1021/jm9602928). Fingerprint: ECFP4,
Morgan radius 2 folded to 2,048 bits (Rogers & Hahn 2010, doi:10.1021/ci100050t), compared by the Tanimoto
coefficient. Both are RDKit's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biodata.errors import require
from biodata.similarity.pairwise import EPSILON
from biodata.similarity.search import NO_HITS, Hits, merge_hits

EXTRA = "molecules"


def scaffolds(selfies: list[str]) -> list[str | None]:
    """Scaffold of every molecule as SMILES, without rings its own SMILES; None if RDKit cannot read it.

    Stereochemistry is left out.

    >>> from selfies import encoder
    >>> scaffolds([encoder("CCc1ccccc1"), encoder("OC1=CC=CC=C1"), encoder("CCO")])
    ['c1ccccc1', 'c1ccccc1', 'CCO']
    """
    chem = require("rdkit.Chem", extra=EXTRA)
    murcko = require("rdkit.Chem.Scaffolds.MurckoScaffold", extra=EXTRA)
    found: list[str | None] = []
    for molecule in molecules(selfies):
        if molecule is None:
            found.append(None)
            continue
        core = murcko.GetScaffoldForMol(molecule)
        kept = core if core.GetNumAtoms() else molecule
        found.append(chem.MolToSmiles(kept, isomericSmiles=False))
    return found


def molecules(selfies: list[str]) -> list[Any]:
    """RDKit molecules, None where SELFIES or RDKit refuse."""
    decoder = require("selfies", extra=EXTRA)
    chem, base = require("rdkit.Chem", extra=EXTRA), require("rdkit.rdBase", extra=EXTRA)
    made = []
    with base.BlockLogs():
        for text in selfies:
            try:
                smiles = decoder.decoder(text)
            except decoder.DecoderError:
                made.append(None)
            else:
                made.append(chem.MolFromSmiles(smiles) if smiles else None)
    return made


def similar_molecules(selfies: list[str], *, tanimoto: float, split: np.ndarray | None = None) -> Hits:
    """All pairs of at least this Tanimoto coefficient, with it in place of an identity.

    Args:
        tanimoto: above 0, at most 1.
        split: only pairs in different splits are compared, rows below 0 not at all.

    >>> from selfies import encoder
    >>> similar_molecules([encoder("CCO"), encoder("OCC"), encoder("c1ccccc1")], tanimoto=0.9)[:2]
    (array([0]), array([1]))
    """
    data = require("rdkit.DataStructs", extra=EXTRA)
    generators = require("rdkit.Chem.rdFingerprintGenerator", extra=EXTRA)
    make = generators.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    prints = [None if molecule is None else make(molecule) for molecule in molecules(selfies)]
    usable = np.array([print is not None for print in prints], bool)
    parts = [NO_HITS]
    for query, target in _blocks(usable, split):
        against = [prints[row] for row in target.tolist()]
        for number, row in enumerate(query.tolist()):
            later = number + 1 if split is None else 0  # every pair once
            values = np.array(data.BulkTanimotoSimilarity(prints[row], against[later:]))
            near = np.flatnonzero(values >= tanimoto - EPSILON)
            parts.append(Hits(np.full(len(near), row), target[later + near], values[near]))
    return merge_hits(*parts)


def _blocks(usable: np.ndarray, split: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    if split is None:
        rows = np.flatnonzero(usable)
        return [(rows, rows)]
    return [(np.flatnonzero(usable & (split == part)), np.flatnonzero(usable & (split >= 0) & (split < part)))
            for part in (1, 2)]  # fmt: skip
