"""The weights of an earlier run as those that a new one starts with (`init_from`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.files import read_json, sha256_file
from biodata.tokenizers import load_tokenizer
from biotrain.checkpoint import RunState
from biotrain.config import TrainConfig
from biotrain.export import OWN_FILE, WEIGHTS_FILE, load_model, model_config, model_folder
from biotrain.layers.transformer import Transformer
from biotrain.models import ModelConfig
from biotrain.mup import from_usual
from biotrain.rundir import flat, has_checkpoint

_CHOSEN_ANEW = (
    "context",  # the shapes of the weights decide
    "dropout",
    "attention_dropout",
    "init_std",
    "mup_base_width",
    "moe.balance_loss",
    "moe.z_loss",
    "pair.generator_dropout",
    "ssm.complement",  # follows from the tokenizer
    "image.label_dropout",
    "image.bound_weight",
)
"""Settings that do not change what weights mean."""


def check_start(config: ModelConfig, run: Path, *, tokens: Sequence[str]) -> None:
    """Whether a model may begin with the weights of another.

    Args:
        config: of the model to be.
        run: run folder that has ended, or exported model folder.
        tokens: of the tokenizer of the run to be.

    Raises:
        ConfigError: another shape or another vocabulary.
        DataError: no model there.
    """
    folder = model_folder(run)
    theirs = load_tokenizer(folder).tokens
    if list(theirs) != list(tokens):
        raise ConfigError(
            f"init_from {run} was trained with another tokenizer ({len(theirs)} tokens, here {len(tokens)}): "
            f"give --tokenizer {folder}"
        )
    _same_shape(model_config(folder)[0], config, run)


def start_from(model: Transformer, run: Path, *, tokens: Sequence[str]) -> None:
    """Gives a model the weights of an earlier one.

    Args:
        model: fresh, on the CPU.
        run: run folder that has ended, or exported model folder.
        tokens: of the tokenizer of the run to be.

    Raises:
        ConfigError: another shape or another vocabulary.
        DataError: no model there, or a damaged one.
    """
    check_start(model.config, run, tokens=tokens)
    start = load_model(run)
    weights, own = from_usual(start.state_dict(), model.config), model.state_dict()
    for name, value in own.items():
        if weights[name].shape != value.shape:
            was, now = list(weights[name].shape), list(value.shape)
            raise ConfigError(
                f"init_from {run}: {name} has shape {was}, here {now}: "
                f"give --context {start.config.context}, as there"
            )
    model.load_state_dict(dict(weights))


def begun_in(config: TrainConfig) -> bool:
    """Whether the run folder has a checkpoint, whose weights take the place of those at the start."""
    return has_checkpoint(config.paths().out)


def start_inputs(config: TrainConfig) -> dict[str, str]:
    """The weights at the start by content; a run that is under way does not need them any more."""
    if config.init_from is None or (begun_in(config) and not config.init_from.exists()):
        return {}
    return {"start model": sha256_file(model_folder(config.init_from) / WEIGHTS_FILE)}


def start_provenance(config: TrainConfig, state: RunState) -> dict[str, Any]:
    """What the start model says of itself: its steps, its data and their exclusion.

    Args:
        config: of the run.
        state: that of a checkpoint knows it already.
    """
    if config.init_from is None:
        return {}
    if "start" in state.provenance:
        return {"start": state.provenance["start"]}
    own = model_folder(config.init_from) / OWN_FILE
    known = read_json(own) if own.is_file() else {}
    said = ("step", "tokens", "inputs", "exclusion", "start")
    return {"start": {name: known[name] for name in said if name in known}}


def _same_shape(start: ModelConfig, here: ModelConfig, run: Path) -> None:
    was, now = flat(asdict(start)), flat(asdict(here))
    names = [name for name in {**was, **now} if was.get(name) != now.get(name) and name not in _CHOSEN_ANEW]
    if names:
        shown = ", ".join(f"model.{name} {was.get(name)!r} (here {now.get(name)!r})" for name in names)
        raise ConfigError(f"init_from {run} has another model: {shown}: give the same, as --config "
                          f"{run}/config.yaml does")  # fmt: skip
