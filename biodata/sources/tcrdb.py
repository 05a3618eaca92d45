"""TCRdb: CDR3s of T-cell receptors by project, one TSV each.

Layout: http://bioinfo.life.hust.edu.cn/TCRdb/Download/<project>.tsv, projects by their BioProject accession.
There is no published list that programs can read: projects are named, or stand in a list of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from biodata.errors import ConfigError, FetchError
from biodata.fetch.listing import folder_sizes
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

BASE = "http://bioinfo.life.hust.edu.cn/TCRdb/Download/"
_PROJECT = re.compile(r"\bPRJ[A-Z]{2}\d+\b|\bERP\d+\b|\bSRP\d+\b|\bimmunoSEQ\d+\b")


class TcrDb:
    """The projects that are asked for."""

    name = "tcrdb"
    title = "TCRdb, T-cell receptor repertoires"
    home = "https://doi.org/10.1093/nar/gkaa796"
    licence = "no licence is stated: for your own use, ask before passing it on"
    citation = "doi:10.1093/nar/gkaa796"
    size = "277 million sequences of 8,265 samples"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({"tsv": "CDR3 amino acids, genes, clone fractions"})

    def listing(self, request: Request, web: Web) -> Listing:
        """Projects of `--select project=PRJNA330606`, of a list given by `--addresses`, or of the folder."""
        if other := [name for name, _ in request.select if name.lower() != "project"]:
            raise ConfigError(f"select {other[0]!r}, allowed: project")
        asked = [value for _, value in request.select]
        if bad := [project for project in asked if not _PROJECT.fullmatch(project)]:
            raise ConfigError(f"project is {bad[0]!r}, allowed: an accession such as PRJNA330606")
        names = asked or _PROJECT.findall(request.addresses)
        if not names:
            names = [name.removesuffix(".tsv") for name in folder_sizes(web, BASE) if name.endswith(".tsv")]
        if not names:
            raise FetchError(f"{BASE} lists nothing: name projects with --select project=PRJNA330606")
        files = (RemoteFile(url=f"{BASE}{name}.tsv", name=f"{name}.tsv") for name in sorted(set(names)))
        return Listing(files=tuple(files))

    def kind_for(self, alphabet: str, take: str) -> str:
        """Tables."""
        del alphabet, take
        return "tsv"


SOURCE = TcrDb()
