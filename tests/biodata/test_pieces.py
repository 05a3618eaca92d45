"""Files in pieces hold what was written, whatever was written."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np

from biodata.io.pieces import PIECE, PieceFile


def test_all_bytes_arrive_in_order(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [rng.randbytes(size) for size in (0, 1, PIECE, PIECE + 1, 5 * PIECE - 1, 7)]
    with PieceFile(tmp_path / "x", "wb") as file:
        assert [file.write(text) for text in texts] == [len(text) for text in texts]
        assert file.write(np.arange(20_000)) == 160_000
    assert (tmp_path / "x").read_bytes() == b"".join(texts) + np.arange(20_000).tobytes()


def test_writes_of_the_system_are_short(tmp_path: Path) -> None:
    class Slow(io.FileIO):  # takes less than it is given
        def write(self, data, /) -> int:
            sizes.append(len(data))
            return super().write(data[:50_000])

    sizes: list[int] = []

    class SlowPieces(PieceFile, Slow):
        pass

    with SlowPieces(tmp_path / "x", "wb") as file:
        assert file.write(bytes(200_000)) == 200_000
    assert max(sizes) == PIECE and (tmp_path / "x").read_bytes() == bytes(200_000)
