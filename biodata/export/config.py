"""What to export, and the table of forms. To add one: one file with a function, one line in `EXPORTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from biodata.catalog import Catalog
from biodata.curate.interleave import InterleaveConfig
from biodata.dataset import Dataset, open_dataset
from biodata.errors import ConfigError, DataError
from biodata.schema import SPLITS

EXPORTS = Catalog(
    "export",
    {
        "documents": "biodata.export.documents:export_documents",
        "fasta": "biodata.export.fasta:export_fasta",
        "hf": "biodata.export.huggingface:export_huggingface",
        "megatron": "biodata.export.megatron:export_megatron",
    },
)
"""Name to an `Export`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """A dataset to write in another form.

    Raises:
        ConfigError: an unknown form or split, or no tokenizer where one is needed.

    >>> ExportConfig(data=Path("d"), to="megatrn", out=Path("o"))
    Traceback (most recent call last):
    biodata.errors.ConfigError: unknown export 'megatrn', did you mean 'megatron'? ...
    """

    data: Path = field(metadata={"help": "dataset folder"})
    to: str = field(
        metadata={"help": "megatron (.bin/.idx), fasta, hf (Parquet with a card), documents (text)"}
    )
    out: Path = field(
        metadata={"help": "start of the files' names: OUT_train.bin, OUT_train.fasta; hf: the folder"}
    )
    tokenizer: Path | None = field(
        default=None, metadata={"help": "tokenizer folder (needed for megatron; hf: adds a column input_ids)"}
    )
    splits: tuple[str, ...] = field(default=SPLITS, metadata={"help": "splits to write"})
    documents: InterleaveConfig = field(
        default_factory=InterleaveConfig, metadata={"help": "documents: text and sequence interleaved"}
    )

    def __post_init__(self) -> None:
        form = EXPORTS.resolve(self.to)
        unknown = [split for split in self.splits if split not in SPLITS]
        if unknown or not self.splits:
            raise ConfigError(f"splits = {', '.join(self.splits) or 'none'!r}, allowed: {', '.join(SPLITS)}")
        if len(set(self.splits)) < len(self.splits):
            raise ConfigError(f"splits = {', '.join(self.splits)}: each once")
        if form == "megatron" and self.tokenizer is None:
            raise ConfigError("megatron files hold token ids: give --tokenizer TOK")
        if form in ("fasta", "documents") and self.tokenizer is not None:
            holds = "FASTA holds letters" if form == "fasta" else "documents hold text"
            raise ConfigError(f"tokenizer = {self.tokenizer}, but {holds}: leave it out")
        if form != "documents":
            self._refuse_documents(form)

    def _refuse_documents(self, form: str) -> None:
        for one in fields(self.documents):
            value = getattr(self.documents, one.name)
            if value != one.default:
                raise ConfigError(
                    f"{one.name} = {value!r} is for --to documents, but this is {form}: leave it out"
                )


Export: TypeAlias = Callable[[ExportConfig, Dataset], dict[str, Any]]
"""Writes the files atomically and says what they are: `files`, `rows` by split, and more."""


def export_dataset(config: ExportConfig) -> dict[str, Any]:
    """Writes a dataset in another form.

    Returns:
        `path`, `to`, `rows` by split, `files`, and what the form adds.

    Raises:
        DataError: no dataset, or no rows in the splits asked for.
    """
    dataset = open_dataset(config.data)
    if not any(dataset.splits.get(split, 0) for split in config.splits):
        raise DataError(f"no rows in {', '.join(config.splits)}", where=config.data)
    write: Export = EXPORTS.load(config.to)
    return {"path": str(config.out), "to": EXPORTS.resolve(config.to), **write(config, dataset)}


def named(out: Path, split: str, ending: str) -> Path:
    """The file of a split: `OUT_train.bin`.

    Args:
        out: folder and first part of the name.
        split: train, validation or test.
        ending: with its dot.

    >>> named(Path("a/genes"), "train", ".bin").as_posix()
    'a/genes_train.bin'
    """
    return out.with_name(f"{out.name}_{split}{ending}")


def filled_splits(config: ExportConfig, dataset: Dataset) -> list[str]:
    """The splits asked for that have rows; the others are said and left out."""
    from biodata.progress import say

    empty = [split for split in config.splits if not dataset.splits.get(split, 0)]
    if empty:
        say(f"{config.data}: no rows in {', '.join(empty)}: no file is written for it")
    return [split for split in config.splits if split not in empty]
