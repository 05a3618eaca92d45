"""RefSeq releases of the NCBI: genomes, records with features, proteins and transcripts, by group.

Layout: https://ftp.ncbi.nlm.nih.gov/refseq/release/ has `RELEASE_NUMBER`, a folder for each group and
`release-catalog/release<N>.files.installed`, which lists every file with its MD5 (CRC before December 2022;
README of release-catalog). How many files a group has changes with every release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from biodata.errors import DataError, FetchError
from biodata.fetch.listing import folder_sizes
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web
from biodata.progress import say

BASE = "https://ftp.ncbi.nlm.nih.gov/refseq/release/"

_SUFFIX = {
    "genomic.fna": "genomic.fna.gz",
    "genomic.gbff": "genomic.gbff.gz",
    "protein": "protein.faa.gz",
    "protein.gpff": "protein.gpff.gz",
    "rna": "rna.fna.gz",
    "rna.gbff": "rna.gbff.gz",
}
_LINE = re.compile(r"^([0-9a-f]{32}|\d+)\s+(\S+)$", re.MULTILINE)
_MD5 = re.compile(r"[0-9a-f]{32}")


class RefSeq:
    """The current RefSeq release."""

    name = "refseq"
    title = "NCBI Reference Sequences, bimonthly release"
    home = "https://www.ncbi.nlm.nih.gov/refseq/"
    licence = (
        "no restriction by NCBI on use or distribution; submitters may claim rights in parts "
        "(https://www.ncbi.nlm.nih.gov/home/about/policies/)"
    )
    citation = "doi:10.1093/nar/gkv1189"
    size = "from 0.2 GB (viral) to terabytes (bacteria, vertebrates)"
    accessions = True
    parts: Mapping[str, str] = MappingProxyType(
        {
            "archaea": "archaea",
            "bacteria": "bacteria",
            "fungi": "fungi",
            "invertebrate": "invertebrates",
            "mitochondrion": "mitochondria",
            "plant": "plants",
            "plasmid": "plasmids",
            "plastid": "plastids",
            "protozoa": "protozoa",
            "vertebrate_mammalian": "mammals",
            "vertebrate_other": "other vertebrates",
            "viral": "viruses",
            "other": "synthetic and other sequences",
            "complete": "everything",
        }
    )
    kinds: Mapping[str, str] = MappingProxyType(
        {
            "genomic.fna": "genomes, FASTA",
            "genomic.gbff": "genomes with features, GenBank (for coding sequences)",
            "protein": "proteins, FASTA",
            "protein.gpff": "proteins with features, GenPept",
            "rna": "transcripts, FASTA",
            "rna.gbff": "transcripts with features, GenBank",
        }
    )

    def listing(self, request: Request, web: Web) -> Listing:
        """Files of a group with their MD5, in the order of their numbers; sizes are those of the web page."""
        release = web.text(BASE + "RELEASE_NUMBER").strip()
        if not re.fullmatch(r"\d+", release):
            raise DataError(
                f"a release number expected, found {release[:40]!r}", where=BASE + "RELEASE_NUMBER"
            )
        catalogue = f"{BASE}release-catalog/release{release}.files.installed"
        lines = _LINE.findall(web.text(catalogue))
        # viral.1.1.genomic.fna.gz, viral.1.genomic.gbff.gz, bacteria.nonredundant_protein.1.protein.faa.gz
        group, suffix = re.escape(request.part), re.escape(_SUFFIX[request.what])
        wanted = re.compile(rf"{group}(\.[a-zA-Z_]+)?(\.\d+)+\.{suffix}")
        sums = {name.rsplit("/", 1)[-1]: value for value, name in lines}
        names = sorted((name for name in sums if wanted.fullmatch(name)), key=_by_number)
        if not names:
            raise FetchError(
                f"{catalogue}: no file {request.part}.*.{_SUFFIX[request.what]} in release {release}"
            )
        folder = f"{BASE}{request.part}/"
        sizes = _sizes(web, folder)
        files = tuple(
            RemoteFile(url=folder + name, name=name, about=sizes.get(name),
                       md5=sums[name] if _MD5.fullmatch(sums[name]) else None)
            for name in names
        )  # fmt: skip
        return Listing(files=files, release=release)

    def kind_for(self, alphabet: str, take: str) -> str:
        """Records with features where they are needed, else FASTA."""
        if alphabet == "protein":
            return "protein"
        if take == "records":
            return "rna" if alphabet == "rna" else "genomic.fna"
        return "genomic.gbff"


def _sizes(web: Web, folder: str) -> dict[str, int | None]:
    """Rounded sizes of the folder's page; mirrors may have none, and then nobody knows them beforehand."""
    try:
        return folder_sizes(web, folder)
    except FetchError as error:
        say(f"no sizes beforehand: {error}")
        return {}


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts `viral.10.1` behind `viral.2.1`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


SOURCE = RefSeq()
