"""What a task file may say; every field and what it allows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from biodata.alphabet import get_alphabet
from biodata.errors import ConfigError
from biodata.schema import SPLITS
from bioeval.tasks.contact_rules import ContactRules, check_contacts

NUMBERS = ("regression", "zero-shot")
"""Kinds whose target is a number unless the file says `target: class`."""
UNSPLIT = ("zero-shot", "retrieval", "clustering")
"""Kinds that need no train rows: without a split all their rows are test rows."""
UNITS = {"dna": ("nucleotide", "codon"), "rna": ("nucleotide", "codon"), "protein": ("residue",),
         "selfies": ("token",)}  # fmt: skip
"""Units of an alphabet, the usual one first."""
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where a task file says the columns of its table are.

    A FASTA file has the columns `id`, `header`, `sequence` and one for every `KEY=VALUE` of its headers.

    Attributes:
        sequence: column of the sequence.
        value: column of the target: a number, a class, or of `token` tasks one symbol for every unit.
        values: columns of a multi-label task, 0, 1 or empty each.
        split: column of the split.
        validation: column that is true for those train rows that are validation (FLIP).
        group: column of the group (gene, family); its rows stay together in splits and in the bootstrap.
        id: column of the identifier; without it rows are named by their line.
        second: the other sequence of a pair.
        wildtype: zero-shot: the sequence that was mutated.
        mutant: zero-shot: the mutations, `A12G:D3N`, counted from 1 (ProteinGym).
    """

    sequence: str = "Sequence"
    value: str = "Value"
    values: tuple[str, ...] = ()
    split: str | None = None
    validation: str | None = None
    group: str | None = None
    id: str | None = None
    second: str | None = None
    wildtype: str | None = None
    mutant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the data of a task is: files, or a dataset of seqloom (`dataset` and `label`).

    Attributes:
        file: name of a file or folder, looked for in the cache and in `SEQLOOM_REAL_DATA`, or a path beside
            the task file. `{split}` and `{class}` stand for the names of splits and classes.
        member: of a zip archive.
        labels: FASTA file (or member) with one symbol for every residue, beside that of the sequences.
        mask: FASTA file (or member) of 0 and 1; positions of 0 have no label.
        format: how files are read; `auto` goes by the name.
        splits: what `{split}` becomes for train, validation and test; of two names there is no validation.
        url: where the file can be downloaded, with the same `{...}`.
        home: page that tells how to get it where there is no direct address.
        sha256: of the plain (decompressed) file, of an archive as it is, of several files one after the
            other; checked when given.
        genome: FASTA of the sequences that coordinates (region, start, end, strand) refer to.
        dataset: folder of a dataset, relative to the task file.
        label: name in its column `labels`; `regions` for the features of antibody chains.
    """

    file: str | None = None
    member: str | None = None
    labels: str | None = None
    mask: str | None = None
    format: Literal["auto", "table", "fasta", "texts", "coordinates", "airr", "oas", "structures"] = "auto"
    splits: tuple[str, ...] = ("train", "validation", "test")
    url: str | None = None
    home: str | None = None
    sha256: str | None = None
    genome: str | None = None
    dataset: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.dataset is None):
            raise ConfigError("'data' needs either 'file' or 'dataset'")
        if (self.dataset is None) != (self.label is None):
            raise ConfigError("'data' with 'dataset' needs 'label', the name in the column labels")
        if len(self.splits) not in (2, 3):
            raise ConfigError(
                f"splits = {list(self.splits)}, allowed: names of train and test, or of all three"
            )
        wrong = set(_PLACE.findall(self.file or "")) - {"split", "class"}
        if wrong:
            raise ConfigError(f"file has {{{sorted(wrong)[0]}}}, allowed: {{split}}, {{class}}")
        if self.mask is not None and self.labels is None:
            raise ConfigError("'mask' goes with 'labels', the FASTA file of the symbols")
        if (self.genome is None) != (self.format != "coordinates"):
            raise ConfigError("'genome' and 'format: coordinates' go together")

    @property
    def split_names(self) -> dict[str, str]:
        """Split to what `{split}` becomes."""
        names = SPLITS if len(self.splits) == 3 else (SPLITS[0], SPLITS[2])
        return dict(zip(names, self.splits))


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitValues:
    """Values of the split column that are train, validation and test, where they are not called so."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """A task file.

    Attributes:
        name: short lower-case name.
        each: names of several tasks in one file, `NAME:EACH`; `{each}` stands for it anywhere in the file. A
            `*` among them allows any other name.
        data: where the data is.
        title: one line for people.
        note: what is wrong with the task, in one line.
        licence: what the publisher allows.
        columns: names of the columns (tables only).
        alphabet: `dna`, `rna`, `protein` or `selfies`.
        second_alphabet: of the other sequence of a pair; as `alphabet` where it is not given.
        unit: what a model should read: `codon` or `nucleotide`, `residue`, `token` of SELFIES; `auto` for
            nucleotides, residues, tokens.
        kind: what is predicted.
        target: whether it is a number or a class, where the kind leaves that open.
        metric: primary metric, also used to choose on validation; empty for the first of its kind.
        classes: names of the classes in order; found in the data where it is empty.
        extract: regular expression whose first group, found in the value column, is the value.
        notation: `smiles` where molecules of alphabet selfies are written as SMILES in the file.
        missing: `drop` leaves out rows without sequence or target, counted and listed; `error` refuses them.
        only: `COLUMN=VALUE`; rows with another value are left out, counted and listed.
        least: classes with fewer rows are left out, counted and listed.
        negatives: pairs: partners drawn for every pair of the file, which then are all positive.
        wildtype: zero-shot: the sequence that was mutated, where all rows have the same.
        contacts: contacts: how they are written and which pairs count.
        transform: `log1p` takes the natural logarithm of 1 + value.
        split_by: `given` by the file, or drawn with `seed`: `group` keeps rows of a group and of equal
            sequence together, `random` those of equal sequence, `cluster` those of a cluster of similar
            sequences, `scaffold` puts molecules of rare scaffolds into validation and test.
        split_values: values of the split column.
        fractions: train, validation, test of a split that is drawn.
        validation: share of the train rows that become validation where a given split has none.
        rows: at most so many rows, drawn with `seed`; 0 for all.
        seed: of everything that is drawn.
    """

    name: str
    data: Source
    each: tuple[str, ...] = ()
    title: str = ""
    note: str = ""
    licence: str = "unknown"
    columns: Columns = field(default_factory=Columns)
    alphabet: str = "dna"
    second_alphabet: str = ""
    unit: Literal["auto", "codon", "nucleotide", "residue", "token"] = "auto"
    kind: Literal[
        "regression",
        "classification",
        "multi-label",
        "token",
        "pairs",
        "zero-shot",
        "retrieval",
        "clustering",
        "contacts",
    ] = "regression"
    target: Literal["auto", "number", "class"] = "auto"
    metric: str = ""
    classes: tuple[str, ...] = ()
    extract: str = ""
    notation: Literal["as-is", "smiles"] = "as-is"
    missing: Literal["error", "drop"] = "error"
    only: tuple[str, ...] = ()
    least: int = 0
    negatives: int = 0
    wildtype: str = ""
    contacts: ContactRules | None = None
    transform: Literal["none", "log1p"] = "none"
    split_by: Literal["auto", "given", "group", "random", "cluster", "scaffold"] = "auto"
    split_values: SplitValues | None = None
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    validation: float = 0.0
    rows: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        get_alphabet(self.alphabet)
        get_alphabet(self.second_alphabet or self.alphabet)
        if self.unit == "auto":
            object.__setattr__(self, "unit", UNITS[self.alphabet][0])
        if self.unit not in UNITS[self.alphabet]:
            raise ConfigError(f"unit {self.unit!r} does not go with alphabet {self.alphabet!r}")
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise ConfigError(f"fractions = {self.fractions}, three positive numbers of sum 1 expected")
        if not 0 <= self.validation < 1:
            raise ConfigError(f"validation = {self.validation}, allowed: 0 or more, below 1")
        for name in ("rows", "least", "negatives"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)}, allowed: 0 or more")
        for text in self.only:
            if not all(text.partition("=")):
                raise ConfigError(f"only has {text!r}, allowed: COLUMN=VALUE")
        self._check_kind()
        self._check_split()
        _check_metric(self)

    @property
    def by_class(self) -> bool:
        """Whether the target is a class."""
        if self.target != "auto":
            return self.target == "class"
        return self.kind not in NUMBERS

    @property
    def way(self) -> str:
        """How rows come into splits: `split_by` with `auto` decided."""
        if self.split_by != "auto":
            return self.split_by
        given = self.columns.split or "{split}" in (self.data.file or "") or self.data.labels
        if given:
            return "given"
        if self.kind in UNSPLIT:
            return "none"
        return "group" if self.columns.group else "random"

    def _check_kind(self) -> None:
        """Refuses settings that the kind has no use for."""
        c = self.columns
        only = {
            "columns.values": (c.values, "multi-label"), "columns.second": (c.second, "pairs"),
            "second_alphabet": (self.second_alphabet, "pairs"), "negatives": (self.negatives, "pairs"),
            "columns.mutant": (c.mutant, "zero-shot"), "columns.wildtype": (c.wildtype, "zero-shot"),
            "wildtype": (self.wildtype, "zero-shot"), "data.labels": (self.data.labels, "token"),
        }  # fmt: skip
        for name, (value, kind) in only.items():
            if value and self.kind != kind:
                raise ConfigError(f"{name} goes with kind {kind}, not {self.kind!r}")
        if self.kind == "multi-label" and not c.values:
            raise ConfigError("kind multi-label needs columns.values, the columns of its labels")
        if self.kind == "pairs" and not c.second:
            raise ConfigError("kind pairs needs columns.second, the column of the other sequence")
        if self.notation == "smiles" and self.alphabet != "selfies":
            raise ConfigError(f"notation smiles goes with alphabet selfies, not {self.alphabet!r}")
        fixed = {"regression": "number", "classification": "class", "multi-label": "class",
                 "retrieval": "class", "clustering": "class"}.get(self.kind)  # fmt: skip
        if fixed and self.target not in ("auto", fixed):
            raise ConfigError(f"target {self.target!r} does not go with kind {self.kind!r}")
        if self.transform == "log1p" and (self.by_class or self.kind == "token"):
            raise ConfigError("transform log1p goes with targets that are one number each")
        if (self.least or self.classes) and (not self.by_class or self.kind == "multi-label"):
            raise ConfigError("least and classes go with targets that are classes")
        if (self.extract or self.least) and self.kind == "token":
            raise ConfigError("extract and least do not go with kind token")
        check_contacts(self)

    def _check_split(self) -> None:
        c, given = self.columns, self.way == "given"
        if self.split_by == "scaffold" and self.alphabet != "selfies":
            raise ConfigError(f"split_by scaffold goes with alphabet selfies, not {self.alphabet!r}")
        if self.split_by == "group" and not c.group:
            raise ConfigError("split_by group needs columns.group")
        if self.split_values is not None and not c.split:
            raise ConfigError("split_values needs columns.split")
        if (c.validation or self.validation) and not given and self.data.dataset is None:
            raise ConfigError("validation goes with a split that the file gives; else use fractions")
        if c.split and not given:
            raise ConfigError(f"columns.split and split_by {self.split_by!r} exclude each other")
        if self.negatives and not self.by_class:
            raise ConfigError("negatives goes with target class")


def _check_metric(config: TaskConfig) -> None:
    from bioeval.scores import metrics_for

    allowed = metrics_for(config.kind, classes=config.by_class)
    if not config.metric:
        object.__setattr__(config, "metric", allowed[0])
    elif config.metric not in allowed:
        raise ConfigError(f"metric {config.metric!r}, known: {', '.join(allowed)}")
