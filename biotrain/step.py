"""One training step, and validation.

    rows -> objective.prepare -> micro-batches -> model, objective.losses -> sums -> losses of the step

What is learned is the objective's affair (`biotrain.objectives`): it turns the whole step's rows into inputs
and targets, and computes for each micro-batch sums of losses. Here they are divided by the step's counts, so
that the gradient is that of one large batch, whatever the number of micro-batches and lanes.

Shapes: B rows of a step, T tokens, N predicted tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from biotrain.lanes import Losses
from biotrain.layers.routing import Routing
from biotrain.loader import Rows, fixed_batches
from biotrain.log import StepResult, perplexity
from biotrain.objectives import IGNORE, Batch, Objective, Prepared, Sums
from biotrain.optim.clip import clip_gradient
from biotrain.packed import packed
from biotrain.parts import Parts, random_stream
from biotrain.router_share import router_share, without_router


class Counts(NamedTuple):
    """Of a step, a validation or a micro-batch: what losses are means of (`Term.per`)."""

    targets: int
    tokens: int
    rows: int
    counted: int = 0


def train_step(parts: Parts, rows: Rows, step: int) -> StepResult:
    """Forward, backward and update on one step's rows.

    The rows pass in micro-batches of `batch_size`, or in smaller ones side by side (`biotrain.lanes`). Masks,
    dropout and whatever else is drawn depend on (seed, step) alone.

    Args:
        parts: of the run; `parts.optimizer` has this step's learning rate already.
        rows: the whole step.
        step: 1-based.
    """
    config, objective = parts.config, parts.objective
    parts.model.train()
    parts.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(random_stream(config.seed, "dropout", step) + parts.team.rank)
    prepared, mask = _prepare(parts, rows, "masks", step)
    whole = _counted(prepared.targets, mask, prepared.by_token)
    batches = _micro_batches(parts, prepared, mask, size=-(-config.batch_size // parts.lanes.count))
    shares = parts.lanes.backward(parts.model, (partial(_share, parts, batch, whole) for batch in batches))
    sums = torch.stack(shares).sum(0) if shares else torch.zeros(0, device=parts.hardware.device)
    sums, router = without_router(config.model, sums)
    found = _means(objective, sums, whole)
    norm = clip_gradient(parts.model, config.optim)
    with parts.hardware.autocast():  # Muon's directions
        parts.optimizer.step()
    return StepResult(loss=found.pop("loss"), xe=found.pop("xe", None), grad_norm=norm.to(sums.device),
                      targets=_weight(objective, whole), tokens=whole.tokens,
                      more={**found, **router})  # fmt: skip


def validate(parts: Parts, *, batches: int, stopped: Callable[[], bool]) -> dict[str, float] | None:
    """Losses on the validation split, with the same batches and masks at every call.

    Args:
        parts: of the run.
        batches: how many batches, 0 = the whole split.
        stopped: asked before each batch.

    Returns:
        `val_loss`, plain cross-entropy per token in nats whatever the training loss; `val_perplexity`, its
        exp; `val_objective`, the training loss's own value, which also is `val_loss` where no tokens are
        predicted; `val_tokens`, the number of predicted tokens; and what the objective reports, as
        `val_<name>`. `None` when stopped.
    """
    config, objective = parts.config, parts.objective
    parts.model.eval()
    sums, whole = torch.zeros(0), Counts(0, 0, 0, 0)
    fixed = fixed_batches(parts.validation, size=config.batch_size, count=batches, seed=config.seed)
    with torch.no_grad():  # not inference_mode: FSDP keeps the buffers it makes here for training
        for number, rows in enumerate(fixed):
            if parts.team.any(stopped()):
                return None
            prepared, mask = _prepare(parts, rows, "validation", number)
            whole = Counts(*map(sum, zip(whole, _counted(prepared.targets, mask, prepared.by_token))))
            size = -(-config.batch_size // parts.team.size)
            for batch, weight in parts.team.dealt(_micro_batches(parts, prepared, mask, size=size)):
                found = _flat(objective.losses(partial(_predict, parts, batch, None), parts.loss, batch))
                sums = found.double() * weight + (sums if len(sums) else 0)
    sums = parts.team.total(sums)
    means = {name: float(value) for name, value in _means(objective, sums, whole).items()}
    loss, xe = means.pop("loss"), means.pop("xe", None)
    scores = {"val_loss": loss} if xe is None else {"val_loss": xe, "val_perplexity": perplexity(xe)}
    return {**scores, "val_objective": loss, "val_tokens": _weight(objective, whole),
            **{f"val_{name}": value for name, value in means.items()}}  # fmt: skip


def _prepare(parts: Parts, rows: Rows, stream: str, number: int) -> tuple[Prepared, Tensor]:
    """What the objective makes of the rows, packed if they are to be, and their mask."""
    generator = torch.Generator().manual_seed(random_stream(parts.config.seed, stream, number))
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    prepared = parts.objective.prepare(ids, mask, generator)
    mask = mask if prepared.mask is None else prepared.mask
    if rows.labels is not None:
        prepared = prepared._replace(by_row={**prepared.by_row, "label": torch.from_numpy(rows.labels)})
    return (prepared, mask) if rows.counts is None else packed(prepared, mask, rows.counts)


def _micro_batches(parts: Parts, prepared: Prepared, mask: Tensor, *, size: int) -> Iterator[Batch]:
    """Slices of `size` rows on the device, each cut to its longest row; none that no loss has a part in."""

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(parts.hardware.device, non_blocking=True)

    documents = prepared.documents
    for begin in range(0, len(mask), size):
        part = slice(begin, begin + size)
        width = int(mask[part].sum(1).max())
        wanted, real = prepared.targets[part, :width], mask[part, :width]
        by_token = {name: value[part, :width] for name, value in prepared.by_token.items()}
        counts, rows = _counted(wanted, real, by_token), wanted != IGNORE
        if any(getattr(counts, term.per) for term in parts.objective.terms.values()):
            yield Batch(
                inputs=there(prepared.inputs[part, :width]),
                mask=None if real.all() else there(real),
                rows=there(rows),
                targets=there(wanted[rows]),
                by_token={name: there(value) for name, value in by_token.items()},
                by_row={name: there(value[part]) for name, value in prepared.by_row.items()},
                documents=None if documents is None else there(documents[part, :width]),
            )


def _predict(parts: Parts, batch: Batch, routing: Routing | None, inputs: Tensor, **options: Any) -> Any:
    """The model on a batch's rows, in the run's precision."""
    if routing is not None:
        options["routing"] = routing
    if batch.documents is not None:
        options["documents"] = batch.documents
    with parts.hardware.autocast():
        return parts.model(inputs, mask=batch.mask, **options)


def _share(parts: Parts, batch: Batch, whole: Counts) -> Losses:
    """The share of a step's loss that falls to a batch, and what is logged of it."""
    objective, routing = parts.objective, parts.model.new_routing()
    found = objective.losses(partial(_predict, parts, batch, routing), parts.loss, batch)
    loss, values = _total(objective, found.losses, whole), _flat(found)
    if routing is None:
        return Losses(loss, values)
    part = Counts(len(batch.targets), 0, len(batch.inputs))
    moe, weight = parts.config.model.moe, _weight(objective, part) / max(1, _weight(objective, whole))
    assert moe is not None
    added, notes = router_share(moe, parts.lanes, routing, share=weight)
    return Losses(loss + added, torch.cat((values, notes)))


def _flat(found: Sums) -> Tensor:
    """Losses, then cross-entropy, then notes, without graph."""
    rest = [value for value in (found.xe, found.notes) if value is not None]
    return torch.cat([found.losses.detach(), *(value.reshape(-1).to(found.losses) for value in rest)])


def _means(objective: Objective, sums: Tensor, whole: Counts) -> dict[str, Tensor]:
    """For the log, from the sums of a step or of a validation: `loss`, `xe` and what the objective adds."""
    terms, xe = objective.terms, int(objective.predicts_tokens)
    if not len(sums):
        return dict.fromkeys(("loss", "xe")[: 1 + xe], sums.new_zeros(()))
    losses, notes = sums[: len(terms)], sums[len(terms) + xe :]
    found = {"loss": _total(objective, losses, whole)}
    if xe:
        found["xe"] = sums[len(terms)] / max(1, whole.targets)
    if len(terms) > 1:
        counts = [max(1, getattr(whole, term.per)) for term in terms.values()]
        found |= {f"{name}_loss": loss / count for name, loss, count in zip(terms, losses, counts)}
    return found | objective.report(notes)


def _total(objective: Objective, losses: Tensor, whole: Counts) -> Tensor:
    """The training loss: each term's mean over the whole step times its weight."""
    scales = (term.weight / max(1, getattr(whole, term.per)) for term in objective.terms.values())
    return torch.stack([loss * scale for loss, scale in zip(losses.unbind(), scales)]).sum()


def _counted(targets: Tensor, mask: Tensor, by_token: Mapping[str, Tensor]) -> Counts:
    counted = int(by_token["counted"].sum()) if "counted" in by_token else 0
    return Counts(int((targets != IGNORE).sum()), int(mask.sum()), len(mask), counted)


def _weight(objective: Objective, counts: Counts) -> int:
    """By which steps count in the means of the log: predicted tokens, or rows."""
    return counts.targets if objective.predicts_tokens else counts.rows
