"""A trained model for other programs: settings, and the table of forms. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from biodata.catalog import Catalog
from biodata.errors import ConfigError

EXPORTS = Catalog(
    "export",
    {
        "hf": "biotrain.export:export_hf",
        "megatron": "biotrain.megatron:export_megatron",
    },
)
"""Name to a `ModelExport`."""

MEGATRON_LAYERS = ("local", "transformer_engine")
"""Implementations of Megatron's layers; the first is what is meant when nothing is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelExportConfig:
    """What to export, and as what.

    Raises:
        ConfigError: an unknown form, or a setting of another one.

    >>> ModelExportConfig(run=Path("run"), to="megatrn", out=Path("o"))
    Traceback (most recent call last):
    biodata.errors.ConfigError: unknown export 'megatrn', did you mean 'megatron'? (known: hf, megatron)
    """

    run: Path = field(metadata={"help": "run folder, or exported model folder"})
    to: str = field(metadata={"help": "hf (folder for transformers), megatron (weights of Megatron-core)"})
    out: Path = field(metadata={"help": "folder to write"})
    layers: Literal["local", "transformer_engine"] | None = field(
        default=None,
        metadata={"help": "megatron: names of local or transformer_engine layers; none = local"},
    )

    def __post_init__(self) -> None:
        if EXPORTS.resolve(self.to) != "megatron" and self.layers is not None:
            raise ConfigError(f"layers = {self.layers!r} needs --to megatron, got {self.to!r}")


_MARKS = {"hf": "biotrain.json", "megatron": "megatron_config.json"}
"""A file that every earlier export of a form has."""


ModelExport: TypeAlias = Callable[[ModelExportConfig], dict[str, Any]]
"""Writes the files and says what they are."""


def run_export(config: ModelExportConfig) -> dict[str, Any]:
    """Writes a model in another form.

    Args:
        config: what and where.

    Returns:
        `path`, `to`, `model`, `parameters` and `files`, sorted.

    Raises:
        ConfigError: `out` is the folder that is read or holds something else; the form cannot hold the model.
        DataError: no model there, or a damaged one.
    """
    if config.out.resolve() in (config.run.resolve(), (config.run / "model").resolve()):
        raise ConfigError(f"--out {config.out} is the folder that is read: give another")
    _check_target(config)
    write: ModelExport = EXPORTS.load(config.to)
    said = write(config)
    files = sorted(
        path.relative_to(config.out).as_posix() for path in config.out.rglob("*") if path.is_file()
    )
    return {"path": str(config.out), "to": EXPORTS.resolve(config.to), **said, "files": files}


def _check_target(config: ModelExportConfig) -> None:
    """Refuses a folder that is neither new, nor empty, nor an earlier export of this form."""
    out, mark = config.out, _MARKS[EXPORTS.resolve(config.to)]
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: give a new or empty folder")
    if (out.parent / "config.yaml").is_file() and (out.parent / "training_log.jsonl").is_file():
        raise ConfigError(f"--out {out} lies in the run folder {out.parent}: give a folder elsewhere")
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if found and mark not in found:
        raise ConfigError(f"--out {out} is not empty ({found[0]!r} is there) and no earlier export: "
                          "give a new or empty folder")  # fmt: skip
