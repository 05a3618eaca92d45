"""What happens to each class of letters: the policy that a user sets, and its tables of bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from biodata.alphabet import get_alphabet
from biodata.errors import ConfigError

# What a row can have, in the order in which the reason of a drop is chosen.
INVALID, LOWER, EXCHANGE, GAP, BLANK, STOP, AMBIGUOUS, EMPTY, END = (1 << i for i in range(9))
_GAPS, _BLANKS = b"-.", b" \t\n\r\v\f0123456789"


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterPolicy:
    """What happens to letters that are not plain upper-case letters of the alphabet.

    Every choice but `keep` either changes the row, drops it, or stops with an error; changes and drops are
    counted by `RuleLog`, drops are listed with the letters and their positions (from 0). Always done: a `*`
    at the end is removed (`terminal-stop-removed`), rows without letters are dropped (`empty`).

    >>> LetterPolicy(lower="down")
    Traceback (most recent call last):
    biodata.errors.ConfigError: letters.lower is 'down', allowed: upper, drop, error
    """

    lower: Literal["upper", "drop", "error"] = field(
        default="upper", metadata={"help": "rows with lower-case (soft-masked) letters: upper, drop or error"}
    )
    u_t: Literal["convert", "drop", "error"] = field(
        default="convert", metadata={"help": "rows with U in DNA or T in RNA: convert, drop or error"}
    )
    ambiguous: Literal["keep", "drop", "error"] = field(
        default="keep",
        metadata={"help": "rows with IUPAC ambiguity codes (N, R, X, ...): keep, drop or error"},
    )
    gaps: Literal["remove", "drop", "error"] = field(
        default="remove", metadata={"help": "rows with the gaps - and . inside: remove them, drop or error"}
    )
    blanks: Literal["remove", "drop", "error"] = field(
        default="remove",
        metadata={"help": "rows with white space or digits inside: remove them, drop or error"},
    )
    inner_stop: Literal["drop", "keep", "error"] = field(
        default="drop", metadata={"help": "proteins with * before the end: drop, keep or error"}
    )
    invalid: Literal["drop", "error"] = field(
        default="drop", metadata={"help": "rows with letters that the alphabet lacks: drop or error"}
    )

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise ConfigError(f"letters.{name} is {given!r}, allowed: {', '.join(allowed)}")


_ALLOWED = {
    "lower": ("upper", "drop", "error"),
    "u_t": ("convert", "drop", "error"),
    "ambiguous": ("keep", "drop", "error"),
    "gaps": ("remove", "drop", "error"),
    "blanks": ("remove", "drop", "error"),
    "inner_stop": ("drop", "keep", "error"),
    "invalid": ("drop", "error"),
}


@dataclass(frozen=True, slots=True)
class LetterRules:
    """A policy for an alphabet as tables of bytes."""

    clean: bytes  # letters that need no look
    classes: tuple[tuple[int, bytes], ...]  # flag and its letters, upper case
    known: frozenset[str]
    table: bytes  # upper-casing and U/T
    removed: bytes
    actions: tuple[tuple[int, str, str, str], ...]  # flag, action, reason of a drop, rule of a change


@lru_cache(maxsize=64)
def letter_rules(alphabet: str, policy: LetterPolicy) -> LetterRules:
    """The tables of a policy for `dna`, `rna` or `protein`; raises `ConfigError` for another alphabet."""
    letters = get_alphabet(alphabet)
    if not letters.symbols:
        raise ConfigError(f"letters of alphabet {alphabet!r} cannot be cleaned (known: dna, rna, protein)")
    wrong, right = {"dna": ("U", "T"), "rna": ("T", "U")}.get(alphabet, ("", ""))
    upper = bytes(range(256)).upper()
    classes = (
        (AMBIGUOUS, "".join(letters.ambiguous).encode()),
        (EXCHANGE, wrong.encode()),
        (GAP, _GAPS),
        (BLANK, _BLANKS),
        (STOP, b"*"),
    )
    has_stop = "*" in letters.extra
    stop = policy.inner_stop if has_stop else policy.invalid
    stop_reason = "inner-stop" if has_stop else f"stop-in-{alphabet}"
    convert = f"{wrong}-to-{right}".lower()
    actions = (
        (INVALID, policy.invalid, "invalid-letter", ""),
        (LOWER, policy.lower, "lower-case", "upper-cased"),
        (EXCHANGE, policy.u_t, f"{wrong}-in-{alphabet}".lower(), convert),
        (GAP, policy.gaps, "gaps", "gaps-removed"),
        (BLANK, policy.blanks, "blanks", "blanks-removed"),
        (STOP, stop, stop_reason, "inner-stop-kept"),
        (AMBIGUOUS, policy.ambiguous, "ambiguous", "ambiguous-kept"),
        (EMPTY, "drop", "empty", ""),
        (END, "remove", "", "terminal-stop-removed"),
    )
    known = letters.symbols.encode() + b"".join(of for _, of in classes)
    return LetterRules(
        clean=letters.symbols.encode(),
        classes=classes,
        known=frozenset((known + known.lower()).decode()),
        table=upper.translate(bytes.maketrans(wrong.encode(), right.encode())),
        removed=_GAPS + _BLANKS,
        actions=actions,
    )
