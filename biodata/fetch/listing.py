"""Lists that several archives share: folder pages of web servers, metalinks."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from biodata.errors import DataError
from biodata.fetch.web import Web

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# <a href="viral.1.1.genomic.fna.gz">viral...</a>  2026-11-02 10:11  158M   (Apache; nginx prints plain bytes)
_ROW = re.compile(
    r'<a href="(?P<name>[^"/?]+)"[^>]*>.*?</a>(?:\s|</?t[dr][^>]*>|&nbsp;)*'
    r"(?:[\w-]+ \d\d:\d\d(?::\d\d)?)?(?:\s|</?t[dr][^>]*>|&nbsp;)*"
    r"(?P<size>\d+(?:\.\d+)?)?(?P<unit>[KMGT])?",
    re.IGNORECASE,
)


def folder_sizes(web: Web, url: str) -> dict[str, int | None]:
    """File names of a folder page with their rounded sizes in bytes, `None` where the page has none.

    Args:
        url: of the folder, with a slash at the end.

    Raises:
        FetchError: the page cannot be had.
    """
    return parse_folder(web.text(url))


def parse_folder(page: str) -> dict[str, int | None]:
    """Files of an index page as Apache and nginx write them.

    >>> parse_folder('<a href="a.gz">a.gz</a>  2026-11-02 10:11  1.5K\\n<a href="b.gz">b.gz</a>')
    {'a.gz': 1536, 'b.gz': None}
    """
    found: dict[str, int | None] = {}
    for row in _ROW.finditer(page):
        size = row["size"]
        unit = _UNITS[(row["unit"] or "").upper()]
        found[unquote(unescape(row["name"]))] = int(float(size) * unit) if size else None
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Metalink:
    """A metalink 3 file: names with exact sizes and checksums.

    Attributes:
        version: of the release, empty if it has none.
        files: name to (bytes, MD5), each `None` where it is not given.
    """

    version: str
    files: dict[str, tuple[int | None, str | None]]


def read_metalink(web: Web, url: str) -> Metalink:
    """Reads a metalink (http://www.metalinker.org, version 3, as UniProt writes it).

    Raises:
        FetchError: it cannot be had.
        DataError: it is no metalink.
    """
    try:
        root = ElementTree.fromstring(web.text(url))
    except ElementTree.ParseError as error:
        raise DataError(f"no metalink: {error}", where=url) from error
    files, version = {}, ""
    for node in root.iter():
        tag = node.tag.rpartition("}")[2]
        if tag == "version" and not version:
            version = (node.text or "").strip()
        if tag == "file":
            parts = {n.tag.rpartition("}")[2]: n for n in node.iter() if n.tag.rpartition("}")[2] != "hash"}
            sums = [n for n in node.iter() if n.tag.endswith("hash") and n.get("type") == "md5"]
            size = (parts["size"].text or "").strip() if "size" in parts else ""
            md5 = (sums[0].text or "").strip().lower() if sums else None
            files[node.get("name", "")] = (int(size) if size.isdigit() else None, md5)
    if not files:
        raise DataError("a metalink without files", where=url)
    return Metalink(version=version, files=files)
