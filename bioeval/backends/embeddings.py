"""Embeddings that were computed before: a file of `seqloom embed`, or of somebody else, as a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint, sha256_file
from biodata.schema import checksum
from bioeval.backends.settings import EmbedSettings
from bioeval.protocols import Embedder
from bioeval.records.embedding_files import Embeddings, read_embeddings


def open_embeddings(model: str, settings: EmbedSettings) -> Embedder:
    """The embeddings of a file.

    Raises:
        ConfigError: no such file, or a layer or pooling that it does not hold.
        DataError: a damaged file, or one that holds something else.
    """
    path, usual = Path(model).expanduser(), EmbedSettings()
    held = read_embeddings(path)
    pooling = held.about.get("pooling", usual.pooling)
    if settings.pooling not in (usual.pooling, pooling):
        raise ConfigError(f"pooling = {settings.pooling!r}, {model} holds {pooling}")
    return FileEmbedder(path, held, _layer(model, held, settings.layer))


def _layer(model: str, held: Embeddings, wanted: str) -> str:
    """The layer that is taken: the only one by its name, `all`, or a number from 0."""
    count, stated = len(held.layers), str(held.about.get("layer", "last"))
    if count == 1 and wanted in ("last", stated):
        return stated
    if count == 1:
        raise ConfigError(f"layer = {wanted}, {model} holds layer {stated}")
    if wanted == "all":
        return "all"
    number = count - 1 if wanted == "last" else int(wanted)
    if not -count <= number < count:
        raise ConfigError(f"layer = {wanted}, {model} has 0 (embeddings) to {count - 1}")
    return str(number % count)


class FileEmbedder:
    """Looks sequences up, letter by letter as they were embedded.

    Args:
        path: of the file.
        held: what is in it.
        layer: which of its layers: a number, `all` for one behind the other, or the name of the only one.

    Raises:
        DataError: a sequence that is there twice with different rows.
    """

    def __init__(self, path: Path, held: Embeddings, layer: str) -> None:
        self.path, self.name = path, path.name
        self.settings = {**held.about, "file": path.name, "layer": layer}
        self.key = fingerprint(["embeddings", 2, sha256_file(path), layer])
        if layer == "all":
            self._values = np.concatenate(held.layers, axis=1)
        else:
            self._values = held.layers[int(layer) if len(held.layers) > 1 else 0]
        self._offsets = held.offsets
        self._width = int(held.about.get("unit", 0))
        self._row: dict[str, int] = {}
        for row, c in enumerate(held.checksums):
            first = self._row.setdefault(c, row)
            if first != row and not np.array_equal(self._of(first), self._of(row)):
                hint = "of each sequence one is wanted"
                what = f"rows {first + 1} and {row + 1} are of one sequence and differ"
                raise DataError(what, where=path, hint=hint)

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`.

        Raises:
            DataError: a sequence that is not in the file.
            ConfigError: the file has one row a token.
        """
        if self._offsets is not None:
            raise ConfigError(f"{self.path} holds a row for each token, and one for each sequence is needed")
        return self._values[self._rows(sequences)]

    def embed_tokens(self, sequences: Sequence[str], *, width: int = 0) -> list[np.ndarray]:
        """float32 `[t, d]` of each sequence.

        Args:
            sequences: that are in the file.
            width: letters of a unit; must be that of the file.

        Raises:
            DataError: a sequence that is not in the file.
            ConfigError: the file has one row a sequence, or rows of other units.
        """
        if self._offsets is None:
            raise ConfigError(
                f"{self.path} holds one row for each sequence, and one for each token is needed"
            )
        if width != self._width:
            has, wanted = (f"{w} letters" if w else "a token" for w in (self._width, width))
            raise ConfigError(f"{self.path} has a row for {has}, and one for {wanted} is needed")
        return [self._of(row) for row in self._rows(sequences)]

    def _of(self, row: int) -> np.ndarray:
        ends = self._offsets
        return self._values[row] if ends is None else self._values[ends[row] : ends[row + 1]]

    def _rows(self, sequences: Sequence[str]) -> list[int]:
        sums = [checksum(sequence) for sequence in sequences]
        missing = [s for s, c in zip(sequences, sums) if c not in self._row]
        if missing:
            first = f"{missing[0][:20]!r} ({len(missing[0])} letters)"
            hint = "seqloom embed makes such a file of the very same sequences"
            what = f"{len(missing)} of {len(sequences)} sequences are not in it, the first is {first}"
            raise DataError(what, where=self.path, hint=hint)
        return [self._row[c] for c in sums]
