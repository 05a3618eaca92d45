"""k-mer counts of a FASTA file in one pass: memory does not grow with the file, no sequence is ever whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biodata.errors import DataError
from biodata.io.streams import open_binary
from bioeval.metrics.counting import check_k, reverse_complement_order
from bioeval.metrics.sequence_set import NUCLEOTIDES, code_table
from bioeval.metrics.word_counts import WordCounts

_BLOCK = 1 << 18  # what is made of a block stays in the cache
_BLANK = b"\n\r\t "


def count_fasta(path: Path | str, k: int, *, both_strands: bool = False) -> np.ndarray:
    """k-mer counts of all records of a FASTA of nucleotides, int64 [4^k]; the same as `kmer_counts` of them.

    Args:
        path: plain, gzip, bgzip, bzip2 or zstd.
        k: letters of a k-mer, 1 to 12.
        both_strands: adds the counts of the reverse complements.

    Raises:
        ConfigError: no such file, or k out of range.
        DataError: no FASTA, a damaged file, or a letter that is no nucleotide, with its line.
    """
    check_k(k)
    words, tail = WordCounts(k), np.zeros(0, dtype=np.uint8)
    for codes in _codes(Path(path)):
        joined = np.concatenate([tail, codes])  # windows over the border of two blocks
        words.add(joined)
        tail = joined[max(len(joined) - k + 1, 0) :]
    total = words.counts()
    return total + total[reverse_complement_order(k)] if both_strands else total


def _codes(path: Path) -> Iterator[np.ndarray]:
    """Codes of the letters block by block, a break in the place of every header."""
    table, wrong = code_table(NUCLEOTIDES)
    inside, before = False, 0
    with open_binary(path) as handle:
        block = handle.read(_BLOCK)
        if block and not block.lstrip().startswith(b">"):
            raise DataError("no '>' at its beginning", where=f"{path}:1", hint="is this a FASTA file?")
        while block:
            pieces, inside = _without_headers(block, inside)
            codes = np.frombuffer(pieces.translate(table, _BLANK), dtype=np.uint8)
            if len(codes) and codes.max() == wrong:
                raise _offence(path, before, pieces, codes_of=(table, wrong))
            yield codes
            before += len(block)
            block = handle.read(_BLOCK)


def _without_headers(block: bytes, inside: bool) -> tuple[bytes, bool]:
    """The block with a break (and the end of the line) for every header, and whether it ends within one.

    A header may go on from the block before (`inside`) and into the next.
    """
    pieces, place = [], 0
    while place < len(block):
        if inside:
            end = block.find(b"\n", place)
            if end < 0:
                return b"".join(pieces), True
            place, inside = end, False
        begin = block.find(b">", place)
        if begin < 0:
            begin = len(block)
        else:
            inside = True
        pieces.append(block[place:begin])
        if inside:
            pieces.append(b"-")
        place = begin
    return b"".join(pieces), inside


def _offence(path: Path, before: int, letters: bytes, *, codes_of: tuple[bytes, int]) -> DataError:
    """What is wrong in the letters of a block that `before` bytes lie in front of."""
    table, wrong = codes_of
    place = np.frombuffer(letters.translate(table), dtype=np.uint8)
    blank = np.isin(np.frombuffer(letters, dtype=np.uint8), list(_BLANK))
    at = int(np.flatnonzero((place == wrong) & ~blank)[0])
    line = _lines(path, before) + letters[:at].count(b"\n") + 1
    return DataError(f"{chr(letters[at])!r} is no nucleotide letter", where=f"{path}:{line}")


def _lines(path: Path, size: int) -> int:
    """Ends of lines in the first bytes of a file: read again, since only errors need them."""
    lines = 0
    with open_binary(path) as handle:
        while size > 0 and (block := handle.read(min(size, _BLOCK))):
            lines += block.count(b"\n")
            size -= len(block)
    return lines
