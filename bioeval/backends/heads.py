"""What a model can say of sequences, by its `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from biodata.errors import ConfigError
from biodata.files import read_json
from bioeval.backends.folder import PICTURES

_EXPECTED = "a causal or masked language model or a discriminator is needed"


class Head(NamedTuple):
    """The output layer of a model.

    Attributes:
        auto: class of transformers that loads it.
        kinds: scores that it gives, the usual one first.
        hides_special: whether it never predicts a special token (masked diffusion).
    """

    auto: str
    kinds: tuple[str, ...]
    hides_special: bool = False


CAUSAL = Head("AutoModelForCausalLM", ("log-likelihood",))
MASKED = Head("AutoModelForMaskedLM", ("pseudo-log-likelihood", "elbo"))
DIFFUSION = Head("AutoModelForMaskedLM", ("elbo", "pseudo-log-likelihood"), hides_special=True)
DISCRIMINATOR = Head("AutoModelForPreTraining", ("replaced-token",))


def head_of(folder: Path, config: Mapping[str, Any]) -> Head:
    """The head of the model of a folder.

    Args:
        folder: exported or downloaded; what trained it stands in `biotrain.json`, if we did.
        config: its `config.json`.

    Raises:
        ConfigError: an encoder without a head, a model of pictures, or one of another kind.
    """
    if config.get("model_type") == PICTURES:
        raise ConfigError(f"{folder} is a model of pictures of sequences and gives no score: {_EXPECTED}")
    name = next(iter(config.get("architectures") or ()), "")
    objective = _objective(folder)
    if name.endswith("ForPreTraining") and "electra" in str(config.get("model_type")):
        return DISCRIMINATOR
    if name.endswith(("ForMaskedLM", "ForPreTraining")):
        is_diffusion = objective == "masked_diffusion" or config.get("model_type") == "seqloom_dit"
        return DIFFUSION if is_diffusion else MASKED
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        if config.get("is_causal") is False:
            raise ConfigError(
                f"{folder} sees both sides ('is_causal': false) and is no causal model: {_EXPECTED}"
            )
        return CAUSAL
    what = f"architecture {name!r}" if name else "no 'architectures' in config.json"
    raise ConfigError(f"{folder} ({what}) has no output layer that gives scores: {_EXPECTED}")


def _objective(folder: Path) -> str:
    own = folder / "biotrain.json"
    try:
        values = read_json(own) if own.is_file() else {}
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{own} is damaged: not JSON") from None
    return str(values.get("objective", "")) if isinstance(values, dict) else ""
