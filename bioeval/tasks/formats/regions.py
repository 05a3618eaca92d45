"""Antibody chains of AIRR tables and OAS data units, each unit labelled with its region.

The regions are the features that the readers of biodata locate (IMGT: FR1, CDR1, FR2, CDR2, FR3, CDR3, FR4),
by coordinates, letters or gaps. A unit belongs to the region that its middle letter is in; one in no region
has no label. Columns: `id`, `sequence`, `regions` and the labels of the reader (`v_call`, `c_call`, `locus`,
`subject`, `pair`, ...).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.airr import read_airr
from biodata.io.oas import read_oas
from biodata.read_config import ReadConfig
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import Rows

REGIONS = ("FR1", "CDR1", "FR2", "CDR2", "FR3", "CDR3", "FR4")
"""Regions of an antibody chain, in order."""
COLUMN = "regions"


def read_airr_regions(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """The chains of an AIRR table; arguments and errors as `read_oas_regions`."""
    return _chains(path, config, wanted, read_airr)


def read_oas_regions(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """The chains of an OAS data unit; of DNA the reading frame from the first whole codon of V to that of J.

    Args:
        path: the unit.
        config: alphabet `dna` or `protein`, and the unit that is labelled.
        wanted: columns; labels that the file lacks are empty.

    Raises:
        DataError: no chains, or no column for the letters asked for.
    """
    return _chains(path, config, wanted, read_oas)


def unit_regions(features: Sequence[Mapping[str, Any]], length: int, *, width: int) -> list[str | None]:
    """Region of every unit of a chain.

    Args:
        features: `type`, `start`, `end`, 0-based and half-open.
        length: letters of the chain.
        width: letters of a unit, 1 or 3.

    >>> unit_regions([{"type": "FR1", "start": 0, "end": 4}, {"type": "V", "start": 0, "end": 9}], 9, width=3)
    ['FR1', None, None]
    """
    letters: list[str | None] = [None] * length
    for feature in features:
        if feature["type"] in REGIONS:
            start, end = feature["start"], min(feature["end"], length)
            letters[start:end] = [feature["type"]] * (end - start)
    return letters[width // 2 :: width]


def _chains(path: Path, config: TaskConfig, wanted: Sequence[str], read: Any) -> Rows:
    take = "cds" if config.unit == "codon" else "records"
    settings = ReadConfig(alphabet=config.alphabet, take=take)  # pyright: ignore[reportArgumentType]
    width = 3 if config.unit == "codon" else 1
    columns: dict[str, list] = {"id": [], "sequence": [], COLUMN: []}
    labels: list[dict[str, str]] = []
    lines: list[int] = []
    log = RuleLog(file=path.name)
    for batch in read(path, log=log, config=settings):
        for row in batch.to_pylist():
            columns["id"].append(row["id"])
            columns["sequence"].append(row["sequence"])
            columns[COLUMN].append(unit_regions(row["features"] or [], len(row["sequence"]), width=width))
            labels.append({x["name"]: x["text"] for x in row["labels"] or []})
            lines.append(row["line"] or 0)
    if not lines:
        counts = ", ".join(f"{n} {rule}" for rule, n in log.as_dict()["dropped"].items())
        raise DataError(f"no chains of {config.alphabet}", where=path, hint=f"left out: {counts or 'none'}")
    extra = {name: [found.get(name) for found in labels] for name in wanted if name not in columns}
    table = pa.table({
        name: pa.array(column, pa.list_(pa.large_string()) if name == COLUMN else pa.large_string())
        for name, column in (columns | extra).items() if not name.startswith("{")
    })  # fmt: skip
    n = len(lines)
    return Rows(table=table, files=(str(path),), file_of=np.zeros(n, np.int64),
                lines=np.array(lines, np.int64), log=log)  # fmt: skip
