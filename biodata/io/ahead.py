"""A stream that is read in a thread, a little ahead of who reads it."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

DIRECT = 4 << 20
"""Bytes at the beginning that are read without a thread: most files are only looked at, or short."""

_PIECE = 2 << 20
_PIECES = 3


class ReadAhead(io.RawIOBase):
    """The bytes of a stream; beyond the first `DIRECT` ones up to 6 MB are read ahead in a thread.

    For streams that are slow to read and leave other threads running meanwhile, such as decompression. What
    reading raises is raised here, when its place is reached. Closing it closes the stream.

    Args:
        stream: read from here only, from now on.

    >>> reader = ReadAhead(io.FileIO(__file__))
    >>> with reader, open(__file__, "rb") as file:
    ...     reader.read() == file.read()
    True
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream
        self._direct = DIRECT
        self._thread = ThreadPoolExecutor(1, "read-ahead")  # begins with the first piece
        self._coming: deque[Future[int]] = deque()  # bytes in each piece
        self._pieces: deque[bytearray] = deque()
        self._size = self._taken = 0  # of the first piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # pyright: ignore[reportMissingParameterType]
        if self._direct > 0:
            n = self._stream.readinto(buffer) or 0
            self._direct -= n
            return n
        if self._taken == self._size:
            self._next_piece()
        n = min(len(buffer), self._size - self._taken)
        with memoryview(self._pieces[0]) as piece:
            buffer[:n] = piece[self._taken : self._taken + n]
        self._taken += n
        return n

    def _next_piece(self) -> None:
        """The next piece, empty at the end; the memory of the last one is read into again."""
        free = [self._pieces.popleft()] if self._pieces else [bytearray(_PIECE) for _ in range(_PIECES)]
        for piece in free:
            self._pieces.append(piece)
            self._coming.append(self._thread.submit(self._fill, piece))
        self._size, self._taken = self._coming.popleft().result(), 0

    def _fill(self, piece: bytearray) -> int:
        return self._stream.readinto(piece) or 0

    def close(self) -> None:
        if not self.closed:
            self._thread.shutdown(cancel_futures=True)
            self._stream.close()
        super().close()
