"""Pictures from a model of image diffusion, as an array with a sheet to look at, or read back as sequences.

Shapes: B pictures, K channels, S pixels of a side.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biodata.color_square import COLORS
from biodata.errors import ConfigError
from biodata.files import atomic_path
from biotrain.diffusion.gaussian import sample
from biotrain.diffusion.image_model import DitImage
from biotrain.diffusion.pictures import read_fcgr, read_square
from biotrain.diffusion.png import png_bytes
from biotrain.generate_config import GenerateConfig

STEPS = 100
"""From noise to a picture, when it is not said."""

LISTED = 10
"""Classes that a message names at most."""

SHEET = 64
"""Pictures on a sheet at most."""

PIXELS = 128
"""Least side of a picture on the sheet."""

UNGUIDED = 1.0
"""Guidance at which the label alone is heard."""

_OF_SEQUENCES = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_length": 0, "prompt": ""}


def check_pictures(model: DitImage, config: GenerateConfig) -> None:
    """Refuses what pictures cannot be, before any is made.

    Raises:
        ConfigError: options of sequences, or letters wanted of what has none.
    """
    for name, nothing in _OF_SEQUENCES.items():
        if getattr(config, name) != nothing:
            raise ConfigError(
                f"generate {name} is for sequences, and this model makes pictures: leave it out"
            )
    if not config.label and config.guidance != UNGUIDED:
        raise ConfigError(f"generate guidance {config.guidance:g} does nothing without label: give one")
    if config.label and config.label not in model.image.classes:
        known, near = model.image.classes, get_close_matches(config.label, model.image.classes, n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        listed = f" (known: {', '.join(known[:LISTED])}{', ...' if len(known) > LISTED else ''})"
        learnt = (
            f"is none of its {len(known)} classes{guess}{listed}" if known else "but it learned no labels"
        )
        raise ConfigError(f"generate label {config.label!r} {learnt}")
    if config.out.suffix != ".npy" and model.image.picture == "fcgr":
        raise ConfigError(f"generate out is {config.out}, but k-mer frequencies are written as .npy")


def pictures(model: DitImage, config: GenerateConfig) -> Iterator[np.ndarray]:
    """Batches of frequencies float32 [B, S, S], or of cells uint8 [B, S, S].

    Args:
        model: to ask.
        config: what to generate; every picture has random numbers of its own.
    """
    image, device = model.image, next(model.parameters()).device
    shape = (image.channels, image.side, image.side)
    read = read_fcgr if image.picture == "fcgr" else read_square
    for start in range(0, config.num, config.batch_size):
        indices = range(start, min(start + config.batch_size, config.num))
        own = [np.random.default_rng([config.seed, index]) for index in indices]

        def noise(step: int, own: list[np.random.Generator] = own) -> Tensor:
            drawn = np.stack([random.standard_normal(shape, np.float32) for random in own])
            return torch.from_numpy(drawn).to(device)

        made = sample(
            guided(model, config.label, config.guidance),
            noise(-1),
            steps=config.steps or STEPS,
            kind=image.tells,
            noise=noise if config.fresh_noise else None,
        )
        yield read(made.cpu().numpy())


def guided(model: DitImage, label: str, guidance: float) -> Callable[[Tensor, Tensor], Tensor]:
    """What the model tells of noisy pictures with a label: none + guidance x (label - none).

    Classifier-free guidance (Ho and Salimans, arXiv:2207.12598, eq. 6 with w = guidance - 1). Told velocities
    are guided like told noise, from which they differ by what is the same with and without the label. The
    variance is that of the label.

    Args:
        model: to ask.
        label: one of its classes; empty = none.
        guidance: 1 = the label alone; more = more of what sets it apart.
    """
    image = model.image

    def told(z: Tensor, times: Tensor) -> Tensor:
        if not label:
            return model(z, times=times).float()
        wanted = torch.full((len(z),), image.classes.index(label), device=z.device)
        with_label = model(z, times=times, labels=wanted).float()
        if guidance == UNGUIDED:
            return with_label
        without = model(z, times=times).float()[:, : image.channels]
        away = with_label[:, : image.channels] - without
        return torch.cat((without + guidance * away, with_label[:, image.channels :]), 1)

    return told


def write_pictures(out: Path, made: np.ndarray) -> Path:
    """Writes `out`, an array as numpy saves it, and beside it a PNG of the first 64 pictures.

    Returns:
        The path of the PNG.
    """
    buffer = io.BytesIO()
    np.save(buffer, made, allow_pickle=False)
    sheet = out.with_suffix(".png")
    for path, data in ((out, buffer.getvalue()), (sheet, png_bytes(_sheet(made[:SHEET])))):
        with atomic_path(path) as part:
            part.write_bytes(data)
    return sheet


def _sheet(made: np.ndarray) -> np.ndarray:
    """Pictures in a grid with a grey line between them."""
    if made.dtype == np.uint8:
        tiles = COLORS[made]
    else:  # dark where frequent; the root shows rare k-mers too
        share = np.sqrt(made / np.maximum(made.max(axis=(1, 2), keepdims=True), 1e-12))
        tiles = np.repeat((255 * (1 - share)).round().astype(np.uint8)[..., None], 3, axis=-1)
    zoom = max(1, PIXELS // made.shape[1])
    tiles = tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)
    across, side = math.ceil(math.sqrt(len(tiles))), tiles.shape[1] + 1
    down = math.ceil(len(tiles) / across)
    sheet = np.full((down * side + 1, across * side + 1, 3), 128, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // across * side + 1, number % across * side + 1
        sheet[top : top + side - 1, left : left + side - 1] = tile
    return sheet
