"""Data units of the Observed Antibody Space, unpaired and paired (doi:10.1002/pro.4205).

A unit is two gzip members: one quoted CSV field that holds JSON about the study, then a table with the names
of AIRR (97 columns; paired units have each with `_heavy` and `_light`). Columns are found by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.rearrangements import Rearrangements, wanted
from biodata.io.streams import open_binary
from biodata.io.tables import Header, Lines, config_for, has_more, read_header, read_rows
from biodata.read_config import ReadConfig

NULLS = ("", "no", "No", "None", "nan", "NA")
CHAINS = ("heavy", "light")
_LABELS = {
    "Run": "run", "Author": "study", "Subject": "subject", "Species": "species", "Age": "age",
    "BSource": "b_source", "BType": "b_type", "Vaccine": "vaccine", "Disease": "disease",
}  # fmt: skip
_SPECIES = {
    "human": ("Homo sapiens", 9606), "mouse": ("Mus musculus", 10090), "rat": ("Rattus norvegicus", 10116),
    "rabbit": ("Oryctolagus cuniculus", 9986), "rhesus": ("Macaca mulatta", 9544),
    "camel": ("Camelus dromedarius", 9838), "cow": ("Bos taurus", 9913), "pig": ("Sus scrofa", 9823),
}  # fmt: skip
_NOT_AN_ISOTYPE = ("Bulk", "All")
_RENAMED = {"Redundancy": "redundancy", "ANARCI_status": "anarci_status", "Isotype": "isotype"}


def read_oas(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Chains of an OAS data unit; which part is taken and kept is `ReadConfig.repertoire`.

    A pair gives two rows, heavy chain first, with an equal label `pair`, so that a split keeps them together.
    Ids begin with the run, since barcodes repeat between units: `RUN:sequence_id`, or `RUN:row` where a unit
    has no ids. What the metadata say (run, study, subject, species, ...) becomes labels.

    Args:
        path: the unit; any compression, any number of members.
        log: its book; `count-differs-from-metadata` where there are fewer or more rows than promised.
        alphabet: `dna`, `rna` or `protein`, where no `config` is given.
        config: what to read.

    Yields:
        Batches of `RAW_SCHEMA`.

    Raises:
        DataError: metadata that are not JSON, only the first member, or no column for the region asked for.
    """
    path = Path(path)
    config = config or config_for(alphabet)
    log = log or RuleLog(file=path.name)
    with open_binary(path) as stream:
        if not has_more(stream):
            return
        header = read_header(stream, where=path, metadata=True)
        unit = _Unit(path, header, config, log)
        done = 0
        rows = read_rows(stream, header, where=path, log=log, columns=unit.columns, nulls=NULLS)
        for frame, lines in rows:
            yield unit.batch(frame, lines, done)
            done += frame.height
        unit.check_count(done)


class _Unit:
    """One data unit: its metadata and its chains."""

    def __init__(self, path: Path, header: Header, config: ReadConfig, log: RuleLog) -> None:
        self.log = log
        self.metadata = _metadata(header.metadata, path)
        self.run = str(self.metadata.get("Run") or path.name.split(".")[0])
        species = str(self.metadata.get("Species", ""))
        self.organism, self.taxon_id = _SPECIES.get(species.split("_")[0].lower(), (species or None, None))
        self.labels: dict[str, str | float | None] = {
            label: _known(self.metadata.get(key)) for key, label in _LABELS.items()
        }
        self.is_paired = any(name.endswith("_heavy") for name in header.names)
        self.ends = [f"_{chain}" for chain in CHAINS] if self.is_paired else [""]
        self.columns = [
            name + end for end in self.ends for name in [*wanted(_bare(header.names, end)), *_RENAMED]
            if name + end in header.names
        ]  # fmt: skip
        self.chains = [
            Rearrangements(config, Header(_bare(header.names, end), ",", 0), where=path, log=log)
            for end in self.ends
        ]

    def batch(self, frame: pl.DataFrame, lines: Lines, done: int) -> pa.RecordBatch:
        """The chains of some rows; `done` rows came before."""
        numbers = pl.Series(np.arange(done + 1, done + frame.height + 1)).cast(pl.String)
        parts = [self._chain(frame, end).with_columns(line=lines, row=numbers) for end in self.ends]
        both = pl.concat(
            [self._named(part, end).with_columns(at=pl.int_range(pl.len()), chain_number=pl.lit(i))
             for i, (part, end) in enumerate(zip(parts, self.ends))],
            how="diagonal",
        ).sort("at", "chain_number", maintain_order=True)  # fmt: skip
        if self.is_paired:
            first = both["id"].gather_every(2)
            both = both.with_columns(pair=pl.Series(np.repeat(first.to_numpy(), 2), dtype=pl.String))
        else:
            both = both.with_columns(pair=pl.lit(None, pl.String))
        return self.chains[0].batch(
            both, constant=self.labels, organism=self.organism, taxon_id=self.taxon_id
        )

    def _chain(self, frame: pl.DataFrame, end: str) -> pl.DataFrame:
        names = {name: name.removesuffix(end) for name in self.columns if name.endswith(end)}
        part = frame.select(list(names)).rename(names)
        part = part.rename({old: new for old, new in _RENAMED.items() if old in part.columns})
        if "isotype" in part.columns:
            named = pl.col("isotype")
            part = part.with_columns(isotype=pl.when(~named.is_in(_NOT_AN_ISOTYPE)).then(named))
            if "c_call" not in part.columns:
                part = part.with_columns(
                    c_call=pl.when(pl.col("isotype").str.starts_with("IG")).then("isotype")
                )
        return part

    def _named(self, part: pl.DataFrame, end: str) -> pl.DataFrame:
        name = pl.coalesce("sequence_id", "row") if "sequence_id" in part.columns else pl.col("row") + end
        return part.with_columns(id=pl.concat_str([pl.lit(self.run), name], separator=":"))

    def check_count(self, rows: int) -> None:
        """Compares the rows read with the number that the metadata promise."""
        promised = self.metadata.get("Unique sequences")
        if isinstance(promised, int | float) and int(promised) != rows:
            self.log.change("count-differs-from-metadata", 1, ids=self.run,
                            detail=f"{rows} rows, {int(promised)} promised")  # fmt: skip


def _bare(names: tuple[str, ...], end: str) -> tuple[str, ...]:
    return tuple(name.removesuffix(end) for name in names if name.endswith(end))


def _known(value: Any) -> str | None:
    return None if value is None or str(value) in NULLS else str(value)


def _metadata(text: str, path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"metadata are not JSON: {error.msg}", where=f"{path}:1") from error
    if not isinstance(found, dict):
        raise DataError(f"metadata are {type(found).__name__}, an object expected", where=f"{path}:1")
    return found
