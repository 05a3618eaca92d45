"""Sequences as they stand in the files that people have, for models to embed and to score."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.rules import RuleLog
from biodata.errors import ConfigError, DataError
from biodata.fetch.resolve import resolve_inputs
from biodata.files import fingerprint
from biodata.io import CONFIGURED, READERS
from biodata.progress import say
from biodata.read_config import ReadConfig
from biodata.schema import SPLITS
from biodata.sources.local import SourceFile, find_files

_LETTERS_PER_PIECE = 1 << 26
_SAID = {"uniref": "protein", "uniref-xml": "protein", "tcrdb": "protein", "vdjdb": "protein",
         "smiles": "selfies"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConfig:
    """Which sequences.

    Raises:
        ConfigError: a value that is not allowed.
    """

    inputs: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "files, folders or patterns of any format that `data build` reads, a dataset, or a "
            "source name such as refseq:viral"
        },
    )
    alphabet: Literal["any", "dna", "rna", "protein", "selfies"] = field(
        default="any", metadata={"help": "which sequences are meant where a file has several kinds"}
    )
    sequence_column: str = field(
        default="", metadata={"help": "column of a table with the sequences; empty: sequence, seq, cds, ..."}
    )
    id_column: str = field(
        default="", metadata={"help": "column with the ids; empty: id, name, ..., else the line"}
    )
    split: Literal["all", "train", "validation", "test"] = field(
        default="all", metadata={"help": "of a dataset folder"}
    )

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ConfigError("no inputs given, at least one file is needed")
        kinds = ("any", "dna", "rna", "protein", "selfies")
        for name, allowed in (("alphabet", kinds), ("split", ("all", *SPLITS))):
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} = {value!r}, allowed: {', '.join(allowed)}")


class Piece(NamedTuple):
    """Some records, in order.

    Attributes:
        ids: as in the file; a record without one has `NAME:LINE`, or its number.
        sequences: letters as they stand in the file: nothing is cleaned.
    """

    ids: list[str]
    sequences: list[str]


class Records:
    """The records of inputs, read piece by piece as often as asked.

    Args:
        config: which.

    Raises:
        ConfigError: an input that names no file, an unknown source, or a split of what is no dataset.
        DataError: a file of unknown format.
        FetchError: a source that is not in the cache cannot be fetched.
    """

    def __init__(self, config: InputConfig) -> None:
        self.config, self.log = config, RuleLog()
        columns = (config.sequence_column,) if config.sequence_column else ()
        self.files = find_files(_paths(config), log=self.log, columns=columns)
        if not self.files:
            raise DataError(f"nothing to read in {', '.join(config.inputs)}")

    def again(self) -> Records:
        """The same records for another look; what is left out is counted in a book of its own."""
        other = copy(self)
        other.log = RuleLog()
        return other

    @property
    def alphabets(self) -> set[str]:
        """What the files say the sequences are; empty where none does."""
        said = {_SAID[file.format] for file in self.files if file.format in _SAID}
        for file in self.files:
            if file.format == "seqloom":
                column = pq.read_table(file.path, columns=["alphabet"])["alphabet"]
                said |= set(column.unique().to_pylist())
        return said

    @property
    def fingerprint(self) -> str:
        """Of what is read."""
        return fingerprint([file.as_dict() for file in self.files])

    def pieces(self, *, letters: int = _LETTERS_PER_PIECE) -> Iterator[Piece]:
        """Records in the order of the files.

        Args:
            letters: a piece ends with the record that makes it at least so long.

        Raises:
            DataError: a file that cannot be read, a record without letters, or no record at all.
        """
        ids: list[str] = []
        sequences: list[str] = []
        held, found = 0, False
        for file in self.files:
            for batch in self._batches(file):
                names, texts = _names(batch, file.name), batch["sequence"].to_pylist()
                for name, text in zip(names, texts):
                    if not text:
                        raise DataError(f"record {name!r} has no letters", where=file.path)
                    ids.append(name)
                    sequences.append(text)
                    held += len(text)
                    if held >= letters:
                        yield Piece(ids, sequences)
                        ids, sequences, held, found = [], [], 0, True
        if ids:
            yield Piece(ids, sequences)
        elif not found:
            counts = self.log.as_dict()["dropped"]
            hint = ", ".join(f"left out: {reason} {count}" for reason, count in counts.items())
            raise DataError("no records", where=", ".join(self.config.inputs), hint=hint)

    def dropped(self) -> dict[str, int]:
        """Rows that could not be read, by reason; says so once if there are any."""
        counts = dict(self.log.as_dict()["dropped"])
        if counts:
            rows = self.log.table().to_pylist()
            first = next((row for row in rows if row["action"] == "dropped"), {})
            said = ", ".join(f"{reason} {count}" for reason, count in counts.items())
            where = f"{first.get('file')}:{first.get('line')}" if first.get("line") else first.get("file")
            say(f"left out: {said}; first: {where} {first.get('detail', '')}")
        return counts

    def _batches(self, file: SourceFile) -> Iterator[pa.RecordBatch]:
        config, reader = self.config, READERS.load(file.format)
        self.log.file = file.name
        alphabet = None if config.alphabet == "any" else config.alphabet
        if file.format not in CONFIGURED or file.format == "seqloom":
            return reader(file.path, log=self.log, alphabet=alphabet)
        kind = "selfies" if file.format == "smiles" else config.alphabet
        read = ReadConfig(
            alphabet="dna" if kind == "any" else kind, sequence_column=config.sequence_column,
            id_column=config.id_column,
        )  # fmt: skip
        return reader(file.path, log=self.log, alphabet=alphabet, config=read)


def _paths(config: InputConfig) -> list[str]:
    """The inputs: of datasets their shards, of source names the folder where `data build` keeps them."""
    paths: list[str] = []
    for text in config.inputs:
        if _is_dataset(Path(text)):
            paths += _shards(Path(text), config.split)
        elif config.split != "all":
            raise ConfigError(f"split = {config.split!r}, but {text} is no dataset folder: leave it out")
        else:
            alphabet = "" if config.alphabet == "any" else config.alphabet
            paths += resolve_inputs([text], alphabet=alphabet, take="records")
    return paths


def _is_dataset(folder: Path) -> bool:
    return folder.is_dir() and (folder / "data").is_dir() and any((folder / "data").glob("*.parquet"))


def _shards(folder: Path, split: str) -> list[str]:
    wanted = SPLITS if split == "all" else (split,)
    shards = [str(p) for name in wanted for p in sorted((folder / "data").glob(f"{name}-*.parquet"))]
    if not shards:
        raise ConfigError(f"{folder} has no data/{split}-*.parquet")
    return shards


def _names(batch: pa.RecordBatch, file: str) -> list[str]:
    ids, lines = batch["id"].to_pylist(), batch["line"].to_pylist()
    return [name or (f"{file}:{line}" if line else file) for name, line in zip(ids, lines)]
