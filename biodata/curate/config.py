"""What happens to rows between reading and splitting, and when splits are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError

_CHOICES = {
    "near_duplicate_keep": ("first", "longest"),
    "augment": ("none", "reverse-complement", "reversed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateConfig:
    """Steps over all rows of a dataset, in this order; each is off by default but the cap of phrases.

    >>> CurateConfig(sample_temperature=5)
    Traceback (most recent call last):
    biodata.errors.ConfigError: sample_temperature is 5 but sample_rows is 0: say how many rows to keep
    """

    near_duplicates: float = field(
        default=0.0,
        metadata={"help": "drop all but one of rows at least this identical, above 0.5 to 1; 0 for off"},
    )
    near_duplicate_coverage: float = field(
        default=0.8, metadata={"help": "least fraction of both sequences in the alignment, above 0 to 1"}
    )
    near_duplicate_keep: Literal["first", "longest"] = field(
        default="first", metadata={"help": "which of them stays"}
    )
    cluster_cap: int = field(
        default=0, metadata={"help": "most rows of one LinClust cluster, chosen by curate_seed; 0 for off"}
    )
    cluster_cap_identity: float = field(
        default=0.9, metadata={"help": "identity of these clusters over 0.8 of both sequences, above 0 to 1"}
    )
    sample_rows: int = field(
        default=0, metadata={"help": "rows to keep in all, without replacement; 0 for all"}
    )
    sample_by: str = field(
        default="",
        metadata={"help": "groups: organism, taxon_id, source, parent, lineage:N, or a label; empty for one"},
    )
    sample_temperature: float = field(
        default=1.0, metadata={"help": "1 keeps the shares of groups, more flattens them, 0 makes them equal"}
    )
    phrase_cap: int = field(
        default=1000, metadata={"help": "most texts that hold one phrase of annotation; 0 for no cap"}
    )
    augment: Literal["none", "reverse-complement", "reversed"] = field(
        default="none",
        metadata={"help": "also write each row read the other way, in the same split; reversed: proteins"},
    )
    curate_seed: int = field(default=0, metadata={"help": "decides what caps and samples keep, 0 or more"})

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(allowed)}")
        if self.near_duplicates and not 0.5 < self.near_duplicates <= 1:
            raise ConfigError(f"near_duplicates is {self.near_duplicates}, allowed: 0 (off), above 0.5 to 1")
        for name in ("near_duplicate_coverage", "cluster_cap_identity"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")
        for name in ("cluster_cap", "sample_rows", "phrase_cap", "curate_seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 or more")
        self._check_sample()

    def _check_sample(self) -> None:
        if self.sample_temperature != 0 and not self.sample_temperature >= 1:
            raise ConfigError(
                f"sample_temperature is {self.sample_temperature}, allowed: 0 (equal shares), 1 or more"
            )
        if not self.sample_rows:
            for name, default in (("sample_temperature", 1.0), ("sample_by", "")):
                if (value := getattr(self, name)) != default:
                    raise ConfigError(f"{name} is {value} but sample_rows is 0: say how many rows to keep")

    @property
    def drops(self) -> bool:
        """Whether a step may drop rows."""
        return bool(self.near_duplicates or self.cluster_cap or self.sample_rows)
