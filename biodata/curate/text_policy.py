"""What texts say of sequences; light, for the command line. See `biodata.curate.text_pairs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError

FIELDS = ("definition", "organism", "lineage", "gene", "product", "note", "function", "go", "ec", "pubmed")
"""What a text can hold, in the order in which it stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPolicy:
    """Whether rows get a text, and from what.

    >>> TextPolicy(text_level="page")
    Traceback (most recent call last):
    biodata.errors.ConfigError: text_level is 'page', allowed: none, record, feature, window
    """

    text_level: Literal["none", "record", "feature", "window"] = field(
        default="none",
        metadata={"help": "text of each row: of its record, of its own feature, or of the features inside"},
    )
    text_fields: tuple[str, ...] = field(
        default=FIELDS, metadata={"help": "what texts hold, where the record has it"}
    )

    def __post_init__(self) -> None:
        if self.text_level not in ("none", "record", "feature", "window"):
            raise ConfigError(f"text_level is {self.text_level!r}, allowed: none, record, feature, window")
        for name in self.text_fields:
            if name not in FIELDS:
                raise ConfigError(f"text_fields holds {name!r}, allowed: {', '.join(FIELDS)}")
