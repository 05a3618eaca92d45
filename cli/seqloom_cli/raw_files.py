"""`seqloom train` straight from text or CSV files, as HELM's `train.py` takes them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from biodata.build import BuildConfig, build_dataset
from biodata.errors import ConfigError, DataError
from biodata.read_config import ReadConfig
from biodata.splits.config import SplitConfig
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.catalog import TOKENIZERS
from biotrain.config import TrainConfig

_LEARNED = ("bpe", "wordpiece", "unigram", "sentencepiece")
_WIDTHS = {"codon": 3, "6mer": 6}


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesConfig:
    """Sequences that are no dataset yet. A dataset and a tokenizer are made of them in `OUT/.inputs`.

    Without `val_file` and `test_file` the data is split by similarity, so that no test sequence is near a
    training one; HELM splits at random.

    Raises:
        ConfigError: settings that do not fit.
    """

    data_dir: Path = field(default=Path("."), metadata={"help": "folder of train_file and its like"})
    train_file: str | None = field(
        default=None, metadata={"help": "a sequence per line, or CSV; takes the place of --data"}
    )
    val_file: str | None = field(default=None, metadata={"help": "validation sequences; needs test_file"})
    test_file: str | None = field(default=None, metadata={"help": "test sequences; needs val_file"})
    file_extension: Literal["auto", "txt", "csv"] = field(
        default="auto", metadata={"help": "what the files are; auto = by their names"}
    )
    column_name: str = field(default="sequence", metadata={"help": "column of a CSV with the sequences"})
    data_type: Literal["codon", "nuc", "aa"] = field(
        default="nuc", metadata={"help": "nucleotides (codon means the same) or amino acids"}
    )
    num_samples: int = field(default=-1, metadata={"help": "first sequences to take, -1 = all"})
    overlap: int = field(default=0, metadata={"help": "letters that neighbouring k-mers share, 0 to k - 1"})
    num_workers: int = field(
        default=0, metadata={"help": "processes that prepare the data; 0 = one per core"}
    )

    def __post_init__(self) -> None:
        if self.train_file is None:
            for item in fields(self):
                if getattr(self, item.name) != item.default:
                    raise ConfigError(f"{item.name} is about the sequences of train_file: give that too")
        if (self.val_file is None) != (self.test_file is None):
            raise ConfigError("val_file and test_file go together: give both, or none for a split here")
        if self.num_samples < -1 or self.num_samples == 0:
            raise ConfigError(f"num_samples must be 1 or more, or -1 for all, got {self.num_samples}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainCommand(TrainConfig):
    """`TrainConfig`, or raw files and a tokenizer's kind in place of dataset and tokenizer folder.

    Raises:
        ConfigError: settings that do not fit.
    """

    files: FilesConfig = field(default_factory=FilesConfig, metadata={"help": "sequences, no dataset yet"})
    num_devices: int = field(
        default=0, metadata={"help": "devices of each machine, a process each; 0 = as torchrun started them"}
    )
    num_nodes: int = field(default=1, metadata={"help": "machines"})

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if self.files.train_file and self.data is not None:
            raise ConfigError("data and train_file are two ways to give the same: give one of them")
        if self.num_nodes != 1 and not self.num_devices:
            raise ConfigError(f"num_nodes {self.num_nodes} needs num_devices: how many each machine has")
        wanted, running = self.num_devices * self.num_nodes, int(os.environ.get("WORLD_SIZE", "1"))
        if self.num_devices and wanted != running:
            raise ConfigError(
                f"num_devices {self.num_devices} x num_nodes {self.num_nodes} = {wanted} processes, "
                f"{running} running: start as many by torchrun"
            )

    def planned(self) -> TrainConfig:
        """The configuration for a dry run, which makes nothing: raw files are not looked at."""
        values = {item.name: getattr(self, item.name) for item in fields(TrainConfig)}
        if self.files.train_file and not (self.tokenizer and self.tokenizer.is_dir()):
            values["tokenizer"] = None
        return TrainConfig(**values)

    def settings(self) -> TrainConfig:
        """The configuration proper; makes dataset and tokenizer of raw files first."""
        values = {item.name: getattr(self, item.name) for item in fields(TrainConfig)}
        if self.files.train_file:
            values |= _prepare(self.files, values)
        return TrainConfig(**values)


def _prepare(files: FilesConfig, values: dict[str, Any]) -> dict[str, Any]:
    if values["out"] is None:
        raise ConfigError("training needs 'out' (run folder to write): give --out DIR")
    place = values["out"] / ".inputs"
    place.mkdir(parents=True, exist_ok=True)
    table = place / "sequences.parquet"
    pq.write_table(_sequences(files), table)
    parts: dict[str, Any] = {}
    if files.val_file:
        parts = {"by": "group", "group": ("part",), "validation_values": ("validation",),
                 "test_values": ("test",)}  # fmt: skip
    alphabet = "protein" if files.data_type == "aa" else "dna"
    read = ReadConfig(inputs=(str(table),), alphabet=alphabet, sequence_column="sequence", id_column="id")
    split = SplitConfig(threads=files.num_workers, **parts)
    data = place / "dataset"
    build_dataset(BuildConfig(read=read, split=split, overwrite=True), data)
    return {"data": data, **_tokenizer(files, values, data)}


def _tokenizer(files: FilesConfig, values: dict[str, Any], data: Path) -> dict[str, Any]:
    given = values["tokenizer"]
    if given is not None and given.is_dir():
        if files.overlap:
            raise ConfigError(f"overlap is for a tokenizer made here, but {given} is a folder: leave it out")
        return {}
    kind = TOKENIZERS.resolve(str(given or ("aa" if files.data_type == "aa" else "codon")))
    settings: dict[str, Any] = {"kind": kind}
    if files.overlap:
        if kind not in _WIDTHS:
            raise ConfigError(f"overlap is for tokenizers 3mer and 6mer, got {kind!r}")
        settings = {"kind": "kmer", "k": _WIDTHS[kind], "overlap": files.overlap}
    if kind in _LEARNED:
        settings["vocab_size"] = values["vocab_size"]
    out = data.parent / "tokenizer"
    train_tokenizer(TokenizerConfig(data=data, out=out, **settings))
    learned = {"vocab_size": None} if kind in _LEARNED else {}
    return {"tokenizer": out, **learned}


def _sequences(files: FilesConfig) -> pa.Table:
    tables = []
    for part, name in zip(
        ("train", "validation", "test"), (files.train_file, files.val_file, files.test_file)
    ):
        if name is None:
            continue
        column = _column(files, files.data_dir / name)
        if part == "train" and files.num_samples > 0:
            column = column.slice(0, files.num_samples)
        ids = pa.array([f"{part}{number}" for number in range(1, len(column) + 1)])
        tables.append(pa.table({"id": ids, "sequence": column, "part": [part] * len(column)}))
    return pa.concat_tables(tables)


def _column(files: FilesConfig, path: Path) -> pa.ChunkedArray:
    """The sequences in capitals, without gaps and empty lines; RNA as DNA."""
    kind = files.file_extension
    if kind == "auto":
        kind = "csv" if path.suffix == ".csv" else "txt"
    name = files.column_name if kind == "csv" else "sequence"
    try:
        if kind == "csv":
            types = pacsv.ConvertOptions(include_columns=[name], column_types={name: pa.string()})
            table = pacsv.read_csv(path, convert_options=types)
        else:
            lines = path.read_text(encoding="ascii").splitlines()
            table = pa.table({name: pa.array(lines, pa.string())})
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file (data_dir and train_file)") from None
    except KeyError:
        raise ConfigError(f"{path} has no column {name!r}: give column_name") from None
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"not sequences as {kind} ({str(error).splitlines()[0]})", where=path) from error
    column = table[name]
    for function in ("utf8_trim_whitespace", "utf8_upper"):
        column = pc.call_function(function, [column])
    for letter, becomes in (("-", ""), *(() if files.data_type == "aa" else (("U", "T"),))):
        options = pc.ReplaceSubstringOptions(letter, becomes)
        column = pc.call_function("replace_substring", [column], options)
    return column.filter(pc.call_function("not_equal", [column, pa.scalar("")]))
