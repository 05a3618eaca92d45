"""Checksums of a file while it arrives."""

from __future__ import annotations

import hashlib
from pathlib import Path


class Digests:
    """SHA-256 and MD5 of the bytes given so far, in order.

    >>> seen = Digests()
    >>> seen.update(b"abc")
    >>> seen.size, seen.md5
    (3, '900150983cd24fb0d6963f7d28e17f72')
    """

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @classmethod
    def of_file(cls, path: Path) -> Digests:
        """Those of a file as it is now."""
        found = cls()
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                found.update(block)
        return found

    def update(self, block: bytes) -> None:
        """Takes the next bytes."""
        self.size += len(block)
        self._sha256.update(block)
        self._md5.update(block)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()
