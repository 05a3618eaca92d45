"""ZINC20: purchasable molecules as SMILES, by tranche.

Layout: https://files.docking.org/2D/<AB>/<ABCD>.smi with a header `smiles zinc_id`. The letters are bins of
size (A to K), logP (A to K), reactivity (A B C E G I) and availability (A to E). There are no checksums, and
a wrong address may answer with a web page, which is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from biodata.errors import ConfigError
from biodata.fetch.listing import folder_sizes
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

BASE = "https://files.docking.org/2D/"
_TRANCHE = re.compile(r"[A-K]{2}(?:[ABCEGI](?:[A-E])?)?")
_FOLDER = re.compile(r'href="([A-K]{2})/"')


class Zinc:
    """The tranches that are asked for."""

    name = "zinc"
    title = "ZINC20, purchasable molecules"
    home = "https://zinc20.docking.org"
    licence = "free to use; passing on large parts is forbidden (https://wiki.docking.org/index.php/License)"
    citation = "doi:10.1021/acs.jcim.0c00675"
    size = "up to 3,630 files, kilobytes to gigabytes each"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({"2d": "SMILES and ZINC id"})

    def listing(self, request: Request, web: Web) -> Listing:
        """Tranches of `--select tranche=AAAB`, `AA` for all of a folder; every tranche if none is named."""
        if other := [name for name, _ in request.select if name.lower() != "tranche"]:
            raise ConfigError(f"select {other[0]!r}, allowed: tranche")
        asked = [value.upper() for _, text in request.select for value in text.split(",")]
        if bad := [tranche for tranche in asked if not _TRANCHE.fullmatch(tranche)]:
            raise ConfigError(f"tranche is {bad[0]!r}, allowed: two to four letters such as AA or AAAB")
        folders = sorted({tranche[:2] for tranche in asked} or set(_FOLDER.findall(web.text(BASE))))
        files = []
        for folder in folders:
            sizes = folder_sizes(web, f"{BASE}{folder}/")
            names = sorted(name for name in sizes if re.fullmatch(rf"{folder}[ABCEGI][A-E]\.smi", name))
            files += [
                RemoteFile(url=f"{BASE}{folder}/{name}", name=f"{folder}/{name}", about=sizes[name])
                for name in names
                if not asked or any(name.startswith(tranche) for tranche in asked)
            ]
        return Listing(files=tuple(files))

    def kind_for(self, alphabet: str, take: str) -> str:
        """SMILES."""
        del alphabet, take
        return "2d"


SOURCE = Zinc()
