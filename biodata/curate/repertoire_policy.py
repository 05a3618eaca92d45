"""What a user decides about antibody and T-cell receptor sequences; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from biodata.errors import ConfigError

Region = Literal["auto", "full", "vdj", "junction", "cdr1", "cdr2", "cdr3"]
Chain = Literal["any", "heavy", "light", "alpha", "beta", "gamma", "delta"]

LOCI = {"heavy": ("IGH",), "light": ("IGK", "IGL"), "alpha": ("TRA",), "beta": ("TRB",), "gamma": ("TRG",),
        "delta": ("TRD",)}  # fmt: skip
"""Chain to the loci that code for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepertoirePolicy:
    """Which part of a rearrangement is taken, and which rearrangements are kept.

    Only productive, in-frame rearrangements without a stop codon are kept unless asked otherwise; every
    dropped row is counted and listed.

    >>> RepertoirePolicy(shortened="no")
    Traceback (most recent call last):
    biodata.errors.ConfigError: repertoire.shortened is 'no', allowed: drop, keep
    """

    region: Region = field(
        default="auto",
        metadata={"help": "part of AIRR and OAS rearrangements: full (the read), vdj, junction, cdr1, cdr2, "
                          "cdr3; auto: full for nucleotides, vdj for proteins and coding sequences"},
    )  # fmt: skip
    chain: Chain = field(
        default="any", metadata={"help": "chain kept: any, heavy, light, alpha, beta, gamma or delta"}
    )
    unproductive: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "rearrangements said to be unproductive"}
    )
    out_of_frame: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "rearrangements with V and J in different frames"}
    )
    stop_codon: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "rearrangements said to have a stop codon"}
    )
    productivity_unknown: Literal["keep", "drop"] = field(
        default="keep", metadata={"help": "rows that say nothing about productivity, frame and stops"}
    )
    shortened: Literal["keep", "drop"] = field(
        default="keep", metadata={"help": "chains that ANARCI calls shorter than whole (OAS: ANARCI_status)"}
    )
    incomplete_pair: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "paired files: the chain whose partner was dropped"}
    )
    min_redundancy: int = field(
        default=0, metadata={"help": "least number of reads of a sequence (OAS: Redundancy); 0 for all"}
    )

    def __post_init__(self) -> None:
        allowed = {"region": get_args(Region), "chain": get_args(Chain)}
        for entry in fields(self):
            value, choices = getattr(self, entry.name), allowed.get(entry.name, ("drop", "keep"))
            if entry.name != "min_redundancy" and value not in choices:
                raise ConfigError(f"repertoire.{entry.name} is {value!r}, allowed: {', '.join(choices)}")
        if self.min_redundancy < 0:
            raise ConfigError(f"repertoire.min_redundancy is {self.min_redundancy}, allowed: 0 or more")
