"""What a file, a folder of files or a dataset holds, in a few figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from biodata.files import read_json
from biodata.io import READERS
from biodata.io.detect import detect_format, expand_inputs
from biodata.progress import progress
from biodata.tokenizers.columns import byte_lengths, chunks_of, letters_of


def inspect_path(path: Path) -> dict[str, Any]:
    """Figures of a dataset folder, or of every file that the path names.

    Returns:
        For a dataset: `rows`, `splits`, `dropped`, `audit`, `fingerprint` of its manifest. For files, each:
        `format`, `records`, `letters`, `length` (min, median, max), `symbols` (count of each letter as it
        stands, most frequent first), `features` (count of each key), or `problem` if it cannot be read.

    Raises:
        ConfigError: nothing of this name.
    """
    manifest = Path(path) / "manifest.json"
    if manifest.is_file():
        return {"path": str(path), "kind": "dataset"} | _manifest_figures(read_json(manifest))
    files = expand_inputs([path])
    with progress("inspecting", len(files)) as advance:
        found = []
        for file in files:
            found.append(_inspect_file(file))
            advance(1)
    return {"path": str(path), "kind": "files", "files": found}


def _manifest_figures(manifest: dict[str, Any]) -> dict[str, Any]:
    names = ("rows", "splits", "dropped", "audit", "fingerprint", "schema_version")
    return {name: manifest[name] for name in names if name in manifest}


def _inspect_file(file: Path) -> dict[str, Any]:
    try:
        kind = detect_format(file)
        return {"file": str(file), "format": kind} | _figures(READERS.load(kind)(file))
    except DataError as error:
        return {"file": str(file), "problem": str(error)}


def _figures(batches: Iterator[pa.RecordBatch]) -> dict[str, Any]:
    symbols = np.zeros(256, dtype=np.int64)
    lengths: list[np.ndarray] = []
    features: dict[str, int] = {}
    for batch in batches:
        for rows in chunks_of(batch.column("sequence")):
            lengths.append(byte_lengths(rows))
            symbols += np.bincount(np.frombuffer(letters_of(rows), dtype=np.uint8), minlength=256)
        for entry in batch.column("features").flatten().field("type").value_counts().to_pylist():
            features[entry["values"]] = features.get(entry["values"], 0) + entry["counts"]
    every = np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64)
    order = np.argsort(-symbols, kind="stable")
    figures: dict[str, Any] = {
        "records": len(every),
        "letters": int(every.sum()),
        "symbols": {chr(i): int(symbols[i]) for i in order if symbols[i]},
    }
    if len(every):
        figures["length"] = {
            "min": int(every.min()),
            "median": float(np.median(every)),
            "max": int(every.max()),
        }
    if features:
        figures["features"] = dict(sorted(features.items(), key=lambda item: (-item[1], item[0])))
    return figures
