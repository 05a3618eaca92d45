"""Runs a model over many windows, in batches of like length, and reads its output at some places of each.

Shapes: B rows, T tokens of the longest row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bioeval.backends.checkpoint import Checkpoint


class Pass(NamedTuple):
    """One window as the model reads it.

    Attributes:
        owner: index of the sequence.
        ids: int64 `[t]`, with specials.
        hidden: places that are masked.
        places: places whose output is read.
        targets: int64, token expected at each.
        weight: what the sum over the places counts.
    """

    owner: int
    ids: np.ndarray
    hidden: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    weight: float = 1.0


Read = Callable[[Any, Any], Any]
"""Of outputs `[n, V]` (or `[n]`) at places and their targets `[n]`, what is kept of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A model that reads windows.

    Attributes:
        checkpoint: says what rows are filled up with and where the model runs.
        model: with `logits`.
        mask_id: what stands at hidden places.
        size: rows of a batch.
    """

    checkpoint: Checkpoint
    model: Any
    mask_id: int
    size: int

    def run(self, passes: Sequence[Pass], read: Read) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each pass and what was read at its places, float64; the longest first."""
        order = sorted(range(len(passes)), key=lambda i: (-len(passes[i].ids), i))
        for start in range(0, len(order), self.size):
            numbers = order[start : start + self.size]
            yield from zip(numbers, self._batch([passes[i] for i in numbers], read))

    def _batch(self, part: Sequence[Pass], read: Read) -> list[np.ndarray]:
        import torch

        width, device = max(len(p.ids) for p in part), self.checkpoint.device
        ids = np.full((len(part), width), self.checkpoint.pad, dtype=np.int64)
        mask = np.zeros((len(part), width), dtype=np.int64)
        for row, p in enumerate(part):
            ids[row, : len(p.ids)] = p.ids
            ids[row, p.hidden] = self.mask_id
            mask[row, : len(p.ids)] = 1
        counts = [len(p.places) for p in part]
        rows = np.repeat(np.arange(len(part)), counts)
        places, targets = (np.concatenate([getattr(p, name) for p in part]) for name in ("places", "targets"))
        with torch.inference_mode():
            inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            out = self.model(**{name: value.to(device) for name, value in inputs.items()}).logits
            picked = out[torch.from_numpy(rows).to(device), torch.from_numpy(places).to(device)].float()
            kept = read(picked, torch.from_numpy(targets).to(device)).double().cpu().numpy()
        return np.split(kept, np.cumsum(counts)[:-1])
