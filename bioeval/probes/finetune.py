"""Probes that train the model too: low-rank adapters (`lora`) or all weights (`full`).

A linear head stands on the mean of the last hidden states of all real tokens; of a sequence longer than the
context, over all its windows, as the frozen embeddings are made. Of a pair both sides go through the one
model, and the head reads both means, their difference and product; of single positions it stands on the mean
of the tokens that cover each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.low_rank import adapt
from bioeval.probes.torch_fit import (
    Feed,
    Feeder,
    Fitting,
    Schedule,
    Trained,
    both_sides,
    device,
    joined_sides,
    marks_of,
)
from bioeval.protocols import Fitted, Inputs, Part


class Tunable(Protocol):
    """An embedder whose model can be trained.

    Attributes:
        name: for messages.
        checkpoint: has `pad`, the id that windows are filled up with, and for single positions the tokenizer
            (`bioeval.backends.checkpoint.Checkpoint`).
    """

    name: str
    checkpoint: Any

    def fresh_model(self) -> Any:
        """A new model of the embedder's weights."""
        ...

    def windows(self, sequences: Sequence[str]) -> Sequence[Any]:
        """`bioeval.backends.windows.Window` of all sequences."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """Training of a model with a head.

    Attributes:
        name: `lora` or `full`.
        rates: learning rates tried, rising.
        rank: r of the adapters, 0 trains all weights.
        alpha: scale of the adapters.
        schedule: of every fit.
        model: what is trained, given by `of`.
        width: letters of a single position, 0 where each token is one; given by `of`.
    """

    reads: ClassVar[Literal["sequences"]] = "sequences"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    positions: ClassVar[bool] = True
    name: str
    rates: tuple[float, ...]
    rank: int = 0
    alpha: float = 16.0
    schedule: Schedule = field(default_factory=lambda: Schedule(batch=16, epochs=20, patience=3))
    model: Tunable | None = None
    width: int = 1

    def of(self, embedder: Any, *, width: int = 1) -> FineTune:
        """The probe for an embedder.

        Args:
            embedder: whose model is trained.
            width: see the class.

        Raises:
            ConfigError: it has no weights to train, or embeds otherwise than the probe does.
        """
        if not hasattr(embedder, "fresh_model"):
            raise ConfigError(f"probe {self.name} trains a model, {embedder.name} has no weights to train")
        settings = embedder.settings
        for what, usual in (("layer", "last"), ("pooling", "mean")):
            given = getattr(settings, what)
            if given != usual:
                raise ConfigError(f"{what} = {given!r} does nothing: probe {self.name} takes {usual!r}")
        return replace(self, model=embedder, width=width)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Trains with every rate on train and takes the best by `metric` on validation.

        Raises:
            ConfigError: without a model.
            DataError: too few rows, or a target that never varies.
        """
        if self.model is None:
            raise ConfigError(f"probe {self.name} needs a model: FineTune.of(embedder)")
        check_parts(train, validation)
        model, layers = self.model, list[str]()

        def fit(setting: Setting) -> Trained:
            def make(outputs: int) -> Any:
                body = model.fresh_model().float()
                layers[:] = adapt(body, rank=self.rank, alpha=self.alpha) if self.rank else ["all"]
                return _with_head(body, outputs, pairs=train.pairs)

            schedule = replace(self.schedule, rate=setting["rate"])
            feeder = _windows(model, self.width)
            how = Fitting(make=make, feeder=feeder, schedule=schedule, metric=metric, seed=seed)
            return how.fit(train, validation)

        notes = {"rank": self.rank, "alpha": self.alpha} if self.rank else {}
        search = Search(probe=self.name, metric=metric, seed=seed, grid={"rate": self.rates}, notes=notes)
        found = choose(search, fit, validation)
        trained = {"trained_layers": len(layers)} if self.rank else {}
        return replace(found, settings={**found.settings, **trained, "fitted_on": "train, model and head"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank(FineTune):
    """Adapters of rank 8 in the attention projections; the rest of the model stays as it is."""

    name: str = "lora"
    rates: tuple[float, ...] = (3e-4, 1e-3)
    rank: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(FineTune):
    """All weights."""

    name: str = "full"
    rates: tuple[float, ...] = (2e-5, 1e-4)


def _windows(model: Tunable, width: int) -> Feeder:
    """Ids and mask `[W, T]` of the windows of some rows, the places in `[W * T]` of their tokens, the slot
    that each token is pooled into, and the number of slots: rows, sides of pairs, or marked positions."""
    from bioeval.backends.windows import padded

    def feeder(inputs: Inputs) -> Feed:
        sequences, n = list(inputs.sequences), inputs.rows
        by_owner: list[list[Any]] = [[] for _ in sequences]
        for window in model.windows(sequences):
            by_owner[window.owner].append(window)
        covered = _marked_tokens(model, inputs, width)

        def feed(rows: np.ndarray) -> tuple[Any, ...]:
            import torch

            owners = both_sides(rows, n) if inputs.pairs else rows
            batch = [(at, window) for at, owner in enumerate(owners) for window in by_owner[owner]]
            ids, mask = padded([window for _, window in batch], model.checkpoint.pad)
            places = _places(batch, len(owners), ids.shape[1])
            tokens, slots, count = _slots(places, [covered[owner] for owner in owners] if covered else [])
            arrays = (ids, mask, tokens, slots)
            return *(torch.from_numpy(array).to(device()) for array in arrays), count

        return feed

    return feeder


def _places(batch: list[tuple[int, Any]], rows: int, longest: int) -> list[np.ndarray]:
    """Where the tokens of each row stand in its windows, one window of `longest` tokens after the other."""
    found: list[list[np.ndarray]] = [[] for _ in range(rows)]
    for number, (at, window) in enumerate(batch):
        found[at].append(number * longest + np.arange(window.start, window.end))
    return [np.concatenate(parts) for parts in found]


def _slots(
    places: list[np.ndarray], covered: list[tuple[np.ndarray, np.ndarray, int]]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Places of tokens, the slot of each, and how many slots there are: one a row, or those of `covered`."""
    if not covered:
        return (
            np.concatenate(places),
            np.repeat(np.arange(len(places)), [len(p) for p in places]),
            len(places),
        )
    first = np.cumsum([0, *(count for _, _, count in covered)])
    tokens = np.concatenate([row[tokens] for row, (tokens, _, _) in zip(places, covered)])
    slots = np.concatenate([start + slots for start, (_, slots, _) in zip(first, covered)])
    return tokens, slots, int(first[-1])


def _marked_tokens(model: Tunable, inputs: Inputs, width: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Of each row the tokens that cover a marked position, which of these it is, and how many there are."""
    marks = marks_of(inputs)
    if not marks:
        return []
    from bioeval.backends.units import covered_units

    assert inputs.lengths is not None
    found = []
    cover = covered_units(model.checkpoint, list(inputs.sequences), width=width)
    for (tokens, units), mark, length in zip(cover, marks, inputs.lengths.tolist()):
        if (positions := int(units.max(initial=-1)) + 1) != length:
            raise DataError(f"{positions} positions of a sequence with {length} targets", where=model.name)
        number = np.full(length, -1)
        number[mark] = np.arange(len(mark))
        kept = number[units] >= 0
        found.append((tokens[kept], number[units[kept]], len(mark)))
    return found


def _with_head(body: Any, outputs: int, *, pairs: bool) -> Any:
    import torch
    from torch import nn

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.head = nn.Linear((4 if pairs else 1) * body.config.hidden_size, outputs)
            self.dropout = nn.Dropout(0.1)

        def forward(self, ids: Any, mask: Any, tokens: Any, slots: Any, count: int) -> Any:
            states = self.body(input_ids=ids, attention_mask=mask).last_hidden_state.flatten(0, 1)[tokens]
            sums = torch.zeros(count, states.shape[1], device=states.device).index_add(0, slots, states)
            pooled = sums / torch.bincount(slots, minlength=count)[:, None]
            return self.head(self.dropout(joined_sides(pooled) if pairs else pooled))

    return Module()
