"""Observed Antibody Space: data units of antibody repertoires, unpaired and paired.

Layout: https://opig.stats.ox.ac.uk/webapps/ngsdb/{paired,unpaired}/<study>/<folder>/<unit>.csv.gz. Unpaired
units are listed with their metadata in `oas_metadata_map.json`, whose keys are paths on the archive's disk;
paired ones only in the reply to the search form, which holds the commands of `bulk_download.sh`. Nothing has
checksums. Unit names say nothing reliable, so choices are made by metadata or by the folder of the study.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import unescape
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, urlencode

from biodata.errors import ConfigError, DataError
from biodata.fetch.remote import Listing, RemoteFile, Request
from biodata.fetch.web import Web

BASE = "https://opig.stats.ox.ac.uk/webapps/ngsdb/"
CATALOGUE = BASE + "oas_metadata_map.json"
PAIRED_FORM = "https://opig.stats.ox.ac.uk/webapps/oas/oas_paired/"

_DISK = "/vols/naga-datasets/oas/"
_ADDRESS = re.compile(r"https?://[^\s\"']+?\.csv\.gz")
_SCRIPT = re.compile(r"var CSV\s*=\s*\[(.*?)\]\.join", re.DOTALL)
_SELECT = re.compile(r"<select\b[^>]*\bname=[\"']([^\"']+)[\"']", re.IGNORECASE)
_HIDDEN = re.compile(r"<input\b[^>]*\btype=[\"']hidden[\"'][^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\b(name|value)=[\"']([^\"']*)[\"']", re.IGNORECASE)


class Oas:
    """The current data units."""

    name = "oas"
    title = "Observed Antibody Space"
    home = "https://opig.stats.ox.ac.uk/webapps/oas/"
    licence = "CC BY 4.0 (https://opig.stats.ox.ac.uk/webapps/oas/documentation/)"
    citation = "doi:10.1002/pro.4205"
    size = "15,631 unpaired units, some of several GB; 610 paired ones (2026)"
    accessions = False
    parts: Mapping[str, str] = MappingProxyType({
        "heavy": "unpaired heavy chains", "light": "unpaired light chains", "unpaired": "both of them",
        "paired": "heavy and light chain of one cell",
    })  # fmt: skip
    kinds: Mapping[str, str] = MappingProxyType({"csv": "data units: metadata and an AIRR table, CSV"})

    def listing(self, request: Request, web: Web) -> Listing:
        """The units of a part, chosen by `--select`: `Species=human`, `Study=Banerjee_2017`, `BType=...`.

        Names are those of the metadata (in any case), and `Study`, the folder; several are all required. Of a
        `bulk_download.sh` only part and study can be told.
        """
        if request.addresses:
            return _listing(_addresses(request), request)
        if request.part == "paired":
            return _listing(_paired(request, web), request)
        return _listing(_unpaired(request, web), request)

    def kind_for(self, alphabet: str, take: str) -> str:
        """Data units."""
        del alphabet, take
        return "csv"


def _listing(addresses: Iterable[str], request: Request) -> Listing:
    studies = [value for name, value in request.select if name.lower() == "study"]
    urls = sorted({url for url in addresses if all(f"/{study}/" in url for study in studies)})
    if not urls:
        chosen = ", ".join(f"{name}={value}" for name, value in request.select) or "nothing selected"
        raise DataError(f"no data unit of oas:{request.part} ({chosen})", where=CATALOGUE,
                        hint="values are written as in the search form of the archive")  # fmt: skip
    return Listing(files=tuple(RemoteFile(url=url, name=_name(url)) for url in urls))


def _name(url: str) -> str:
    """`unpaired/Banerjee_2017/csv/unit.csv.gz`, with the letters that file names may have."""
    parts = unquote(url.split("/ngsdb/")[-1]).split("/")
    return "/".join(re.sub(r"[^A-Za-z0-9._+=,@-]", "_", part).lstrip(".-") or "_" for part in parts)


def _addresses(request: Request) -> list[str]:
    other = [name for name, _ in request.select if name.lower() != "study"]
    if other:
        raise ConfigError(
            f"select {other[0]!r} with addresses, allowed: Study (filter in the archive's form)"
        )
    wanted = {"heavy": "_heavy", "light": "_light"}.get(request.part, "")
    kind = "/paired/" if request.part == "paired" else "/unpaired/"
    found = _ADDRESS.findall(request.addresses)
    return [url for url in found if kind in url and wanted in url.rsplit("/", 1)[-1].lower()]


def _unpaired(request: Request, web: Web) -> list[str]:
    catalogue = _catalogue(web.text(CATALOGUE))
    wanted = {name.lower(): value for name, value in request.select if name.lower() != "study"}
    if request.part in ("heavy", "light"):
        wanted["chain"] = request.part
    known = {name.lower() for about in catalogue.values() for name in about}
    if unknown := sorted(set(wanted) - known):
        raise ConfigError(f"select {unknown[0]!r} is not in the metadata (known: {', '.join(sorted(known))})")
    urls = []
    for path, about in catalogue.items():
        values = {name.lower(): str(value).lower() for name, value in about.items()}
        if all(values.get(name) == value.lower() for name, value in wanted.items()):
            urls.append(BASE + quote(path.removeprefix(_DISK)))
    return urls


def _catalogue(text: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"the catalogue is not JSON: {error.msg}", where=CATALOGUE) from error
    hint = "the archive has changed: give its bulk_download.sh with --addresses"
    if not isinstance(found, dict) or not all(isinstance(about, dict) for about in found.values()):
        raise DataError("the catalogue is no table of units", where=CATALOGUE, hint=hint)
    if wrong := next((key for key in found if not key.startswith(_DISK)), ""):
        raise DataError(f"paths begin with {_DISK!r}, found {wrong[:60]!r}", where=CATALOGUE, hint=hint)
    return found


def _paired(request: Request, web: Web) -> list[str]:
    """Units that the search form lists; each of its fields has `*` unless it is selected."""
    page = web.text(PAIRED_FORM)
    fields = dict.fromkeys(_SELECT.findall(page), "*")
    hint = "give the archive's bulk_download.sh with --addresses"
    if not fields:
        raise DataError("the search form has no fields", where=PAIRED_FORM, hint=hint)
    by_lower = {name.lower(): name for name in fields}
    for name, value in request.select:
        if name.lower() == "study":
            continue
        if name.lower() not in by_lower:
            raise ConfigError(f"select {name!r} is no field of the form (known: {', '.join(sorted(fields))})")
        fields[by_lower[name.lower()]] = value
    hidden = (dict(_ATTRIBUTE.findall(tag)) for tag in _HIDDEN.findall(page))
    fields |= {tag["name"]: unescape(tag.get("value", "")) for tag in hidden if "name" in tag}
    reply = web.text(PAIRED_FORM, data=urlencode(fields).encode())
    script = _SCRIPT.search(reply)
    if script is None:
        raise DataError("the reply of the search form has no list of files", where=PAIRED_FORM, hint=hint)
    return [url for url in _ADDRESS.findall(script[1]) if "/paired/" in url]


SOURCE = Oas()
