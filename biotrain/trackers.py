"""The lines of a run's log in TensorBoard or Weights & Biases besides. Imports neither before it is asked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from biodata.catalog import Catalog
from biodata.errors import require

TRACKERS = Catalog(
    "log",
    {"tensorboard": "biotrain.trackers:TensorBoard", "wandb": "biotrain.trackers:WeightsAndBiases"},
)
"""Name to class, made from (run folder, step, settings)."""


class Tracker(Protocol):
    """Takes lines of the log."""

    def add(self, record: Mapping[str, Any]) -> None:
        """A line, with its `step`."""
        ...

    def close(self) -> None:
        """After the last one."""
        ...


class TensorBoard:
    """Events in `RUN/tensorboard`, numbers by name: `train/loss`, `validation/val_loss`.

    Args:
        out: run folder.
        step: after which the run goes on; events of later ones, of a run that was killed, are hidden.
        settings: of the run, shown as text.
    """

    def __init__(self, out: Path, *, step: int, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1 if step else None)
        if not step:
            self._writer.add_text("settings", f"```json\n{json.dumps(settings, indent=2)}\n```", 0)

    def add(self, record: Mapping[str, Any]) -> None:
        """See `Tracker`."""
        for name, value in named(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of project `seqloom`, as the package's own settings say (`WANDB_MODE=offline` sends nothing).

    Args:
        out: run folder; `RUN/.wandb-id` keeps the run's name there, so that a resumed one goes on in it.
        step: unused: it takes a step again as it comes.
        settings: of the run.
    """

    def __init__(self, out: Path, *, step: int, settings: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports] - optional

        known = out / ".wandb-id"
        if not known.exists():
            known.write_text(uuid.uuid4().hex, encoding="utf-8")
        self._run = wandb.init(
            project="seqloom", name=out.name, dir=str(out), id=known.read_text(encoding="utf-8"),
            resume="allow", config=dict(settings),
        )  # fmt: skip

    def add(self, record: Mapping[str, Any]) -> None:
        """See `Tracker`."""
        self._run.log(named(record), step=record["step"])

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


def open_tracker(name: str, out: Path, *, step: int, settings: Mapping[str, Any]) -> Tracker:
    """A tracker of `TRACKERS`.

    Args:
        name: which.
        out: run folder.
        step: after which the run goes on, 0 at its beginning.
        settings: of the run, as JSON holds them.
    """
    return TRACKERS.load(name)(out, step=step, settings=settings)


def check_installed(names: Iterable[str]) -> None:
    """Looks for the packages of trackers, before there is anything to write.

    Raises:
        MissingExtraError: the first one that is not there, with the command that installs it.
    """
    for name in names:
        require(TRACKERS.resolve(name), extra=name)


def named(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line, by its kind.

    >>> named({"step": 3, "loss": 1.5})
    {'train/loss': 1.5}
    """
    kind = "validation" if "val_loss" in record else "train"
    numbers = {
        name: value for name, value in record.items() if name != "step" and not isinstance(value, bool)
    }
    return {f"{kind}/{name}": value for name, value in numbers.items()}
