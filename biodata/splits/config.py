"""How rows are split, repaired and audited: the configuration of `biodata.splits.split`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError
from biodata.splits.audit import AuditSettings

_CHOICES = {
    "by": ("cluster", "random", "group", "time", "taxon", "scaffold"),
    "repair": ("auto", "merge", "purge"),
    "taxon": ("genus", "species", "organism", "taxon_id"),
    "undated": ("error", "train"),
}
_NAMED = ("group", "taxon")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """How rows are split, repaired and audited.

    >>> SplitConfig(by="group")
    Traceback (most recent call last):
    biodata.errors.ConfigError: by is 'group' but group is empty, allowed: names of columns or labels
    """

    by: Literal["cluster", "random", "group", "time", "taxon", "scaffold"] = field(
        default="cluster",
        metadata={"help": "what stays together: clusters, single rows, groups, dates, taxa, scaffolds"},
    )
    identity: float = field(
        default=0.9, metadata={"help": "least alignment identity of a leak and of a cluster, 0 to 1"}
    )
    coverage: float = field(
        default=0.8, metadata={"help": "least fraction of both sequences in the alignment, 0 to 1"}
    )
    fractions: tuple[float, ...] = field(
        default=(0.7, 0.15, 0.15), metadata={"help": "share of rows of train, validation, test; sum 1"}
    )
    seed: int = field(default=0, metadata={"help": "decides which clusters go where, 0 or more"})
    repair: Literal["auto", "merge", "purge"] = field(
        default="auto",
        metadata={"help": "join similar clusters (merge), drop rows (purge), or by size (auto)"},
    )
    max_component: float = field(
        default=0.1,
        metadata={"help": "auto: largest share of all rows that joined clusters may have, 0 to 1"},
    )
    group: tuple[str, ...] = field(
        default=(),
        metadata={"help": "by group: columns or labels (study, subject); rows equal in all stay together"},
    )
    taxon: Literal["genus", "species", "organism", "taxon_id"] = field(
        default="genus", metadata={"help": "by taxon: what is held out whole"}
    )
    date: str = field(default="date", metadata={"help": "by time: column or label with the date"})
    cuts: tuple[str, ...] = field(
        default=(),
        metadata={"help": "by time: first day of validation, first day of test; else by fractions"},
    )
    undated: Literal["error", "train"] = field(
        default="error", metadata={"help": "by time: rows without a date stop the build or go to train"}
    )
    validation_values: tuple[str, ...] = field(
        default=(), metadata={"help": "by group or taxon: values that are the validation split"}
    )
    test_values: tuple[str, ...] = field(
        default=(), metadata={"help": "by group or taxon: values that are the test split"}
    )
    keep_together: tuple[str, ...] = field(
        default=("window_of", "pair"),
        metadata={"help": "columns or labels; rows with an equal value never part, whatever the method"},
    )
    tanimoto: float = field(
        default=0.0,
        metadata={"help": "selfies: molecules of this ECFP4 similarity leak too, 0 to 1; 0 for unchecked"},
    )
    exact_effort: float = field(
        default=20.0,
        metadata={"help": "nominal core-seconds of the exact second audit, 0 for none; same on any machine"},
    )
    large_letters: int = field(
        default=30_000_000,
        metadata={"help": "from so many letters on: k-mer sketches, audit of a sample; bounded memory"},
    )
    threads: int = field(default=0, metadata={"help": "threads, 0 for all cores; does not change the result"})

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(allowed)}")
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")
        if len(self.fractions) != 3 or min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise ConfigError(f"fractions are {self.fractions}, allowed: three of 0 or more with sum 1")
        for name in ("max_component", "tanimoto"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 to 1")
        for name in ("seed", "exact_effort", "large_letters", "threads"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 or more")
        self._check_method()

    def _check_method(self) -> None:
        if self.by == "group" and not self.group:
            raise ConfigError("by is 'group' but group is empty, allowed: names of columns or labels")
        if self.cuts and (self.by != "time" or len(self.cuts) != 2):
            raise ConfigError(f"cuts are {self.cuts}, allowed: two dates, and only with by 'time'")
        if self.named and self.by not in _NAMED:
            raise ConfigError(f"test_values and validation_values need by group or taxon, by is {self.by!r}")
        if both := set(self.test_values) & set(self.validation_values):
            raise ConfigError(f"{sorted(both)[0]!r} is in test_values and in validation_values")
        if self.repair == "merge" and (self.by == "time" or self.named):
            why = "dates" if self.by == "time" else "names"
            raise ConfigError(f"repair is 'merge', but where {why} decide only rows can go: auto, purge")

    @property
    def named(self) -> bool:
        """Whether values that are held out are named."""
        return bool(self.test_values or self.validation_values)

    def audit_settings(self) -> AuditSettings:
        """The audit that fits this split."""
        return AuditSettings(identity=self.identity, coverage=self.coverage, effort=self.exact_effort,
                             seed=self.seed, threads=self.threads, tanimoto=self.tanimoto)  # fmt: skip
