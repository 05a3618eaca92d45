"""Checks a finished dataset from scratch, or the split of a stranger's table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.alphabet import ALPHABETS, get_alphabet
from biodata.dataset import MANIFEST, Dataset, is_dataset, open_dataset
from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path, fingerprint, sha256_file
from biodata.mmseqs import normalised
from biodata.schema import SCHEMA, SCHEMA_VERSION, SPLITS, checksum
from biodata.splits.audit import Audit, AuditSettings, audit
from biodata.splits.nearness import nearness
from biodata.splits.stranger import AuditedRows, Columns, read_split, tables_in

_SHOWN = 5
_LISTED = pa.schema([("id", pa.string()), ("split", pa.string()), ("other_id", pa.string()),
                     ("other_split", pa.string()), ("identity", pa.float64())])  # fmt: skip


def verify_dataset(
    path: Path | str, *, identity: float | None = None, coverage: float | None = None,
    alphabet: str | None = None, threads: int = 0, effort: float = 20.0, columns: Columns | None = None,
    listing: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Checks a dataset folder, or a table with a sequence and a split column, and audits its split.

    A folder of ours is checked against its manifest: files, checksums of rows, counts, splits, clusters. Of a
    stranger's CSV, TSV or Parquet (plain, .gz, .bz2, .zst) only rows and split can be checked; its molecules
    may be SELFIES or SMILES.

    Args:
        identity: least identity of a leak; that of the manifest, else 0.9.
        coverage: least coverage of a leak; that of the manifest, else 0.8.
        alphabet: required for a stranger's table, never guessed; not allowed to differ from ours.
        effort: nominal core-seconds of the exact comparison, 0 for none.
        columns: of a stranger's table, where the usual names do not say it.
        listing: Parquet file to write the leaking pairs to.

    Returns:
        `ok`, `problems` (one line each), `audit` (None if the rows cannot be audited) and `near` (looser
        signs that do not make a split wrong: `biodata.splits.nearness`).

    Raises:
        DataError: there is nothing at `path`, or it is no dataset and no table.
        ConfigError: a wrong or missing alphabet, or columns of a dataset, which has its own.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", where=path)
    if path.is_dir() and (is_dataset(path) or not tables_in(path)):
        if columns is not None:
            raise ConfigError(f"{path} is a seqloom dataset, whose columns are known: leave their names out")
        return _verify_ours(
            open_dataset(path), _Asked(identity, coverage, alphabet, threads, effort, listing)
        )
    if alphabet is None:
        raise ConfigError(
            f"{path} is no seqloom dataset: say what it holds with alphabet {', '.join(ALPHABETS)}"
        )
    get_alphabet(alphabet)
    settings = AuditSettings(identity=0.9 if identity is None else identity,
                             coverage=0.8 if coverage is None else coverage, effort=effort,
                             threads=threads)  # fmt: skip
    rows = read_split(path, alphabet, columns=columns or Columns())
    return _verdict(rows, alphabet, settings, listing)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked of a dataset of ours; None: as its manifest says."""

    identity: float | None
    coverage: float | None
    alphabet: str | None
    threads: int
    effort: float
    listing: Path | None


def _verify_ours(dataset: Dataset, asked: _Asked) -> dict[str, Any]:
    manifest = dataset.manifest
    own = manifest.get("alphabet", "")
    if asked.alphabet not in (None, own):
        raise ConfigError(f"alphabet is {asked.alphabet!r}, but {dataset.path / MANIFEST} says {own!r}")
    problems = list(_file_problems(dataset))
    if problems:
        return {"ok": False, "problems": problems, "audit": None}
    table = pa.concat_tables([dataset.table(name, _CHECKED) for name in SPLITS])
    found = list(_row_problems(dataset, table, own))
    split = np.array([SPLITS.index(name) for name in SPLITS for _ in range(dataset.splits[name])], np.int8)
    audited, made = manifest.get("audit", {}), manifest.get("split_config", {})
    settings = AuditSettings(
        identity=audited.get("identity", 0.9) if asked.identity is None else asked.identity,
        coverage=audited.get("coverage", 0.8) if asked.coverage is None else asked.coverage,
        effort=asked.effort, seed=made.get("seed", 0), threads=asked.threads,
        tanimoto=made.get("tanimoto", 0.0),
    )  # fmt: skip
    rows = AuditedRows(table["id"].to_pylist(), table["sequence"], split, found)
    return _verdict(rows, own, settings, asked.listing)


_CHECKED = ["id", "sequence", "alphabet", "length", "cluster", "split", "checksum"]


def _verdict(
    rows: AuditedRows, alphabet: str, settings: AuditSettings, listing: Path | None
) -> dict[str, Any]:  # fmt: skip
    texts = normalised(rows.sequences, alphabet=alphabet)
    problems = [*rows.problems, *_copy_problems(texts, rows.split)]
    with tempfile.TemporaryDirectory(prefix="seqloom-verify-") as folder:
        found = audit(texts, rows.split, alphabet=alphabet, settings=settings, workdir=Path(folder),
                      selfies=rows.sequences if alphabet == "selfies" else None)  # fmt: skip
    if listing is not None:
        _write_listing(listing, rows, found)
    problems += _leak_problems(found, rows)
    near = nearness(texts, rows.split, alphabet=alphabet)
    return {"ok": not problems, "problems": problems, "audit": found.as_dict(), "near": near}


def _leak_problems(found: Audit, rows: AuditedRows) -> Iterator[str]:
    leaking = rows.split[found.leaking_rows]
    for number, name in enumerate(SPLITS):
        count, whole = int((leaking == number).sum()), int((rows.split == number).sum())
        if count:
            first = found.leaking_rows[leaking == number][0]
            yield (f"{count} of {whole} {name} rows ({count / whole:.1%}) are at least "
                   f"{found.settings.identity:.0%} identical to a row of another split, "
                   f"{rows.ids[first]} for one")  # fmt: skip


def _write_listing(path: Path, rows: AuditedRows, found: Audit) -> None:
    """The leaking pairs, the row further from training first, as `biodata.splits.audit` counts them."""
    first, second = found.leaks.query, found.leaks.target
    swap = rows.split[first] < rows.split[second]
    held, other = np.where(swap, second, first), np.where(swap, first, second)
    order = np.lexsort((other, held))
    columns: list[Any] = []
    for numbers in (held[order], other[order]):
        columns += [[rows.ids[row] for row in numbers.tolist()],
                    [SPLITS[part] for part in rows.split[numbers].tolist()]]  # fmt: skip
    with atomic_path(path) as part:
        pq.write_table(pa.table([*columns, found.leaks.identity[order]], schema=_LISTED), part)


def _copy_problems(texts: pa.ChunkedArray, split: np.ndarray) -> Iterator[str]:
    """Exactly equal sequences in two splits."""
    first: dict[str, int] = {}
    copies: dict[tuple[int, int], int] = {}
    for text, number in sorted(zip(texts.to_pylist(), split.tolist()), key=lambda pair: pair[1]):
        before = first.setdefault(text, number)
        if before != number:
            copies[before, number] = copies.get((before, number), 0) + 1
    for (before, number), count in sorted(copies.items()):
        yield f"{count} {SPLITS[number]} rows have exactly the sequence of a {SPLITS[before]} row"


def _file_problems(dataset: Dataset) -> Iterator[str]:
    """Missing, changed or foreign files; whatever is read later is whole if there are none."""
    manifest = dataset.manifest
    if manifest["schema_version"] != SCHEMA_VERSION:
        yield f"schema version {manifest['schema_version']!r}, this seqloom reads {SCHEMA_VERSION!r}"
        return
    for entry in manifest["files"]:
        path = dataset.path / entry["name"]
        if not path.is_file():
            yield f"{entry['name']}: missing"
        elif sha256_file(path) != entry["sha256"]:
            yield f"{entry['name']}: its SHA-256 is not that of the manifest, the file was changed"
        elif not _is_ours(pq.read_schema(path), manifest):
            yield f"{entry['name']}: its columns are not those of schema {SCHEMA_VERSION}"
        elif pq.read_metadata(path).num_rows != entry["rows"]:
            yield f"{entry['name']}: {pq.read_metadata(path).num_rows} rows, manifest says {entry['rows']}"
    named = {entry["name"] for entry in manifest["files"]}
    for path in sorted((dataset.path / "data").glob("*.parquet")):
        if f"data/{path.name}" not in named:
            yield f"data/{path.name}: not in the manifest"
    yield from _manifest_problems(manifest)


def _is_ours(schema: pa.Schema, manifest: Mapping[str, Any]) -> bool:
    """Whether the columns are those of the schema; an export may have token ids behind them."""
    if "exported" in manifest and schema.names[-1:] == ["input_ids"]:
        schema = schema.remove(len(schema) - 1)
    return schema.equals(SCHEMA)


def _manifest_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Figures of the manifest that contradict each other: it was changed after it was written."""
    files = manifest["files"]
    splits = {name: sum(f["rows"] for f in files if f["split"] == name) for name in SPLITS}
    expected = {
        "rows": sum(splits.values()),
        "splits": splits,
        "fingerprint": fingerprint([manifest.get("build_key"), files]),
    }
    for name, value in expected.items():
        if manifest.get(name) != value:
            yield f"{MANIFEST}: {name} is {manifest.get(name)!r}, its files give {value!r}"


def _row_problems(dataset: Dataset, table: pa.Table, alphabet: str) -> Iterator[str]:
    ids, texts = table["id"].to_pylist(), table["sequence"].to_pylist()
    splits = [name for name in SPLITS for _ in range(dataset.splits[name])]
    if len(ids) != len(splits):
        yield f"{len(ids)} rows, manifest says {len(splits)}"
        return
    letters = get_alphabet(alphabet)
    columns = {name: table[name].to_pylist() for name in _CHECKED}
    yield from _listed("whose checksum is not that of the sequence", ids,
                       [checksum(t) != c for t, c in zip(texts, columns["checksum"])])  # fmt: skip
    yield from _listed("whose length is not that of the sequence", ids,
                       [len(t) != n for t, n in zip(texts, columns["length"])])  # fmt: skip
    yield from _listed(f"with symbols outside {alphabet}", ids, [not letters.is_valid(t) for t in texts])
    yield from _listed(f"whose alphabet is not {alphabet}", ids, [a != alphabet for a in columns["alphabet"]])
    yield from _listed("whose split is not that of the file", ids,
                       [a != b for a, b in zip(columns["split"], splits)])  # fmt: skip
    seen: set[str] = set()
    yield from _listed("with an id that occurs before", ids, [i in seen or bool(seen.add(i)) for i in ids])
    home: dict[int | None, str] = {}
    yield from _listed("whose cluster is also in another split", ids,
                       [home.setdefault(c, s) != s for c, s in zip(columns["cluster"], splits)])  # fmt: skip


def _listed(what: str, ids: list[str], wrong: list[bool]) -> Iterator[str]:
    bad = [name for name, is_wrong in zip(ids, wrong) if is_wrong]
    if bad:
        more = ", ..." if len(bad) > _SHOWN else ""
        yield f"{len(bad)} rows {what}: {', '.join(bad[:_SHOWN])}{more}"
