"""Source names among the inputs of a build: replaced by the folder of their files, fetched if need be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from biodata.errors import ConfigError
from biodata.fetch.config import FetchConfig
from biodata.fetch.names import SourceName, cache_folder, is_source_name, parse_name
from biodata.fetch.record import read_manifest
from biodata.read_config import ReadConfig


def resolved(config: ReadConfig) -> ReadConfig:
    """The configuration with folders in the place of source names among its inputs; see `resolve_inputs`."""
    inputs = resolve_inputs(config.inputs, alphabet=config.alphabet, take=config.take)
    return dataclasses.replace(config, inputs=inputs)


def resolve_inputs(inputs: Sequence[str], *, alphabet: str, take: str) -> tuple[str, ...]:
    """The inputs with folders in the place of source names.

    Args:
        inputs: files, folders, patterns and names such as `refseq:viral` or `refseq:viral:protein`.
        alphabet: of the build; with `take` it decides what kind of file a name without one means.
        take: `records`, `cds` or `features`.

    Raises:
        ConfigError: an unknown name, or a folder in the cache that holds only some of the files.
        FetchError: it has to be fetched and cannot be.

    >>> resolve_inputs(["reads.fa", "more/*.gz"], alphabet="dna", take="records")
    ('reads.fa', 'more/*.gz')
    """
    return tuple(_folder(text, alphabet, take) if is_source_name(text) else text for text in inputs)


def _folder(text: str, alphabet: str, take: str) -> str:
    name = parse_name(text).with_kind(alphabet, take)
    folder = cache_folder(name)
    if not _is_whole(name, folder):
        from biodata.fetch.fetch import fetch

        fetch(FetchConfig(sources=(f"{name.source.name}:{name.part}:{name.what}",)), folder)
    return str(folder)


def _is_whole(name: SourceName, folder: Path) -> bool:
    """Whether the cache holds all files of a name.

    Raises:
        ConfigError: it holds some of them because no more were asked for; a build of a part by the name of
            the whole would mislead.
    """
    manifest = read_manifest(folder)
    found = [s for s in manifest["sources"] if s["source"] == str(name)] if manifest else []
    if not found:
        return False
    files, listed = len(found[0]["files"]), found[0]["files_listed"]
    if files < listed or found[0]["select"]:
        raise ConfigError(
            f"{folder} holds {files} of {listed} files of {name} (--limit, --select): name that folder, "
            f"or fetch the rest with `seqloom data fetch {name} --what {name.what}`"
        )
    return True
