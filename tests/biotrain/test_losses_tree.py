"""Soft labels, amino-acid losses and hierarchies: against published numbers and the definitions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from biodata.codon import CODONS, codon_tree, genetic_code
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.losses import LossConfig, build_loss
from biotrain.losses.tree import token_paths

TOKENS = (*SPECIAL_TOKENS, *CODONS)

# computed from the formula by others, for the target GTT
SOFT = {
    5: {"GTT": 0.151727, "GTC": 0.043471, "GCT": 0.012455, "ATG": 0.003568, "<pad>": 0.001022},
    15: {"GTT": 0.907787, "GTC": 0.021349, "GCT": 0.000502, "ATG": 1.18e-5, "<pad>": 2.8e-7},
    30: {"GTT": 0.998326, "GTC": 0.000552, "GCT": 3.1e-7},
}


@pytest.mark.parametrize("beta", SOFT)
def test_soft_labels_are_the_published_ones_and_a_higher_beta_is_harder(beta: int) -> None:
    labels = build_loss(LossConfig(name="soft_labels", beta=beta), tokens=TOKENS).get_buffer("labels")
    row = labels[TOKENS.index("GTT")]
    for token, value in SOFT[beta].items():
        assert row[TOKENS.index(token)].item() == pytest.approx(value, rel=0.02)
    assert torch.equal(labels.argmax(1), torch.arange(70))
    assert row.max().item() == pytest.approx(SOFT[beta]["GTT"], rel=1e-4)


def test_the_soft_label_loss_is_the_divergence_from_the_labels() -> None:
    loss = build_loss(LossConfig(name="soft_labels", beta=5), tokens=TOKENS)
    labels = loss.get_buffer("labels")
    noise = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(40, 70, generator=noise), torch.randint(0, 70, (40,), generator=noise)
    expected = F.kl_div(logits.log_softmax(-1), labels[targets], reduction="batchmean")
    torch.testing.assert_close(loss(logits, targets), expected)
    assert loss(labels.log(), torch.arange(70)).abs().item() < 1e-6


@pytest.mark.parametrize("name", ["aa_loss_add", "aa_loss_only"])
def test_amino_acid_losses_sum_the_synonymous_codons(name: str) -> None:
    logits = torch.randn(1, 70, generator=torch.Generator().manual_seed(1))
    p, code = logits[0].double().softmax(0), genetic_code(1)
    for index, token in enumerate(TOKENS):
        if token in SPECIAL_TOKENS or token == "ATG":
            group = [index]
        else:
            group = [i for i, t in enumerate(TOKENS) if code.get(t) == code[token] and t != "ATG"]
        expected = -math.log(p[group].sum()) - (math.log(p[index]) if name == "aa_loss_add" else 0)
        found = build_loss(LossConfig(name=name), tokens=TOKENS)(logits, torch.tensor([index]))
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_amino_acid_loss_alone_does_not_tell_synonyms_apart() -> None:
    loss = build_loss(LossConfig(name="aa_loss_only"), tokens=TOKENS)
    logits = torch.randn(1, 70, generator=torch.Generator().manual_seed(2))
    a, b = (loss(logits, torch.tensor([TOKENS.index(codon)])) for codon in ("GTT", "GTA"))
    assert torch.equal(a, b)


def shape(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The inner nodes of all leaves, whatever the leaves are."""
    return sorted(path[:-1] for path in paths)


def test_a_permuted_hierarchy_has_the_same_shape_and_other_codons() -> None:
    tree = codon_tree(SPECIAL_TOKENS)
    found = [
        token_paths(LossConfig(name="hxe", hierarchy="permuted", tree_seed=s), TOKENS) for s in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
    assert shape(found[0]) == shape(list(tree.values()))
    assert [path[-1] for path in found[0]] == list(TOKENS)
    moved = sum(path != tree[token] for path, token in zip(found[0], TOKENS))
    assert 40 < moved <= 64


@pytest.mark.parametrize("seed", range(5))
def test_a_random_hierarchy_is_helm_s(seed: int) -> None:
    paths = token_paths(LossConfig(name="hxe", hierarchy="random", tree_seed=seed), TOKENS)
    by_token = dict(zip(TOKENS, paths))
    assert {len(by_token[codon]) for codon in CODONS} == {3}  # no level of amino acids above the groups
    assert by_token["ATG"][:2] == ("codons", "start_codon")
    stops = {by_token[stop][1] for stop in ("TAA", "TAG", "TGA")}
    assert stops <= {"end_codon", "start_codon"}
    assert by_token["<pad>"] == codon_tree(SPECIAL_TOKENS)["<pad>"]
    assert 10 <= len({path[1] for path in by_token.values() if path[0] == "codons"}) <= 22


def test_any_tree_of_any_vocabulary_is_read_from_json(tmp_path: Path) -> None:
    tree = {"small": {"tiny": ["A", "G"], "other": ["S"]}, "large": ["W", "F"]}
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(tree))
    tokens = ("<pad>", "A", "F", "G", "S", "W")
    found = token_paths(LossConfig(name="hxe", tree=path), tokens)
    assert found[1:4] == [("small", "tiny", "A"), ("large", "F"), ("small", "tiny", "G")]
    loss = build_loss(LossConfig(name="hxe", tree=path, alpha=0.5), tokens=tokens)
    p = torch.full((6,), 1 / 6)
    w = [math.exp(-0.5 * d) for d in range(4)]
    expected = w[1] * math.log(6 / 3) + w[2] * math.log(3 / 2) + w[3] * math.log(2)
    assert loss(p.log()[None], torch.tensor([1])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no tree"),
        ('{"a": ["A", "A"]}', "leaf 'A' is in the tree twice"),
        ('{"a": {"b": 3}}', "a/b is int"),
        ('{"a": ["A"]}', r"token 'C' is no leaf of the tree \(1 in all\)"),
    ],
)
def test_a_bad_tree_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tree.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        token_paths(LossConfig(name="hxe", tree=path), ("<pad>", "A", "C"))
    path.unlink()
    with pytest.raises(ConfigError, match=r"^loss tree \S+/tree.json: no such file$"):
        token_paths(LossConfig(name="hxe", tree=path), ("<pad>", "A", "C"))
