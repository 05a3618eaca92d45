"""A step's windows, prepared one by one by the objective, laid into packed rows (`biotrain.packing`).

Shapes: D windows, T tokens of the longest, B packed rows, C tokens of the fullest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from biodata.errors import ConfigError
from biodata.tokenizers.special import PAD
from biotrain.objectives import IGNORE, Prepared
from biotrain.packing import places


def packed(prepared: Prepared, mask: Tensor, counts: npt.NDArray[np.int64]) -> tuple[Prepared, Tensor]:
    """The same tokens and targets in fewer rows; no objective has to know of it.

    Args:
        prepared: of the windows, one a row.
        mask: [D, T] True at real tokens, which stand before the padding.
        counts: [B] windows of each packed row.

    Returns:
        Everything by token as [B, C, ...], with `documents`, and the mask [B, C].

    Raises:
        ConfigError: the objective has something of whole windows, for which a packed row has no place.
    """
    if prepared.by_row:
        name = next(iter(prepared.by_row))
        raise ConfigError(f"this objective has one {name!r} for each sequence: it needs pack false")
    found = places(mask.sum(1).numpy(), counts, width=mask.shape[1])
    where, documents = (torch.from_numpy(part) for part in found)

    def laid(x: Tensor, fill: int) -> Tensor:
        y = x.flatten(0, 1).index_select(0, where.clamp(min=0).flatten()).unflatten(0, where.shape)
        there = (where >= 0).view(*where.shape, *(1 for _ in x.shape[2:]))
        return torch.where(there, y, fill)

    more = {name: laid(value, 0) for name, value in prepared.by_token.items()}
    rows = Prepared(laid(prepared.inputs, PAD), laid(prepared.targets, IGNORE), by_token=more)
    return rows._replace(documents=documents), where >= 0
