"""How probes made of torch layers are fitted: Adam, early stopping on validation, the best weights kept.

Shapes: B rows of a batch, K columns of the prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioeval.protocols import Inputs, Part
from bioeval.scores import LOWER_IS_BETTER, score

Feed = Callable[[np.ndarray], tuple[Any, ...]]
"""Row numbers `[b]` to the tensors that the module takes."""
Feeder = Callable[[Inputs], Feed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes:
        rate: learning rate, above 0.
        batch: rows of a batch, at least 2.
        epochs: at most, at least 1.
        patience: epochs without a better validation score after which it stops.
        decay: decoupled weight decay, at least 0.
        clip: largest norm of the gradient.
    """

    rate: float = 1e-3
    batch: int = 32
    epochs: int = 100
    patience: int = 10
    decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """A module with its best weights; predicts numbers `[n]` or probabilities `[n, k]`."""

    module: Any
    feeder: Feeder
    target: str
    scale: tuple[float, float]
    batch: int
    parameters: int
    notes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, inputs: Inputs) -> np.ndarray:
        """Predictions of rows."""
        return _predicted(self, self.feeder(inputs), inputs.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """One fit of a module.

    Attributes:
        make: the module for a number of outputs, its weights drawn from torch's seeded state.
        feeder: how rows become tensors.
        schedule: see there.
        metric: a name of `bioeval.scores.SCORES`: decides which epoch is kept.
        seed: of weights, order and dropout.
    """

    make: Callable[[int], Any]
    feeder: Feeder
    schedule: Schedule
    metric: str
    seed: int

    def fit(self, train: Part, validation: Part) -> Trained:
        """Fits on train; the epoch with the best validation score is kept, the first of equals."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self._fit(train, validation)

    def _fit(self, train: Part, validation: Part) -> Trained:
        import torch

        module = self.make(_outputs(train)).to(device())
        learned = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=self.schedule.rate, weight_decay=self.schedule.decay)
        trained = Trained(
            module, self.feeder, train.target, _scale(train), self.schedule.batch,
            sum(p.numel() for p in learned),
        )  # fmt: skip
        feed, loss, order = (
            self.feeder(train),
            _by_row(train, trained.scale),
            np.random.default_rng(self.seed),
        )
        best, kept, epoch_of, epoch = -np.inf, _weights(module), 0, 0
        for epoch in range(1, self.schedule.epochs + 1):
            self._epoch(module, optimizer, feed, loss=loss, order=order.permutation(train.rows))
            found = self._score(trained, validation)
            if found > best:
                best, kept, epoch_of = found, _weights(module), epoch
            if epoch - epoch_of >= self.schedule.patience:
                break
        module.load_state_dict(kept, strict=False)
        trained.notes.update(epochs=epoch, best_epoch=epoch_of)
        return trained

    def _epoch(self, module: Any, optimizer: Any, feed: Feed, *, loss: Any, order: np.ndarray) -> None:
        import torch

        module.train()
        # Even batches: a last batch of one row would have no spread to normalise by.
        for rows in np.array_split(order, max(1, round(len(order) / self.schedule.batch))):
            optimizer.zero_grad(set_to_none=True)
            loss(module(*feed(rows)), rows).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), self.schedule.clip)
            optimizer.step()

    def _score(self, trained: Trained, validation: Part) -> float:
        found = score(self.metric, validation.y, trained(validation))
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        return -np.inf if np.isnan(found) else sign * found


def device() -> str:
    """Where probes are fitted: the GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def vectors(standard: Callable[[np.ndarray], np.ndarray]) -> Feeder:
    """Rows of features, standardised.

    Args:
        standard: `bioeval.probes.features.Standard` of the train rows.
    """

    def feeder(inputs: Inputs) -> Feed:
        import torch

        x = torch.from_numpy(standard(inputs.x).astype(np.float32)).to(device())
        return lambda rows: (x[torch.from_numpy(rows).to(x.device)],)

    return feeder


def matrices(standard: Callable[[np.ndarray], np.ndarray], *, least: int) -> Feeder:
    """Token matrices `[B, T, D]`, padded with zeros, and their lengths `[B]`; of pairs B/2 first sides and
    then their second sides. Where positions are marked also the places of these in `[B * T]`.

    Args:
        standard: of the train tokens.
        least: T at least.
    """

    def feeder(inputs: Inputs) -> Feed:
        import torch

        assert inputs.lengths is not None
        every, marks, n = inputs.lengths, marks_of(inputs), inputs.rows
        ends = np.cumsum(every)

        def feed(rows: np.ndarray) -> tuple[Any, ...]:
            rows = both_sides(rows, n) if inputs.pairs else rows
            lengths = every[rows]
            parts = [standard(inputs.x[ends[r] - n : ends[r]]) for r, n in zip(rows, lengths)]
            out = np.zeros((len(rows), max(least, int(lengths.max())), parts[0].shape[1]), np.float32)
            for row, part in zip(out, parts):
                row[: len(part)] = part
            found = [out, lengths]
            if marks:
                found.append(np.concatenate([at * out.shape[1] + marks[r] for at, r in enumerate(rows)]))
            return tuple(torch.from_numpy(array).to(device()) for array in found)

        return feed

    return feeder


def marks_of(inputs: Inputs) -> list[np.ndarray]:
    """The marked positions of each row, counted from its start; empty where none are marked."""
    if inputs.marked is None:
        return []
    assert inputs.lengths is not None
    return [np.flatnonzero(row) for row in np.split(inputs.marked, np.cumsum(inputs.lengths)[:-1])]


def both_sides(rows: np.ndarray, n: int) -> np.ndarray:
    """The first sides of some of n pairs, and then their second sides, as `Inputs.pairs` has them.

    >>> both_sides(np.array([2, 0]), 3).tolist()
    [2, 0, 5, 3]
    """
    return np.concatenate([rows, rows + n])


def joined_sides(pooled: Any) -> Any:
    """`[B, D]` of B/2 first and B/2 second sides as `[B/2, 4 D]`: both, their absolute difference and their
    product, as the probes on vectors read pairs (arXiv:1705.02364, section 3.1)."""
    import torch

    first, second = pooled.chunk(2)
    return torch.cat([first, second, (first - second).abs(), first * second], dim=1)


def _predicted(trained: Trained, feed: Feed, n: int) -> np.ndarray:
    import torch

    trained.module.eval()
    size = 4 * trained.batch
    with torch.no_grad():
        blocks = [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
        raw = torch.cat([trained.module(*feed(rows)).float().cpu() for rows in blocks])
    if trained.target == "number":
        mean, spread = trained.scale
        return raw[:, 0].double().numpy() * spread + mean
    found = raw.softmax(1) if trained.target == "class" else raw.sigmoid()
    return found.double().numpy()


def _outputs(part: Part) -> int:
    if part.target == "labels":
        return part.y.shape[1]
    return part.classes if part.target == "class" else 1


def _scale(part: Part) -> tuple[float, float]:
    if part.target != "number":
        return 0.0, 1.0
    return float(part.y.mean()), float(part.y.std())


def _by_row(train: Part, scale: tuple[float, float]) -> Callable[[Any, np.ndarray], Any]:
    """The loss of some rows: of all marked positions of these, where positions are marked."""
    loss, marks = _loss(train, scale), marks_of(train)
    if not marks:
        return loss
    ends = np.cumsum([len(row) for row in marks])
    targets = [np.arange(end - len(row), end) for row, end in zip(marks, ends)]
    return lambda raw, rows: loss(raw, np.concatenate([targets[row] for row in rows]))


def _loss(train: Part, scale: tuple[float, float]) -> Callable[[Any, np.ndarray], Any]:
    """Mean squared error, cross-entropy, or binary cross-entropy of what was measured."""
    import torch
    from torch.nn import functional

    if train.target == "class":
        y = torch.tensor(train.y, dtype=torch.long).to(device())
        return lambda raw, rows: functional.cross_entropy(raw, y[torch.from_numpy(rows).to(y.device)])
    values = torch.tensor((train.y - scale[0]) / scale[1], dtype=torch.float32).to(device())
    if train.target == "number":
        return lambda raw, rows: functional.mse_loss(
            raw[:, 0], values[torch.from_numpy(rows).to(values.device)]
        )

    def labels(raw: Any, rows: np.ndarray) -> Any:
        truth = values[torch.from_numpy(rows).to(values.device)]
        known = truth.isfinite()
        each = functional.binary_cross_entropy_with_logits(raw, truth.nan_to_num(), reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    return labels


def _weights(module: Any) -> dict[str, Any]:
    """A copy of what is learned and counted: a reference would follow the training."""
    learned = {name for name, p in module.named_parameters() if p.requires_grad}
    counted = {name for name, _ in module.named_buffers()}
    return {k: v.detach().clone() for k, v in module.state_dict().items() if k in learned | counted}
