"""UniRef: protein clusters of UniProt at 100, 90 and 50 % identity, as FASTA or XML.

Layout: https://ftp.uniprot.org/pub/databases/uniprot/current_release/uniref/uniref50/ has
`uniref50.fasta.gz`, `uniref50.xml.gz` and `RELEASE.metalink` with sizes, MD5 and the release.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from biodata.errors import DataError
from biodata.fetch.listing import read_metalink
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

BASE = "https://ftp.uniprot.org/pub/databases/uniprot/current_release/uniref/"


class UniRef:
    """The current UniRef release."""

    name = "uniref"
    title = "UniProt Reference Clusters"
    home = "https://www.uniprot.org/help/uniref"
    licence = "CC BY 4.0 (https://www.uniprot.org/help/license)"
    citation = "doi:10.1093/bioinformatics/btu739"
    size = "UniRef50: 60 million sequences (2026), about 12 GB as FASTA; UniRef100 several times that"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType(
        {"50": "clusters of 50 % identity", "90": "of 90 %", "100": "identical sequences and fragments"}
    )
    kinds: Mapping[str, str] = MappingProxyType(
        {
            "fasta": "one representative a cluster, FASTA",
            "xml": "the same with update dates and seeds, XML",
        }
    )

    def listing(self, request: Request, web: Web) -> Listing:
        """The one file of a level and kind, with size and MD5 from the metalink."""
        folder = f"{BASE}uniref{request.part}/"
        metalink = read_metalink(web, folder + "RELEASE.metalink")
        name = f"uniref{request.part}.{request.what}.gz"
        if name not in metalink.files:
            raise DataError(f"{name} is not listed", where=folder + "RELEASE.metalink",
                            hint=f"listed: {', '.join(sorted(metalink.files)[:5])}")  # fmt: skip
        size, md5 = metalink.files[name]
        file = RemoteFile(url=folder + name, name=name, size=size, md5=md5)
        return Listing(files=(file,), release=metalink.version or None)

    def kind_for(self, alphabet: str, take: str) -> str:
        """FASTA."""
        del alphabet, take
        return "fasta"


SOURCE = UniRef()
