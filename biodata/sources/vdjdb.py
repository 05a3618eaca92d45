"""VDJdb: T-cell receptors of known specificity, the submissions in its repository at one commit.

Layout: `chunks/*.txt` of https://github.com/antigenomics/vdjdb-db; releases are zip archives of the
same records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from biodata.errors import DataError
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

API = "https://api.github.com/repos/antigenomics/vdjdb-db/"
RAW = "https://raw.githubusercontent.com/antigenomics/vdjdb-db/"


class VdjDb:
    """The repository's newest commit."""

    name = "vdjdb"
    title = "VDJdb, T-cell receptors of known antigen specificity"
    home = "https://vdjdb.cdr3.net"
    licence = "see LICENSE of https://github.com/antigenomics/vdjdb-db (CC BY-ND 4.0 when this was written)"
    citation = "doi:10.1093/nar/gkx760"
    size = "some hundred tables, about 40 MB"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({"chunks": "submissions, both chains in a row, TSV"})

    def listing(self, request: Request, web: Web) -> Listing:
        """The tables of the newest commit, with their exact sizes; the release is the commit."""
        del request
        commit = _json(web, API + "commits/master").get("sha", "")
        if not re.fullmatch(r"[0-9a-f]{40}", str(commit)):
            raise DataError(f"a commit expected, found {str(commit)[:40]!r}", where=API + "commits/master")
        tree = _json(web, f"{API}git/trees/{commit}?recursive=1")
        if tree.get("truncated"):
            raise DataError("the list of files is cut off", where=f"{API}git/trees/{commit}")
        files = tuple(
            RemoteFile(url=f"{RAW}{commit}/{entry['path']}", name=entry["path"], size=entry.get("size"))
            for entry in tree.get("tree", [])
            if re.fullmatch(r"chunks/[\w.+-]+\.(txt|tsv)", entry.get("path", ""))
        )
        return Listing(files=files, release=str(commit)[:10])

    def kind_for(self, alphabet: str, take: str) -> str:
        """Tables."""
        del alphabet, take
        return "chunks"


def _json(web: Web, url: str) -> Mapping[str, Any]:
    text = web.text(url)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=url) from error
    if not isinstance(found, dict):
        raise DataError(f"an object expected, found {text[:40]!r}", where=url)
    return found


SOURCE = VdjDb()
