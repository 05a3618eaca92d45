"""Lineages from the NCBI taxonomy dump (`nodes.dmp`, `names.dmp` of taxdump.tar.gz)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from biodata.errors import DataError

FILES = ("nodes.dmp", "names.dmp")
_LONGEST = 100  # ancestors; the deepest lineage of NCBI has about 50


class Taxonomy:
    """Parents and scientific names of all taxa, in arrays (about 300 MB for the whole of NCBI).

    Args:
        folder: with `nodes.dmp` and `names.dmp`.

    Raises:
        DataError: a file is missing or not in the format of the dump.

    """

    def __init__(self, folder: Path) -> None:
        nodes = _columns(Path(folder) / FILES[0], 3)
        names = _columns(Path(folder) / FILES[1], 4)
        ids, parents = (_numbers(nodes, column, folder) for column in (0, 1))
        self._parent = np.zeros(int(ids.max()) + 1, np.int32)
        self._parent[ids] = parents
        scientific = names.filter(pl.nth(3) == "scientific name")
        self._names = dict(zip(_numbers(scientific, 0, folder).tolist(), scientific.to_series(1).to_list()))

    @lru_cache(maxsize=1 << 16)  # noqa: B019 - one taxonomy a process
    def lineage(self, taxon: int) -> tuple[tuple[int, str], ...]:
        """Id and name of a taxon and its ancestors, from below the root down; empty if it is unknown."""
        found: list[tuple[int, str]] = []
        while 1 < taxon < len(self._parent) and self._parent[taxon] and len(found) < _LONGEST:
            found.append((taxon, self._names.get(taxon, "")))
            taxon = int(self._parent[taxon])
        return tuple(reversed(found))


def _columns(path: Path, least: int) -> pl.DataFrame:
    if not path.is_file():
        raise DataError("no such file", where=path, hint="unpack NCBI's taxdump.tar.gz into the folder")
    try:
        frame = pl.read_csv(path, separator="|", has_header=False, quote_char=None, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"not an NCBI taxonomy dump: {str(error).splitlines()[0]}", where=path) from error
    if frame.width < least:
        raise DataError(f"{frame.width} columns, an NCBI taxonomy dump has {least} or more", where=path)
    return frame.select(pl.all().str.strip_chars())


def _numbers(frame: pl.DataFrame, column: int, folder: Path) -> np.ndarray:
    numbers = frame.to_series(column).cast(pl.Int64, strict=False)
    if numbers.null_count() or not len(numbers) or int(numbers.min() or 0) < 0:  # pyright: ignore[reportArgumentType]
        raise DataError("a taxon id is no number: not an NCBI taxonomy dump", where=folder)
    return numbers.to_numpy()
