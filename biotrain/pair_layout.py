"""A pair of models as two folders that transformers opens, and back.

    RUN/model/                model.safetensors, config.json of the discriminator, as any model's
    RUN/model/generator/      the same of the generator
    RUN/model/corrector.safetensors   METRO's bias, for which transformers has no place

Embeddings stand in both: disentangled the discriminator's are the sum that it works with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from biodata.errors import DataError
from biotrain.layers.pair import Pair
from biotrain.layout import from_hf, to_hf, to_hf_config
from biotrain.models.electra import pair_layouts
from biotrain.models.pair_config import generator_shape

GENERATOR, WEIGHTS, CORRECTOR = "generator", "model.safetensors", "corrector.safetensors"
_SHARED = ("tokens.", "positions.", "norm.")
_CHANGES = {"token_change.weight": "tokens.weight", "position_change.weight": "positions.weight"}
State = dict[str, Tensor]


def split_pair(state: Mapping[str, Tensor]) -> tuple[State, State]:
    """The state of a pair as that of a discriminator and of a generator, each as if alone."""
    part = f"{GENERATOR}."
    shared = {name: value for name, value in state.items() if name.startswith(_SHARED)}
    inner = {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
    generator = shared | {("head.bias" if name == "bias" else name): value for name, value in inner.items()}
    other = ("own_norm.", "corrector_", part, *_CHANGES)
    judge = {name: value for name, value in state.items() if not name.startswith(other)}
    judge |= {name[4:]: value for name, value in state.items() if name.startswith("own_norm.")}
    judge |= {whole: state[whole] + state[change] for change, whole in _CHANGES.items() if change in state}
    return judge, generator


def join_pair(judge: State, generator: State, like: Mapping[str, Tensor]) -> State:
    """The state of a pair, without the corrector.

    Args:
        judge: of the discriminator.
        generator: of the generator.
        like: the state of a pair of this configuration.

    Raises:
        DataError: embeddings that are neither shared nor disentangled.
    """
    state = {name: value for name, value in judge.items() if not name.startswith(_SHARED)}
    for name, value in generator.items():
        inner = "bias" if name == "head.bias" else name
        state[inner if name.startswith(_SHARED) else f"{GENERATOR}.{inner}"] = value
    for name in (name for name in judge if name.startswith(_SHARED)):
        change = next((key for key, whole in _CHANGES.items() if whole == name), f"own_{name}")
        if change in like:
            state[change] = judge[name] - generator[name] if change in _CHANGES else judge[name]
        elif not judge[name].equal(generator[name]):
            raise DataError(f"{name!r} differs between discriminator and generator, which share it")
    return state


def pair_files(model: Pair) -> dict[Path, dict[str, Tensor]]:
    """What the weight files of a pair hold, by their place in its folder."""
    config, state = model.config, model.state_dict()
    (judge, generator), (first, second) = split_pair(state), pair_layouts(config)
    files = {Path(WEIGHTS): to_hf(judge, config, layout=first)}
    files[Path(GENERATOR, WEIGHTS)] = to_hf(generator, generator_shape(config), layout=second)
    if model.corrects:
        files[Path(CORRECTOR)] = {"bias": state["corrector_bias"].detach().cpu()}
    return files


def generator_values(model: Pair) -> dict[str, Any]:
    """The generator's `config.json`."""
    layout = pair_layouts(model.config)[1]
    return to_hf_config(generator_shape(model.config), model.vocab_size, layout=layout)


def pair_names(model: Pair) -> tuple[str, ...]:
    """The weight files in a pair's folder."""
    return (WEIGHTS, f"{GENERATOR}/{WEIGHTS}", *((CORRECTOR,) if model.corrects else ()))


def read_pair(model: Pair, files: Mapping[str, Mapping[str, Tensor]]) -> State:
    """The state of a pair from its files.

    Args:
        model: of the right configuration.
        files: a weight file's name in the folder to what it holds.

    Raises:
        DataError: a tensor is missing, left over, or of another shape.
    """
    like, config = model.state_dict(), model.config
    (judge, generator), (first, second) = split_pair(like), pair_layouts(config)
    judge = from_hf(files[WEIGHTS], judge, config, layout=first)
    generator = from_hf(files[f"{GENERATOR}/{WEIGHTS}"], generator, generator_shape(config), layout=second)
    state = join_pair(judge, generator, like)
    if model.corrects:
        state["corrector_bias"] = files[CORRECTOR]["bias"].float()
    return state
