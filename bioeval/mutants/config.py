"""Which mutants of what: the configuration of `bioeval.mutants.table` and `bioeval.mutants.zero_shot`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError
from bioeval.mutants.zero_shot import METHODS


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationConfig:
    """Mutants instead of sequences: the input is a table, of `mutant`s (A12V:G15S) or of mutated sequences.

    Raises:
        ConfigError: a value that is not allowed, or does nothing.
    """

    wild_type: str = field(
        default="", metadata={"help": "scores mutants of it: a sequence, or a file with one record"}
    )
    reference_column: str = field(
        default="", metadata={"help": "scores mutants of the wild type in this column of each row"}
    )
    mutant_column: str = field(default="mutant", metadata={"help": "column with mutants such as A12V:G15S"})
    first: int = field(
        default=1, metadata={"help": "number that the first letter of the wild type has in mutants"}
    )
    method: Literal["auto", "masked-marginals", "wt-marginals", "difference"] = field(
        default="auto",
        metadata={"help": "auto: masked-marginals of masked models (difference for indels), else difference"},
    )

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method = {self.method!r}, allowed: {', '.join(METHODS)}")
        if self.wild_type and self.reference_column:
            raise ConfigError("wild_type and reference_column say the same: give one of them")
        if not self.active:
            for name, usual in (("mutant_column", "mutant"), ("first", 1), ("method", "auto")):
                if (value := getattr(self, name)) != usual:
                    raise ConfigError(
                        f"{name} = {value!r} is about mutants: give wild_type or reference_column"
                    )

    @property
    def active(self) -> bool:
        """Whether mutants are scored."""
        return bool(self.wild_type or self.reference_column)
