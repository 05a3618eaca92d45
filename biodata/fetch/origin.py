"""Where a file on disk came from, by the `fetch.json` of its folder or one above."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biodata.errors import DataError
from biodata.fetch.record import MANIFEST, read_manifest, refuse_unfinished

_SHARED = ("archive", "source", "what", "release", "licence", "citation", "home", "accessions")


class Origins:
    """Looks up files in the records of fetches; each record is read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, dict[str, Any]] | None] = {}

    def of(self, path: Path, *, sha256: str) -> dict[str, Any]:
        """What the record says of a file (`url`, `archive`, `source`, `release`, `licence`, ...); empty if
        none names it.

        Args:
            path: the file.
            sha256: of its bytes now.

        Raises:
            ConfigError: the fetch of its folder is not finished.
            DataError: the file has changed since it was fetched.
        """
        path = Path(path).absolute()
        for folder in path.parents:
            files = self._files(folder)
            if files is None:
                continue
            entry = files.get(path.relative_to(folder).as_posix())
            if entry is None:
                return {}
            if entry["sha256"] != sha256:
                raise DataError(
                    "the file has changed since it was fetched", where=path,
                    hint=f"its SHA-256 is not that of {folder / MANIFEST}; fetch it again",
                )  # fmt: skip
            return {name: value for name, value in entry.items() if name != "sha256"}
        return {}

    def _files(self, folder: Path) -> dict[str, dict[str, Any]] | None:
        if folder not in self._folders:
            refuse_unfinished(folder)
            manifest = read_manifest(folder)
            self._folders[folder] = None if manifest is None else {
                file["name"]: {"url": file["url"], "sha256": file["sha256"]} | {k: source[k] for k in _SHARED}
                for source in manifest["sources"]
                for file in source["files"]
            }  # fmt: skip
        return self._folders[folder]
