"""Probes that train the model too: low-rank adapters (`lora`) or all weights (`full`).

A linear head stands on the mean of the last hidden states of all real tokens; of a sequence longer than the
context, over all its windows, as the frozen embeddings are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from biodata.errors import ConfigError
from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.low_rank import adapt
from bioeval.probes.torch_fit import Feed, Feeder, Fitting, Schedule, Trained, device
from bioeval.protocols import Fitted, Inputs, Part


class Tunable(Protocol):
    """An embedder whose model can be trained.

    Attributes:
        name: for messages.
        checkpoint: has `pad`, the id that windows are filled up with.
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
    """

    reads: ClassVar[Literal["sequences"]] = "sequences"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    name: str
    rates: tuple[float, ...]
    rank: int = 0
    alpha: float = 16.0
    schedule: Schedule = field(default_factory=lambda: Schedule(batch=16, epochs=20, patience=3))
    model: Tunable | None = None

    def of(self, embedder: Any) -> FineTune:
        """The probe for an embedder.

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
        return replace(self, model=embedder)

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
                return _with_head(body, outputs)

            schedule = replace(self.schedule, rate=setting["rate"])
            how = Fitting(make=make, feeder=_windows(model), schedule=schedule, metric=metric, seed=seed)
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


def _windows(model: Tunable) -> Feeder:
    from bioeval.backends.windows import padded

    def feeder(inputs: Inputs) -> Feed:
        by_owner: list[list[Any]] = [[] for _ in inputs.sequences]
        for window in model.windows(list(inputs.sequences)):
            by_owner[window.owner].append(window)

        def feed(rows: np.ndarray) -> tuple[Any, ...]:
            import torch

            batch = [(at, window) for at, row in enumerate(rows) for window in by_owner[row]]
            ids, mask = padded([window for _, window in batch], model.checkpoint.pad)
            real = np.zeros(ids.shape, dtype=np.float32)
            for row, (_, window) in zip(real, batch):
                row[window.start : window.end] = 1
            owners = np.array([at for at, _ in batch])
            arrays = (ids, mask, real, owners)
            return *(torch.from_numpy(array).to(device()) for array in arrays), len(rows)

        return feed

    return feeder


def _with_head(body: Any, outputs: int) -> Any:
    import torch
    from torch import nn

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.head = nn.Linear(body.config.hidden_size, outputs)
            self.dropout = nn.Dropout(0.1)

        def forward(self, ids: Any, mask: Any, real: Any, owners: Any, rows: int) -> Any:
            hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
            sums = (hidden * real[..., None]).sum(1)
            pooled = torch.zeros(rows, hidden.shape[2], device=hidden.device).index_add(0, owners, sums)
            counts = torch.zeros(rows, device=hidden.device).index_add(0, owners, real.sum(1))
            return self.head(self.dropout(pooled / counts[:, None]))

    return Module()
