"""How files of tasks are laid out. To add a format: one file with a `Reader`, one line here.

A reader gets the path of a file (or folder), what the task file says and the columns wanted, and gives
`Rows`: texts as they stand, and where each row stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import Rows

__all__ = ["FORMATS", "Reader", "format_of"]

Reader = Callable[[Path, TaskConfig, Sequence[str]], Rows]

FORMATS = Catalog(
    "task format",
    {
        "airr": "bioeval.tasks.formats.regions:read_airr_regions",
        "coordinates": "bioeval.tasks.formats.coordinates:read_coordinates",
        "fasta": "bioeval.tasks.formats.fasta:read_fasta_rows",
        "json-lines": "bioeval.tasks.formats.json_lines:read_json_rows",
        "oas": "bioeval.tasks.formats.regions:read_oas_regions",
        "parquet": "bioeval.tasks.formats.tables:read_parquet_rows",
        "structures": "bioeval.tasks.formats.structures:read_structures",
        "table": "bioeval.tasks.formats.tables:read_table_rows",
        "texts": "bioeval.tasks.formats.texts:read_texts",
    },
)

_BY_SUFFIX = {
    ".csv": "table", ".tsv": "table", ".txt": "table", ".parquet": "parquet",
    ".jsonl": "json-lines", ".ndjson": "json-lines",
    ".fasta": "fasta", ".fa": "fasta", ".fna": "fasta", ".faa": "fasta",
}  # fmt: skip


def format_of(path: Path, config: TaskConfig) -> str:
    """The format of a file: as the task file says, else by its name.

    Raises:
        ConfigError: the name tells nothing.
    """
    if config.data.format not in ("auto", "table"):
        return config.data.format
    if path.is_dir():
        return "texts"
    name = config.data.member or path.name
    suffixes = [suffix for suffix in Path(name.lower()).suffixes if suffix not in (".gz", ".zst", ".bz2")]
    found = _BY_SUFFIX.get(suffixes[-1] if suffixes else "")
    if config.data.format == "table":
        return "parquet" if found == "parquet" else "table"
    if found is None:
        raise ConfigError(f"{path}: its name tells no format (known: {', '.join(_BY_SUFFIX)}); "
                          "say data.format, and data.member for a zip archive")  # fmt: skip
    return found
