"""What archives look like on their servers: `host/path` to bytes, for `ArchiveServer`."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping


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
