"""Tables of coordinates on a genome (the repository of Genomic Benchmarks): id, region, start, end, strand.

Starts count from 0, ends are behind the last letter (half-open), strand `-` means the reverse complement.
Letters come out in upper case: genomes write repeats in lower case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError, DataError
from biodata.io.fasta import read_fasta
from bioeval.tasks.config import Source, TaskConfig
from bioeval.tasks.find import Piece, find_file
from bioeval.tasks.formats.tables import read_table_rows
from bioeval.tasks.rows import Rows

_COLUMNS = ("region", "start", "end", "strand")


def read_coordinates(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """The rows of a table of coordinates, with the column `sequence` cut from the genome.

    Raises:
        ConfigError: the genome is not there.
        DataError: a region that the genome lacks, or coordinates outside it, with file and line.
    """
    extra = [name for name in wanted if name not in (config.columns.sequence, *_COLUMNS)]
    rows = read_table_rows(path, config, [*_COLUMNS, *extra])
    genome = _genome(path, config.data)
    sequences = [
        _cut(genome, rows, row, values)
        for row, values in enumerate(zip(*(rows.texts(name).to_pylist() for name in _COLUMNS)))
    ]
    table = rows.table.append_column(config.columns.sequence, pa.array(sequences, pa.large_string()))
    return Rows(table=table, files=rows.files, file_of=rows.file_of, lines=rows.lines)


def _genome(path: Path, source: Source) -> dict[str, str]:
    name = str(source.genome)
    try:
        file = find_file(source, beside=path.parent, piece=Piece(file=name, url=None))
    except ConfigError as error:
        raise ConfigError(f"{path} has coordinates on {name}, which is not there: "
                          "put that FASTA file beside it, of any compression") from error  # fmt: skip
    return _sequences(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _sequences(file: Path, changed: int) -> dict[str, str]:
    del changed  # part of the key only
    return {
        name: sequence
        for batch in read_fasta(file)
        for name, sequence in zip(batch["id"].to_pylist(), batch["sequence"].to_pylist())
    }


def _cut(genome: dict[str, str], rows: Rows, row: int, place: tuple[str | None, ...]) -> str:
    region, start, end, strand = (text or "" for text in place)
    names = (region, region.removeprefix("chr"), f"chr{region}")
    whole = next((genome[name] for name in names if name in genome), None)
    if whole is None:
        raise DataError(f"region {region!r} is not in the genome", where=rows.where(row),
                        hint=f"it has {', '.join(list(genome)[:8])}")  # fmt: skip
    if not (start.isdigit() and end.isdigit() and int(start) < int(end) <= len(whole)):
        raise DataError(f"start {start}, end {end}", where=rows.where(row),
                        hint=f"0 <= start < end <= {len(whole)} expected in {region}")  # fmt: skip
    if strand not in ("+", "-"):
        raise DataError(f"strand {strand!r}, allowed: +, -", where=rows.where(row))
    piece = whole[int(start) : int(end)].upper()
    return reverse_complement(piece) if strand == "-" else piece
