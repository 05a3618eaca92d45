"""The coordinate check of muP (arXiv:2203.03466, appendix D.1): do activations keep their size with width?

Models of several widths learn a few steps from the same random tokens. In the usual parametrisation what they
say grows with the width, so that a learning rate has to be found for each; with muP it keeps its size.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biodata.errors import require
from biodata.files import atomic_path
from biodata.progress import progress
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.coord_config import CoordCheckConfig
from biotrain.models import ModelConfig, build_model
from biotrain.optim import OptimConfig, build_optimizer
from biotrain.optim.groups import set_learning_rate

WAYS = {"usual": False, "mup": True}
PLACES = ("hidden", "logits")
"""What is measured: what the last block gives, and the logits."""


def coord_check(config: CoordCheckConfig) -> dict[str, Any]:
    """Trains and measures; draws if `config.out` says where.

    Returns:
        `widths`; `sizes` of each way (`usual`, `mup`) and place (`hidden`, `logits`): by step the mean
        absolute value at each width; `growth`: the exponent with which the size after the last step grows
        with the width, 0 = not at all; `path` of the picture.

    Raises:
        MissingExtraError: a picture without matplotlib.
    """
    if config.out is not None:
        require("matplotlib", extra="eval")
    found = np.zeros((len(WAYS), len(config.widths), config.steps + 1, len(PLACES)))
    with progress("checking", total=config.seeds * len(WAYS) * len(config.widths)) as advance:
        for seed, way, at in product(range(config.seeds), range(len(WAYS)), range(len(config.widths))):
            model = config.shaped(config.widths[at], mup=list(WAYS.values())[way])
            found[way, at] += _sizes(model, config, seed) / config.seeds
            advance(1)
    if config.out is not None:
        _draw(found, config, config.out)
    last = np.log(found[:, :, -1])
    slopes = np.polyfit(np.log(config.widths), last.transpose(1, 0, 2).reshape(len(config.widths), -1), 1)[0]
    growth = slopes.reshape(len(WAYS), len(PLACES)).round(4)
    return {
        "path": None if config.out is None else str(config.out),
        "widths": list(config.widths),
        "growth": {way: dict(zip(PLACES, row)) for way, row in zip(WAYS, growth.tolist())},
        "sizes": {
            way: {
                place: {f"step_{t}": found[i, :, t, j].round(6).tolist() for t in range(config.steps + 1)}
                for j, place in enumerate(PLACES)
            }
            for i, way in enumerate(WAYS)
        },
    }


def _sizes(shape: ModelConfig, config: CoordCheckConfig, seed: int) -> np.ndarray:
    """[steps + 1, places]: mean absolute values before the first step and after each."""
    model = build_model(shape, vocab_size=config.vocab_size, seed=seed)
    optimizer = build_optimizer(model, OptimConfig(lr=config.lr, weight_decay=0.0))
    set_learning_rate(optimizer, config.lr)
    noise = torch.Generator().manual_seed(seed)
    shape_of_ids = (config.batch_size, shape.context)
    ids = torch.randint(len(SPECIAL_TOKENS), config.vocab_size, shape_of_ids, generator=noise)
    last: list[Tensor] = []
    model.blocks[-1].register_forward_hook(lambda module, given, out: last.append(out.detach()))
    found = []
    for _ in range(config.steps + 1):
        logits = model(ids)
        found.append([last.pop().abs().mean().item(), logits.detach().abs().mean().item()])
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
    return np.array(found)


def _draw(found: np.ndarray, config: CoordCheckConfig, out: Path) -> None:
    """A panel for each way and place, a line for each step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    panels = figure.subplots(len(WAYS), len(PLACES), sharex=True, sharey="col")
    for (i, way), (j, place) in product(enumerate(WAYS), enumerate(PLACES)):
        axes = panels[i, j]
        for step in range(config.steps + 1):
            axes.plot(config.widths, found[i, :, step, j], marker="o", label=f"step {step}")
        axes.set(xscale="log", yscale="log", title=f"{way}: mean |{place}|", xticks=config.widths)
        axes.set_xticklabels(list(map(str, config.widths)))
        axes.minorticks_off()
    for axes in panels[-1]:
        axes.set_xlabel("width")
    panels[0, 0].legend()
    with atomic_path(out) as part:
        figure.savefig(part, format=out.suffix.lstrip(".") or "svg")
