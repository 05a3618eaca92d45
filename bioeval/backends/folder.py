"""Models in the Hugging Face layout: run folders, exported folders, downloaded ones, random-init twins."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from biodata.errors import ConfigError, DataError, require
from biodata.files import fingerprint, read_json, sha256_file
from bioeval.backends.names import backend_of
from bioeval.backends.settings import EmbedSettings
from bioeval.protocols import Embedder

CODE_VERSION = 2  # of everything between tokens and vectors; part of the cache key
PICTURES = "seqloom_dit_image"
"""`model_type` of models that read no sequences."""

_OURS = "modeling_"  # how the files of ours begin
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "vocab*",
    "merges.txt",
)


class Keyed(Protocol):
    """Settings that say what of them results depend on."""

    @property
    def seed(self) -> int: ...
    @property
    def trust_remote_code(self) -> bool: ...
    def key(self) -> dict[str, Any]:
        """What results depend on."""
        ...


class Located(NamedTuple):
    """A model that was found.

    Attributes:
        folder: with `config.json`.
        seed: of random weights; `None` for those of the folder.
        own_code: whether it brings a modeling file, which may run.
    """

    folder: Path
    seed: int | None
    own_code: bool


def locate(model: str, settings: Keyed) -> Located:
    """Where a model is: a run folder, an exported folder, a hub id, or `random-init:` one of these.

    Raises:
        ConfigError: there is no such model, or it brings code that may not run.
        DataError: a folder without a model.
    """
    require("torch", extra="eval")
    require("transformers", extra="eval")
    name = model.removeprefix("random-init:")
    seed = None if name == model else settings.seed
    folder = _download(name) if backend_of(name) == "hub" else model_folder(Path(name).expanduser())
    return Located(folder, seed, runs_own_code(folder, trusted=settings.trust_remote_code))


def open_folder(model: str, settings: EmbedSettings) -> Embedder:
    """The embedder of any model that `locate` finds.

    Raises:
        ConfigError: as `locate` does, or a model of pictures.
        DataError: a folder without a model.
    """
    from bioeval.backends.transformer import TransformerEmbedder

    folder, seed, own_code = locate(model, settings)
    if read_config(folder).get("model_type") == PICTURES:
        raise ConfigError(f"{model} is a model of pictures of sequences: it has no vector of a sequence")
    key = content_key(folder, settings, seed=seed)
    return TransformerEmbedder(model, key, folder=folder, settings=settings, seed=seed, own_code=own_code)


def _download(model: str) -> Path:
    """The files of a hub id, from the hub's own cache where they are there; weights of torch's older form
    only where there are no others."""
    hub = require("huggingface_hub", extra="eval")
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.py"]
    try:
        folder = Path(hub.snapshot_download(model, allow_patterns=patterns))
        if not any(folder.glob(_WEIGHTS[0])):
            folder = Path(hub.snapshot_download(model, allow_patterns=[*patterns, _WEIGHTS[1]]))
        return folder
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        text = f"{model!r} is no folder here and cannot be got from the Hugging Face hub"
        raise ConfigError(f"{text}: {reason}") from error


def model_folder(path: Path) -> Path:
    """The folder that holds `config.json`: the path itself, or its `model` (a run).

    Raises:
        ConfigError: no such folder.
        DataError: a folder without a model.
    """
    if not path.is_dir():
        raise ConfigError(f"no model folder {path} (a run, an exported model or a Hugging Face id expected)")
    for folder in (path / "model", path):
        if (folder / "config.json").is_file():
            return folder
    hint = "a run has one after its training has ended"
    raise DataError("no config.json and no model/config.json", where=path, hint=hint)


def content_key(folder: Path, settings: Keyed, *, seed: int | None) -> str:
    """Hash of weights (or seed), configuration, code, tokenizer and settings; paths and dates do not count.

    Args:
        folder: model with its tokenizer.
        settings: how it embeds or scores.
        seed: of random weights, None for those of the folder.

    Raises:
        DataError: the folder holds no weights.
    """
    transformers = require("transformers", extra="eval")
    weights: Any = {"random-init": seed}
    if seed is None:
        files = sorted(p for pattern in _WEIGHTS for p in folder.glob(pattern))
        if not files:
            raise DataError("no model.safetensors", where=folder)
        weights = {p.name: sha256_file(p) for p in files}
    read = {p for pattern in ("config.json", *_TOKENIZER, "*.py") for p in folder.glob(pattern)}
    return fingerprint({
        "code": CODE_VERSION, "transformers": transformers.__version__, "weights": weights,
        "files": {p.name: sha256_file(p) for p in sorted(read) if p.is_file()}, **settings.key(),
    })  # fmt: skip


def runs_own_code(folder: Path, *, trusted: bool) -> bool:
    """Whether the folder brings a modeling file, which transformers would run.

    Ours are known by their content, so a file that only has the name is not run, nor one beside it.

    Raises:
        ConfigError: it brings code of somebody else and is not `trusted`.
    """
    auto = read_config(folder).get("auto_map")
    if not auto:
        return False
    files = {str(v).split("--")[-1].split(".")[0] + ".py" for v in auto.values()}
    present = {folder / name for name in files} | set(folder.glob("*.py"))
    ours = "--" not in json.dumps(auto) and all(_is_ours(file) for file in present)
    if not ours and not trusted:
        shown = ", ".join(sorted(files))
        raise ConfigError(
            f"{folder} brings code of its own ({shown}): read it, then set trust_remote_code to run it"
        )
    return True


def _is_ours(file: Path) -> bool:
    # The package is found, not imported: bioeval knows nothing of biotrain.
    spec = importlib.util.find_spec("biotrain")
    places = list(spec.submodule_search_locations or []) if spec else []
    originals = [Path(place, "modeling", file.name) for place in places if file.name.startswith(_OURS)]
    return file.is_file() and any(o.is_file() and _digest(o) == _digest(file) for o in originals)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder.

    Raises:
        DataError: it is no JSON object.
    """
    try:
        values = read_json(folder / "config.json")
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not JSON: {error}", where=folder / "config.json") from error
    if not isinstance(values, dict):
        raise DataError("not a JSON object", where=folder / "config.json")
    return values
