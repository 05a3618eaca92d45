"""The hierarchy of a vocabulary: for each token its nodes from below the root down to itself.

`true` is HELM's codon tree; `random` is HELM's control (arXiv:2410.12459, its released form: shuffled codons
in groups of random size, hung directly under `codons`, so the tree is one level lower); `permuted` keeps the
tree as it is and permutes the codons on its leaves, the better control: everything but the biology is the
same. A JSON file gives any other tree of any vocabulary: an object is a node, a list holds leaves.

    {"hydrophobic": {"aliphatic": ["A", "V", "L", "I"], "aromatic": ["F", "W", "Y"]}, "polar": ["S", "T"]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biodata.codon import CODONS, codon_tree, genetic_code
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.losses.config import LossConfig

Nodes = tuple[str, ...]

_LARGEST_GROUP = 6


def token_paths(config: LossConfig, tokens: Sequence[str]) -> list[Nodes]:
    """The path of each token by id.

    Raises:
        ConfigError: the hierarchy is of codons and the vocabulary has others, or lacks some.
        DataError: a JSON file that is no tree of this vocabulary.
    """
    if config.tree is not None:
        tree = _read(config.tree)
        lost = [token for token in tokens if token not in tree and token not in SPECIAL_TOKENS]
        if lost:
            raise DataError(
                f"token {lost[0]!r} is no leaf of the tree ({len(lost)} in all)", where=config.tree
            )
        return [tree.get(token, (token.strip("<>"), token)) for token in tokens]
    _check_codons(config, tokens)
    specials = [token for token in tokens if token in SPECIAL_TOKENS]
    tree = codon_tree(specials, table=config.table, start=config.start_codon)
    if config.hierarchy != "true":
        make = _permuted if config.hierarchy == "permuted" else _random
        tree |= make(config, {codon: tree[codon] for codon in CODONS})
    return [tree[token] for token in tokens]


def _check_codons(config: LossConfig, tokens: Sequence[str]) -> None:
    foreign = [token for token in tokens if token not in CODONS and token not in SPECIAL_TOKENS]
    missing = sorted(set(CODONS).difference(tokens))
    if foreign or missing:
        wrong = f"token {foreign[0]!r} is no codon" if foreign else f"it lacks codon {missing[0]!r}"
        raise ConfigError(
            f"loss {config.name!r} needs a codon tokenizer: {wrong} (take tokenizer 'codon' or loss 'xe')"
        )


def _permuted(config: LossConfig, tree: Mapping[str, Nodes]) -> dict[str, Nodes]:
    """The same tree with other codons on its leaves."""
    order = np.random.default_rng(config.tree_seed).permutation(len(CODONS))
    return {CODONS[at]: (*tree[codon][:-1], CODONS[at]) for codon, at in zip(CODONS, order)}


def _random(config: LossConfig, tree: Mapping[str, Nodes]) -> dict[str, Nodes]:
    """Shuffled codons in groups of 1 to 6; a group is named by its start codon, a stop, or a random letter,
    and groups of one name are one."""
    draw = np.random.default_rng(config.tree_seed)
    codons = [CODONS[at] for at in draw.permutation(len(CODONS))]
    code = genetic_code(config.table)
    letters = sorted(set(code.values()) - {"*"})
    found: dict[str, Nodes] = {}
    while codons:
        size = int(draw.integers(1, _LARGEST_GROUP + 1))
        group, codons = codons[:size], codons[size:]
        name = letters[draw.integers(len(letters))]
        if config.start_codon in group:
            name = "start_codon"
        elif any(code[codon] == "*" for codon in group):
            name = "end_codon"
        found |= {codon: ("codons", name, codon) for codon in group}
    return found


def _read(path: Path) -> dict[str, Nodes]:
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"loss tree {path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"no tree: {error}", where=path, hint="JSON objects for nodes, lists for leaves"
        ) from error
    found: dict[str, Nodes] = {}
    for leaf in _leaves(tree, (), path):
        if leaf[-1] in found:
            raise DataError(f"leaf {leaf[-1]!r} is in the tree twice", where=path)
        found[leaf[-1]] = leaf
    return found


def _leaves(node: Any, above: Nodes, where: Path) -> Iterator[Nodes]:
    if isinstance(node, Mapping):
        for name, below in node.items():
            yield from _leaves(below, (*above, name), where)
    elif isinstance(node, list) and all(isinstance(leaf, str) for leaf in node):
        yield from ((*above, leaf) for leaf in node)
    else:
        place = "/".join(above) or "the root"
        raise DataError(
            f"{place} is {type(node).__name__}", where=where, hint="an object or a list of tokens"
        )
