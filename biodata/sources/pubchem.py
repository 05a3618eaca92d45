"""PubChem: the SMILES of every compound, one file with its MD5 beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from biodata.errors import DataError
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

BASE = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/"
FILE = "CID-SMILES.gz"


class PubChem:
    """The current list of compounds."""

    name = "pubchem"
    title = "PubChem compounds"
    home = "https://pubchem.ncbi.nlm.nih.gov"
    licence = "no restriction by NCBI; depositors may claim rights (https://www.ncbi.nlm.nih.gov/home/about/policies/)"
    citation = "doi:10.1093/nar/gkac956"
    size = "119 million compounds, 1.4 GB compressed (2026)"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({"smiles": "CID and SMILES, tab separated"})

    def listing(self, request: Request, web: Web) -> Listing:
        """The one file, with its published MD5 and the size that the server says."""
        del request
        text = web.text(f"{BASE}{FILE}.md5")
        found = re.match(r"([0-9a-f]{32})\b", text.strip())
        if found is None:
            raise DataError(f"an MD5 expected, found {text[:40]!r}", where=f"{BASE}{FILE}.md5")
        file = RemoteFile(url=BASE + FILE, name=FILE, size=web.size(BASE + FILE), md5=found[1])
        return Listing(files=(file,))

    def kind_for(self, alphabet: str, take: str) -> str:
        """SMILES."""
        del alphabet, take
        return "smiles"


SOURCE = PubChem()
