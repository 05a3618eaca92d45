"""How a model is named."""

from __future__ import annotations

from pathlib import Path


def backend_of(model: str) -> str:
    """The backend that a model's name asks for.

    >>> [backend_of(m) for m in ("random-init:runs/a", "mypackage.models:mine", "someone/dnabert")]
    ['random-init', 'attribute', 'hub']
    >>> backend_of("vectors.parquet")
    'embeddings'
    """
    if model.startswith("random-init:"):
        return "random-init"
    if not Path(model).is_dir() and model.endswith((".parquet", ".npy", ".npz")):
        return "embeddings"
    if Path(model).exists():
        return "folder"
    if ":" in model and "/" not in model and "\\" not in model:
        return "attribute"
    is_id = model.count("/") == 1 and not model.startswith((".", "/", "~")) and not model.endswith("/")
    return "hub" if is_id else "folder"
