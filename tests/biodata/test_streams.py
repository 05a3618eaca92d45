"""Compressed files, whole and broken."""

from __future__ import annotations

import bz2
import gzip
import random
from collections.abc import Callable

import pytest
import zstandard

from biodata.errors import ConfigError, DataError
from biodata.io.streams import open_binary

DATA = b">a\n" + bytes(random.Random(0).choices(b"ACGT", k=300_000)) + b"\n"
CUT = 100_000


def _bgzip(data: bytes) -> bytes:
    import io

    from Bio import bgzf

    raw = io.BytesIO()
    with bgzf.BgzfWriter(fileobj=raw, mode="wb") as writer:  # closing writes the end block
        writer.write(data)
        writer.flush()
        raw.write(bgzf._bgzf_eof)
        return raw.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def test_plain(tmp_path) -> None:
    path = tmp_path / "x.gz"  # the name does not matter
    path.write_bytes(DATA)
    with open_binary(path) as stream:
        assert stream.read() == DATA


@pytest.mark.parametrize("kind", COMPRESS)
def test_members_are_joined(kind, tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(COMPRESS[kind](DATA[:CUT]) + COMPRESS[kind](b"") + COMPRESS[kind](DATA[CUT:]))
    with open_binary(path) as stream:
        assert stream.read() == DATA


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("keep", [0.5, 0.99, "all but 1"])
def test_truncated_names_the_file(kind, keep, tmp_path) -> None:
    path = tmp_path / "broken.fa"
    packed = COMPRESS[kind](DATA[:CUT]) + COMPRESS[kind](DATA[CUT:])
    path.write_bytes(packed[:-1] if keep == "all but 1" else packed[: int(len(packed) * keep)])
    with pytest.raises(DataError, match=r"broken\.fa.*get it again"), open_binary(path) as stream:
        stream.read()


@pytest.mark.parametrize("kind", COMPRESS)
def test_flipped_bit_names_the_file(kind, tmp_path) -> None:
    path = tmp_path / "broken.fa"
    packed = bytearray(COMPRESS[kind](DATA))
    packed[len(packed) // 2] ^= 16
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"broken\.fa"), open_binary(path) as stream:
        stream.read()


def test_bgzip(tmp_path) -> None:
    path = tmp_path / "x.bgz"
    whole = _bgzip(DATA)
    path.write_bytes(whole)
    with open_binary(path) as stream:
        assert stream.read() == DATA
    path.write_bytes(whole[:-28])  # cut at the end of a block: gzip alone sees nothing wrong
    with pytest.raises(DataError, match="last"):
        open_binary(path)


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html>", b"\n <HTML lang=en>", gzip.compress(b"<html>", mtime=0)]
)
def test_web_page_is_refused(page, tmp_path) -> None:
    path = tmp_path / "x.fa.gz"
    path.write_bytes(page)
    with pytest.raises(DataError, match="web page"):
        open_binary(path)


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\xfd7zXZ\x00", b"PAR1"])
def test_archives_are_refused(magic, tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(magic + b"0" * 100)
    with pytest.raises(DataError, match="unpack"):
        open_binary(path)


def test_missing_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"none\.fa"):
        open_binary(tmp_path / "none.fa")


def test_real_compressions_agree(real_data) -> None:
    folder = real_data / "genbank"
    with open_binary(folder / "NC_000932.gb.gz") as a, open_binary(folder / "NC_000932.gb.bgz") as b:
        assert a.read() == b.read()
