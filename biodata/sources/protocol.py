"""What an archive must say of itself to be fetched from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from biodata.fetch.remote import Listing, Request
from biodata.fetch.web import Web


class Source(Protocol):
    """An archive: its names, its terms, and how its list of files is read.

    Attributes:
        name: as in `SOURCES`, the word before the colon.
        title: what it is, a few words.
        home: page for people.
        licence: terms of use in one line.
        citation: DOI of what to cite, or empty.
        parts: allowed words behind the colon, each with what it is. Empty: no colon.
        kinds: allowed values of `--what`, each with what it is; the first is the default.
        size: a rough size for people, as of when ("60 GB compressed, 2026").
        accessions: whether equal ids mean the same record in all of its parts, which overlap; such rows are
            dropped as `duplicate-accession` when a dataset is built.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def home(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def citation(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, str]: ...
    @property
    def kinds(self) -> Mapping[str, str]: ...
    @property
    def size(self) -> str: ...
    @property
    def accessions(self) -> bool: ...

    def listing(self, request: Request, web: Web) -> Listing:
        """The files of a request, from the archive's own list; only lists are read here, no data.

        Raises:
            FetchError: the list cannot be had.
            DataError: the list is not what it should be.
        """
        ...

    def kind_for(self, alphabet: str, take: str) -> str:
        """The kind that `data build` wants: `alphabet` and `take` as in `biodata.read_config.ReadConfig`."""
        ...
