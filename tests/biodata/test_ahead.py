"""Reading ahead in a thread gives the bytes and the errors of reading, and leaves no thread."""

from __future__ import annotations

import gzip
import io
import random
import threading
from pathlib import Path

import pytest

from biodata.errors import DataError
from biodata.io.ahead import DIRECT, ReadAhead
from biodata.io.streams import open_binary

DATA = b"".join(b">%d\n%s\n" % (i, random.Random(i % 7).randbytes(600).hex().encode()) for i in range(15_000))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


class Halting(io.RawIOBase):
    """Gives pieces of odd sizes, then fails."""

    def __init__(self, stop: int) -> None:
        self.at, self.stop = 0, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if self.at >= self.stop:
            raise DataError("it breaks off here")
        piece = DATA[self.at : min(self.at + 77_777, self.at + len(buffer), self.stop)]
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


@pytest.mark.parametrize("sizes", [(1 << 20,), (3, 100_000, 5 << 20)])
def test_all_bytes_in_order_with_reads_of_any_size(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    assert len(DATA) > 3 * DIRECT
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(DATA[: len(DATA) // 2], 1) + gzip.compress(DATA[len(DATA) // 2 :], 1))
    found, turn = [], 0
    with open_binary(path) as stream:
        while piece := stream.read(sizes[turn % len(sizes)]):
            found.append(piece)
            turn += 1
        assert stream.read(1) == b""
    assert b"".join(found) == DATA
    assert not threads()


@pytest.mark.parametrize("stop", [100, DIRECT, DIRECT + 5_000_001])
def test_an_error_comes_after_all_that_is_before_it(stop: int) -> None:
    found = io.BytesIO()
    with pytest.raises(DataError, match="breaks off"), ReadAhead(Halting(stop)) as stream:
        while True:
            found.write(stream.read(1 << 20) or b"")
    assert found.getvalue() == DATA[:stop]
    assert not threads()


def test_a_stream_that_is_left_early_ends_its_thread() -> None:
    source = Halting(len(DATA))
    stream = ReadAhead(source)
    for _ in range(100):
        stream.read(77_777)
    assert threads()
    stream.close()
    assert source.closed and not threads()


def test_a_long_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(DATA, 1)[:-100_000])
    with pytest.raises(DataError, match=r"x\.fa\.gz"), open_binary(path) as stream:
        while stream.read(1 << 20):
            pass
    assert not threads()
