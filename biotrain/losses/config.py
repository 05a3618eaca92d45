"""Which losses there are and how they are set. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from biodata.catalog import Catalog
from biodata.codon import CODONS, genetic_code
from biodata.configs import to_dict
from biodata.errors import ConfigError
from biotrain.ranges import check_range

LOSSES = Catalog(
    "loss",
    {
        "aa_loss_add": "biotrain.losses.amino_acid:build_add",
        "aa_loss_only": "biotrain.losses.amino_acid:build_only",
        "hxe": "biotrain.losses.hxe:build",
        "soft_labels": "biotrain.losses.soft_labels:build",
        "topological": "biotrain.losses.topological:build",
        "xe": "biotrain.losses.xe:build",
    },
)
"""Name to `build(config, tokens)`."""

_TREE = ("hierarchy", "tree_seed", "tree", "start_codon", "table")
_USED = {
    "xe": (),
    "hxe": ("alpha", "normalize", *_TREE),
    "soft_labels": ("beta", *_TREE),
    "aa_loss_add": ("start_codon", "table"),
    "aa_loss_only": ("start_codon", "table"),
    "topological": ("topology_weight", "topology_points"),
}
"""Loss to the fields that it reads; others must be left alone."""

ON_TREE = tuple(name for name, used in _USED.items() if "table" in used)
"""Losses that need a hierarchy of the vocabulary (`biotrain.losses.tree`)."""

ORDERED = ("topological",)
"""Losses that look at all tokens of a sequence in their order, which only objective `clm` predicts so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """A training loss, and on which hierarchy of the vocabulary.

    `normalize` is off by default, other than in HELM: so alpha = 0 is cross-entropy itself, values are of
    its size, and gradient clipping means the same for all losses. Never compare values across losses or
    alphas; compare plain cross-entropy, which is always logged beside.

    Raises:
        ConfigError: a value out of range, or a setting that the loss does not use.

    >>> LossConfig(name="hxe", alpha=-1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: loss alpha must be 0 or more, got -1
    >>> LossConfig(name="xe", beta=5.0)
    Traceback (most recent call last):
    biodata.errors.ConfigError: loss 'xe' does not use beta, which belongs to: soft_labels
    """

    name: str = field(
        default="xe", metadata={"help": "xe (cross-entropy), hxe (hierarchical), soft_labels, aa_loss_add "
                                        "(codon and amino acid), aa_loss_only or topological (nucleotides)"}
    )  # fmt: skip
    alpha: float = field(
        default=0.2,
        metadata={"help": "hxe: decay of a level's weight with depth, 0 = cross-entropy (HELM 0.2)"},
    )
    normalize: bool = field(
        default=False,
        metadata={"help": "hxe: divide by the summed weight of all nodes, as HELM does (about 1/50)"},
    )
    beta: float = field(
        default=15.0,
        metadata={"help": "soft_labels: hardness, over 0; higher is closer to one-hot (HELM 15)"},
    )
    hierarchy: Literal["true", "random", "permuted"] = field(
        default="true",
        metadata={"help": "hxe, soft_labels: codon tree, or a control: random groups (HELM's), or the same "
                          "tree with codons permuted"},
    )  # fmt: skip
    tree_seed: int = field(default=0, metadata={"help": "seed of a random or permuted hierarchy, 0 or more"})
    tree: Path | None = field(
        default=None,
        metadata={
            "help": "hxe, soft_labels: JSON file with any other tree (objects are nodes, lists leaves)"
        },
    )
    start_codon: str = field(
        default="ATG", metadata={"help": "codon that forms a group of its own; '' = with its amino acid"}
    )
    table: int = field(default=1, metadata={"help": "NCBI translation table number of the codon tree"})
    topology_weight: float = field(
        default=0.1, metadata={"help": "topological: weight of the distance beside cross-entropy, >= 0"}
    )
    topology_points: int = field(
        default=512, metadata={"help": "topological: most tokens of a sequence in one point cloud, 4 or more"}
    )

    def __post_init__(self) -> None:
        used = _USED[LOSSES.resolve(self.name)]
        for item in fields(self)[1:]:
            if item.name not in used and getattr(self, item.name) != item.default:
                owners = ", ".join(name for name, names in _USED.items() if item.name in names)
                raise ConfigError(f"loss {self.name!r} does not use {item.name}, which belongs to: {owners}")
        check_range("loss alpha", self.alpha, low=0)
        check_range("loss beta", self.beta, low=1e-6)
        check_range("loss tree_seed", self.tree_seed, low=0)
        check_range("loss topology_weight", self.topology_weight, low=0)
        check_range("loss topology_points", self.topology_points, low=4)
        if self.hierarchy not in ("true", "random", "permuted"):
            raise ConfigError(f"loss hierarchy is {self.hierarchy!r}, allowed: true, random, permuted")
        self._refuse_unread()
        if self.start_codon and self.start_codon not in CODONS:
            raise ConfigError(
                f"loss start_codon must be a codon such as 'ATG' or '', got {self.start_codon!r}"
            )
        genetic_code(self.table)

    def in_use(self) -> dict[str, Any]:
        """The name and the settings that this loss reads, as a run says them of itself."""
        names = ("name", *_USED[LOSSES.resolve(self.name)])
        return {name: value for name, value in to_dict(self).items() if name in names and value is not None}

    def _refuse_unread(self) -> None:
        """Settings of a hierarchy that another of them takes the place of."""
        own = ("hierarchy", "start_codon", "table") if self.tree is not None else ()
        seeded = self.hierarchy != "true" and self.tree is None
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in own and value != item.default:
                raise ConfigError(
                    f"loss tree is given, so {item.name} {value!r} has no meaning: leave it out"
                )
            if item.name == "tree_seed" and value != item.default and not seeded:
                raise ConfigError(f"loss tree_seed {value} is of hierarchy random or permuted: leave it out")
