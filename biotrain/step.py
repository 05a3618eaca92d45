"""One training step, and validation.

Shapes: B rows of a step, T tokens, N predicted tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.lanes import Losses
from biotrain.layers.routing import Routing, load_extremes, router_losses
from biotrain.loader import Rows, fixed_batches
from biotrain.log import StepResult, perplexity
from biotrain.objectives import IGNORE
from biotrain.optim.clip import clip_gradient
from biotrain.parts import Parts, random_stream


class Batch(NamedTuple):
    """A batch on its way through the model.

    Attributes:
        inputs: [B, T] ids the model reads.
        mask: [B, T], True at real tokens; `None` when there is no padding.
        rows: [B, T], True where a token is predicted.
        targets: [N] the tokens to predict there, in reading order.
    """

    inputs: Tensor
    mask: Tensor | None
    rows: Tensor
    targets: Tensor


def train_step(parts: Parts, rows: Rows, step: int) -> StepResult:
    """Forward, backward and update on one step's rows.

    The rows pass in micro-batches of `batch_size`, or in smaller ones side by side (`biotrain.lanes`). Each
    one's mean loss counts by its share of the step's targets, so the gradient is that of one large batch.
    Masks and dropout depend on (seed, step) alone.

    Args:
        parts: of the run; `parts.optimizer` has this step's learning rate already.
        rows: the whole step.
        step: 1-based.
    """
    config = parts.config
    parts.model.train()
    parts.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(random_stream(config.seed, "dropout", step))
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    generator = torch.Generator().manual_seed(random_stream(config.seed, "masks", step))
    inputs, targets = parts.objective.prepare(ids, mask, generator)
    count = int((targets != IGNORE).sum())
    size = -(-config.batch_size // parts.lanes.count)
    batches = _micro_batches(parts, inputs, targets, mask, size=size)
    shares = parts.lanes.backward(parts.model, (partial(_share, parts, batch, count) for batch in batches))
    total = torch.stack(shares).sum(0) if shares else torch.zeros(2, device=parts.hardware.device)
    norm = clip_gradient(parts.model, config.optim)
    parts.optimizer.step()
    return StepResult(loss=total[0], xe=total[1], grad_norm=norm.to(total.device), targets=count,
                      tokens=int(rows.mask.sum()), more=_router_notes(parts, total[2:]))  # fmt: skip


def validate(parts: Parts, *, batches: int, stopped: Callable[[], bool]) -> dict[str, float] | None:
    """Losses on the validation split, with the same batches and masks at every call.

    Args:
        parts: of the run.
        batches: how many batches, 0 = the whole split.
        stopped: asked before each batch.

    Returns:
        `val_loss`, plain cross-entropy per token in nats whatever the training loss; `val_perplexity`, its
        exp; `val_objective`, the training loss's own value; `val_tokens`, the number of predicted tokens.
        `None` when stopped.
    """
    config, device = parts.config, parts.hardware.device
    parts.model.eval()
    total, count = torch.zeros(2, dtype=torch.float64, device=device), 0
    fixed = fixed_batches(parts.validation, size=config.batch_size, count=batches, seed=config.seed)
    with torch.inference_mode():
        for number, rows in enumerate(fixed):
            if stopped():
                return None
            generator = torch.Generator().manual_seed(random_stream(config.seed, "validation", number))
            ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
            inputs, targets = parts.objective.prepare(ids, mask, generator)
            for batch in _micro_batches(parts, inputs, targets, mask, size=config.batch_size):
                total += torch.stack(_losses(parts, batch)).double() * len(batch.targets)
                count += len(batch.targets)
    objective, xe = (total / max(1, count)).tolist()
    return {"val_loss": xe, "val_perplexity": perplexity(xe), "val_objective": objective, "val_tokens": count}


def _losses(parts: Parts, batch: Batch, routing: Routing | None = None) -> tuple[Tensor, Tensor]:
    """Training loss, and plain cross-entropy without gradient; the mean over the batch's targets."""
    with parts.hardware.autocast():
        logits = parts.model(batch.inputs, mask=batch.mask, rows=batch.rows, routing=routing)
    loss = parts.loss(logits.float(), batch.targets)
    if parts.config.loss.name == "xe":
        return loss, loss.detach()
    return loss, F.cross_entropy(logits.detach().float(), batch.targets)


def _share(parts: Parts, batch: Batch, count: int) -> Losses:
    """The share of a step's losses that falls to a batch, of `count` targets in all."""
    share = len(batch.targets) / max(1, count)
    routing = parts.model.new_routing()
    loss, xe = _losses(parts, batch, routing)
    values = torch.stack((loss.detach(), xe)) * share
    if routing is None:
        return Losses(loss * share, values)
    added, notes = _router_share(parts, routing, share)
    return Losses(loss * share + added, torch.cat((values, notes)))


def _router_share(parts: Parts, routing: Routing, share: float) -> tuple[Tensor, Tensor]:
    """What a part of a micro-batch adds to the loss for its routers, and what is logged of them.

    The losses are those of the whole micro-batch (`MoEConfig`), whatever the number of parts it is computed
    in; a micro-batch counts by its share of the step's targets.

    Returns:
        The weighted losses, and both losses and the counts [2 + L E] of the part.
    """
    moe = parts.config.model.moe
    assert moe is not None
    counts = torch.stack(routing.counts)
    sums = torch.cat((counts.flatten(), routing.tokens[None], routing.tokens.new_tensor([share])))
    whole = parts.lanes.meet(sums)
    found = router_losses(routing, counts=whole[:-2].view_as(counts), tokens=whole[-2], top_k=moe.top_k)
    balance, z = (loss * whole[-1] for loss in found)
    notes = torch.cat((torch.stack((balance, z)).detach(), counts.flatten()))
    return balance * moe.balance_loss + z * moe.z_loss, notes


def _router_notes(parts: Parts, notes: Tensor) -> dict[str, Tensor] | None:
    """For the log: both losses as means over layers, 1 and up for balance, and loads (1 = an even share)."""
    config = parts.config.model
    if config.moe is None or not len(notes):
        return None
    busiest, idlest = load_extremes(notes[2:].view(config.layers, config.moe.experts))
    losses = {"balance_loss": notes[0] / config.layers, "z_loss": notes[1] / config.layers}
    return {**losses, "busiest_expert": busiest, "idlest_expert": idlest}


def _micro_batches(
    parts: Parts, inputs: Tensor, targets: Tensor, mask: Tensor, *, size: int
) -> Iterator[Batch]:
    """Slices of `size` rows on the device, each cut to its longest row; without targets, none."""
    device = parts.hardware.device
    for begin in range(0, len(inputs), size):
        part = slice(begin, begin + size)
        width = int(mask[part].sum(1).max())
        wanted = targets[part, :width]
        rows = wanted != IGNORE
        if rows.any():
            real = mask[part, :width]
            yield Batch(
                inputs=inputs[part, :width].to(device, non_blocking=True),
                mask=None if real.all() else real.to(device, non_blocking=True),
                rows=rows.to(device, non_blocking=True),
                targets=wanted[rows].to(device, non_blocking=True),
            )
