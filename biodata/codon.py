"""Genetic codes by NCBI table number, and the codon tree as data.

The tree is HELM's (Yazdani-Jahromi et al., ICLR 2025, arXiv:2410.12459): `codons` holds start codon, amino
acids and stop codons as siblings, each amino acid its synonymous codons; every special token hangs alone
under the root. With table 1, every ATG is the start codon, so methionine is no amino-acid node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from types import MappingProxyType

from biodata.errors import ConfigError

CODONS: tuple[str, ...] = tuple("".join(c) for c in product("ACGT", repeat=3))
"""The 64 codons in alphabetical order, DNA letters."""


@lru_cache
def genetic_code(table: int = 1) -> Mapping[str, str]:
    """Codon to one-letter amino acid, `*` for stops, of an NCBI translation table.

    Raises:
        ConfigError: NCBI has no table of this number.

    >>> genetic_code(1)["TGA"], genetic_code(4)["TGA"], genetic_code(2)["AGA"]
    ('*', 'W', '*')
    """
    from Bio.Data import CodonTable  # 40 ms that most sequences never need

    try:
        code = CodonTable.unambiguous_dna_by_id[table]
    except KeyError:
        known = ", ".join(map(str, sorted(CodonTable.unambiguous_dna_by_id)))
        raise ConfigError(f"unknown NCBI translation table {table!r} (known: {known})") from None
    stops = set(code.stop_codons)
    amino = {c: code.forward_table.get(c, "*") for c in CODONS}
    return MappingProxyType({c: "*" if c in stops and c not in code.forward_table else amino[c]
                             for c in CODONS})  # fmt: skip


@lru_cache
def start_codons(table: int = 1) -> frozenset[str]:
    """The start codons of an NCBI translation table.

    >>> sorted(start_codons(1))
    ['ATG', 'CTG', 'TTG']
    """
    from Bio.Data import CodonTable

    genetic_code(table)
    return frozenset(CodonTable.unambiguous_dna_by_id[table].start_codons)


def translate(sequence: str, *, table: int = 1) -> str:
    """Amino acids of upper-case DNA or RNA read from its first letter.

    A codon with an ambiguity code gives the residue if all its readings agree, else `X`; one or two letters
    after the last whole codon are ignored.

    >>> translate("ATGGCNTAA"), translate("AUGNNN"), translate("ATGAT")
    ('MA*', 'MX', 'M')
    """
    sequence = sequence.replace("U", "T")
    code = genetic_code(table)
    codons = (sequence[i : i + 3] for i in range(0, len(sequence) - 2, 3))
    return "".join(code.get(c) or _ambiguous_residue(c, table) for c in codons)


@lru_cache(maxsize=8192)
def _ambiguous_residue(codon: str, table: int) -> str:
    from biodata.alphabet import DNA

    choices = [DNA.ambiguous.get(letter, letter) for letter in codon]
    residues = {genetic_code(table).get("".join(c), "X") for c in product(*choices)}
    return residues.pop() if len(residues) == 1 else "X"


def codon_tree(
    special_tokens: Sequence[str] = (), *, table: int = 1, start: str = "ATG"
) -> dict[str, tuple[str, ...]]:
    """Path from below the root down to each token, HELM's hierarchy.

    Args:
        special_tokens: tokens that are no codons; each is the only leaf of its own group.
        table: NCBI translation table.
        start: the codon that forms the `start_codon` group; `""` puts it with its amino acid instead.

    Returns:
        Token to the names of the nodes on its path, the token itself last.

    >>> tree = codon_tree(["<pad>"])
    >>> tree["GTT"], tree["ATG"], tree["<pad>"]
    (('codons', 'aa_codons', 'V', 'GTT'), ('codons', 'start_codon', 'ATG'), ('pad', '<pad>'))
    """
    tree: dict[str, tuple[str, ...]] = {token: (token.strip("<>"), token) for token in special_tokens}
    for codon, residue in genetic_code(table).items():
        if codon == start:
            tree[codon] = ("codons", "start_codon", codon)
        elif residue == "*":
            tree[codon] = ("codons", "end_codon", codon)
        else:
            tree[codon] = ("codons", "aa_codons", residue, codon)
    return tree
