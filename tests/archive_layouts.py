"""What archives look like on their servers: `host/path` to bytes, for `ArchiveServer`."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping

REFSEQ_FILES = ("1.genomic.fna", "genomic.gbff", "protein.faa", "protein.gpff", "rna.fna", "rna.gbff")
"""Ends of the names of a group's files, as in `viral.1.1.genomic.fna.gz` and `viral.1.genomic.gbff.gz`."""


def refseq_release(groups: Mapping[str, Mapping[str, bytes]], *, release: int = 231) -> dict[str, bytes]:
    """A RefSeq release.

    Args:
        groups: group to file name (without `.gz`, for example `viral.1.1.genomic.fna`) to text.
    """
    base = "ftp.ncbi.nlm.nih.gov/refseq/release/"
    files = {
        f"{base}{group}/{name}.gz": gzip.compress(text, mtime=0)
        for group, named in groups.items()
        for name, text in named.items()
    }
    lines = [f"{hashlib.md5(data).hexdigest()}\t{path.split('/')[-1]}\n" for path, data in files.items()]
    files[f"{base}RELEASE_NUMBER"] = f"{release}\n".encode()
    files[f"{base}release-catalog/release{release}.files.installed"] = "".join(lines).encode()
    return files


def uniref_release(
    level: int, files: Mapping[str, bytes], *, release: str = "2026_04", md5: str = ""
) -> dict[str, bytes]:
    """A folder of UniRef.

    Args:
        files: name (without `.gz`, for example `uniref50.fasta`) to text.
        md5: printed instead of the right ones if given.
    """
    base = f"ftp.uniprot.org/pub/databases/uniprot/current_release/uniref/uniref{level}/"
    packed = {f"{name}.gz": gzip.compress(text, mtime=0) for name, text in files.items()}
    entries = "".join(
        f'<file name="{name}"><size>{len(data)}</size><verification>'
        f'<hash type="md5">{md5 or hashlib.md5(data).hexdigest()}</hash></verification><resources>'
        f'<url location="us" type="ftp" preference="100">ftp://{base}{name}</url></resources></file>'
        for name, data in packed.items()
    )
    link = (
        '<?xml version="1.0" encoding="utf-8"?>\n<metalink version="3.0" xmlns="http://www.metalinker.org/" '
        f'type="static"><publisher><name>UniProt</name></publisher><version>{release}</version>'
        f"<files>{entries}</files></metalink>\n"
    )
    return {base + name: data for name, data in packed.items()} | {base + "RELEASE.metalink": link.encode()}


OAS = "opig.stats.ox.ac.uk/webapps/"
OAS_PAIRED = "Jaffe_2022/csv/1279067_1_Paired_All.csv.gz"


def oas_units(units: Mapping[str, Mapping[str, object]], files: Mapping[str, bytes] = {}) -> dict[str, bytes]:
    """Unpaired units of OAS with their catalogue, and one paired unit.

    Args:
        units: `study/csv/unit.csv.gz` to what the catalogue says of it.
        files: contents of units; a packed line of text for the others.
    """
    base, unit = f"{OAS}ngsdb/", gzip.compress(b"unit", mtime=0)
    catalogue = {f"/vols/naga-datasets/oas/unpaired/{name}": about for name, about in units.items()}
    found = {f"{base}unpaired/{name}": files.get(name, unit) for name in units}
    found[f"{base}paired/{OAS_PAIRED}"] = files.get(OAS_PAIRED, unit)
    form = (
        '<form method="post"><input type="hidden" name="token" value="a&amp;b">'
        '<select name="Species"><option>*</option><option>human</option></select>'
        "<select class='x' name='BType'><option>*</option></select></form>"
    )
    return found | {
        f"{base}oas_metadata_map.json": json.dumps(catalogue).encode(),
        f"{OAS}oas/oas_paired/": form.encode(),
    }


def oas_reply(body: bytes) -> bytes:
    """The answer of the form for paired units, its fields in a comment."""
    address = f"https://{OAS}ngsdb/paired/{OAS_PAIRED}"
    return (
        b"<html><!--" + body + b"--><script>var CSV = [\n\"#!/bin/bash\", \"wget " + address.encode()
        + b"\"].join('\\n')</script></html>"
    )  # fmt: skip


def tcrdb_folder(projects: Mapping[str, bytes]) -> dict[str, bytes]:
    """The download folder of TCRdb."""
    base = "bioinfo.life.hust.edu.cn/TCRdb/Download/"
    page = "".join(f'<a href="{name}.tsv">{name}.tsv</a>  2020-09-11 10:11  1.5K\n' for name in projects)
    return {f"{base}{name}.tsv": data for name, data in projects.items()} | {base: page.encode()}


def vdjdb_commit(chunks: Mapping[str, bytes], *, commit: str = "ab" * 20) -> dict[str, bytes]:
    """The repository of VDJdb at one commit."""
    api, raw = (
        "api.github.com/repos/antigenomics/vdjdb-db/",
        "raw.githubusercontent.com/antigenomics/vdjdb-db/",
    )
    tree = [{"path": f"chunks/{name}", "type": "blob", "size": len(data)} for name, data in chunks.items()]
    tree += [{"path": "README.md", "type": "blob", "size": 9}, {"path": "chunks", "type": "tree"}]
    return {f"{raw}{commit}/chunks/{name}": data for name, data in chunks.items()} | {
        f"{api}commits/master": json.dumps({"sha": commit}).encode(),
        f"{api}git/trees/{commit}?recursive=1": json.dumps({"tree": tree, "truncated": False}).encode(),
    }


def pubchem_extras(text: bytes) -> dict[str, bytes]:
    """The list of compounds of PubChem."""
    base, packed = "ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/", gzip.compress(text, mtime=0)
    md5 = hashlib.md5(packed).hexdigest()
    return {f"{base}CID-SMILES.gz": packed, f"{base}CID-SMILES.gz.md5": f"{md5}  CID-SMILES.gz\n".encode()}


def zinc_tranches(tranches: Mapping[str, bytes]) -> dict[str, bytes]:
    """Tranches of ZINC20 with the pages of their folders."""
    base = "files.docking.org/2D/"
    files = {f"{base}{name[:2]}/{name}.smi": data for name, data in tranches.items()}
    folders = sorted({name[:2] for name in tranches})
    pages = {
        f"{base}{folder}/": "".join(
            f'<a href="{name}.smi">{name}.smi</a>  2020-09-11 10:11  2K\n'
            for name in tranches if name.startswith(folder)
        ).encode()
        for folder in folders
    }  # fmt: skip
    pages[base] = "".join(f'<a href="{folder}/">{folder}/</a>  -\n' for folder in folders).encode()
    return files | pages
