"""The routers' part of a step's loss, and what the log says of them."""

from __future__ import annotations

import torch
from torch import Tensor

from biotrain.lanes import Lanes
from biotrain.layers.routing import Routing, load_extremes, router_losses
from biotrain.models import ModelConfig, MoEConfig


def router_share(moe: MoEConfig, lanes: Lanes, routing: Routing, *, share: float) -> tuple[Tensor, Tensor]:
    """What a part of a micro-batch adds to the loss for its routers, and what is logged of them.

    The losses are those of the whole micro-batch (`MoEConfig`), whatever the number of parts it is computed
    in; a micro-batch counts by its share of the step.

    Args:
        moe: with both coefficients.
        lanes: where the parts of the micro-batch are computed.
        routing: of this part.
        share: of the step's targets or sequences, 0 to 1.

    Returns:
        The weighted losses, and both losses and the counts [2 + L E] of the part.
    """
    counts = torch.stack(routing.counts)
    sums = torch.cat((counts.flatten(), routing.tokens[None], routing.tokens.new_tensor([share])))
    whole = lanes.meet(sums)
    found = router_losses(routing, counts=whole[:-2].view_as(counts), tokens=whole[-2], top_k=moe.top_k)
    balance, z = (loss * whole[-1] for loss in found)
    notes = torch.cat((torch.stack((balance, z)).detach(), counts.flatten()))
    return balance * moe.balance_loss + z * moe.z_loss, notes


def without_router(config: ModelConfig, sums: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Sums of a step without those of the routers, and these for the log.

    Args:
        config: of the model.
        sums: with the notes of `router_share` at their end if the model has experts.

    Returns:
        The former; both losses as means over layers, 1 and up for balance, and loads (1 = an even share).
    """
    if config.moe is None or not len(sums):
        return sums, {}
    sums, notes = sums.tensor_split([len(sums) - 2 - config.layers * config.moe.experts])
    busiest, idlest = load_extremes(notes[2:].view(config.layers, config.moe.experts))
    losses = {"balance_loss": notes[0] / config.layers, "z_loss": notes[1] / config.layers}
    return sums, {**losses, "busiest_expert": busiest, "idlest_expert": idlest}
