"""Options of `data build` that would do nothing: they are refused, not ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import Any

from biodata.build import BuildConfig
from biodata.errors import ConfigError

Used = Callable[[BuildConfig], bool]

_RULES: tuple[tuple[str, str, Used, str], ...] = (
    ("read", "feature_types", lambda c: c.read.take == "features", "--take features"),
    ("read", "transl_table", lambda c: c.read.take == "cds", "--take cds"),
    ("read", "molecules", lambda c: c.read.alphabet == "selfies", "--alphabet selfies"),
    ("read.letters", "u_t", lambda c: c.read.alphabet in ("dna", "rna"), "--alphabet dna or rna"),
    ("read.letters", "inner_stop", lambda c: c.read.alphabet == "protein", "--alphabet protein"),
    ("read.cds", "partial_codon inner_stop missing_start missing_stop ambiguous_codon",
     lambda c: c.read.take == "cds", "--take cds"),
    ("read.complexity", "max_low_complexity", lambda c: c.read.complexity.low_complexity == "drop",
     "--low-complexity drop"),
    ("read.texts", "text_fields", lambda c: c.read.texts.text_level != "none", "--text-level"),
    ("read.exclusion", "unknown_organism more_hosts", lambda c: c.read.exclusion.exclude, "--exclude"),
    ("read.exclusion", "deny_identity deny_coverage", lambda c: c.read.exclusion.deny_sequences is not None,
     "--deny-sequences"),
    ("curate", "near_duplicate_coverage near_duplicate_keep", lambda c: c.curate.near_duplicates > 0,
     "--near-duplicates"),
    ("curate", "cluster_cap_identity", lambda c: c.curate.cluster_cap > 0, "--cluster-cap"),
    ("split", "taxon", lambda c: c.split.by == "taxon", "--by taxon"),
    ("split", "date undated", lambda c: c.split.by == "time", "--by time"),
    ("split", "tanimoto", lambda c: c.read.alphabet == "selfies", "--alphabet selfies"),
)  # fmt: skip
"""Group, its fields, when they are used, and what makes them so."""


def refuse_needless(config: BuildConfig) -> None:
    """Refuses what was set and would not be used.

    Raises:
        ConfigError: naming the option, its value and the option that it needs.
    """
    for group, names, used, needs in _RULES:
        part = reduce(getattr, group.split("."), config)
        for name in () if used(config) else names.split():
            value = getattr(part, name)
            if value != _default(part, name):
                shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
                raise ConfigError(f"{group}.{name} = {shown} does nothing without {needs}: leave it out")


def _default(part: Any, name: str) -> Any:
    assert is_dataclass(part)
    return next(field.default for field in fields(part) if field.name == name)
