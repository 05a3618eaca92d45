"""What a run says of itself: the lines of `training_log.jsonl` and `summary.json`."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

import biodata
from biotrain.checkpoint import RunState
from biotrain.device import Hardware
from biotrain.loader import Sampled
from biotrain.log import SUMS, perplexity
from biotrain.models import count_parameters
from biotrain.objectives.config import OWN_LOSS
from biotrain.parts import Parts

WALL_CLOCK = ("seconds", "tokens_per_s", "mfu", "memory_bytes")
"""Fields of the log that depend on how fast the machine was, and how full."""


class Interval(NamedTuple):
    """What happened since the last line.

    Attributes:
        sums: of `biotrain.log.Meter`.
        lr: learning rate of the last step.
        grad_norm: of the last step, before clipping.
    """

    sums: Mapping[str, float]
    lr: float
    grad_norm: float


def training_line(parts: Parts, state: RunState, interval: Interval) -> dict[str, Any]:
    """A line on training; `state` stands at its end.

    Args:
        parts: what the run is made of.
        state: where the run stands at the end of the line's interval.
        interval: sums since the line before.
    """
    config, sums = parts.config, interval.sums
    targets = max(1.0, sums["targets"])
    per_epoch = -(-len(parts.train) // config.rows_per_step)
    rate = sums["tokens"] / max(1e-9, sums["seconds"])
    xe = sums["xe"] / targets
    return {
        "step": state.step,
        "epoch": round(state.epoch + state.batch / per_epoch, 6),
        "tokens": state.tokens,
        "loss": sums["loss"] / targets,
        **({"xe": xe, "perplexity": perplexity(xe)} if parts.objective.predicts_tokens else {}),
        "lr": interval.lr,
        "grad_norm": interval.grad_norm,
        **{name: value / targets for name, value in sums.items() if name not in SUMS},
        "seconds": round(state.train_seconds, 3),
        "tokens_per_s": round(rate, 1),
        "mfu": _mfu(parts, rate),
        "memory_bytes": peak_memory(parts.hardware),
    }


def summary_of(parts: Parts, state: RunState, scores: Mapping[str, Any]) -> dict[str, Any]:
    """A finished run, as `summary.json` has it.

    Args:
        parts: of the run.
        state: at its end.
        scores: of the validation on the whole split.
    """
    config, rate = parts.config, state.tokens / max(1e-9, state.train_seconds)
    versions = {"seqloom": biodata.__version__, "python": platform.python_version()}
    versions |= {"torch": torch.__version__, "numpy": np.__version__}
    return {
        "step": state.step,
        "tokens": state.tokens,
        "train_loss": state.train_loss,
        **scores,
        "tokens_per_s": round(rate, 1),
        "mfu": _mfu(parts, rate),
        "seconds": round(state.train_seconds, 3),
        "memory_bytes": peak_memory(parts.hardware),
        "parameters": count_parameters(config.model, vocab_size=parts.tokenizer.vocab_size),
        "flops_per_token": parts.flops,
        "peak_flops": parts.peak,
        "stopped_early": state.stopped,
        "objective": config.objective.in_use(),
        "loss": None if config.objective.name in OWN_LOSS else config.loss.in_use(),
        "weights": "last" if parts.ema is None else f"average (ema_decay {config.ema_decay:g})",
        "data": {"train": _described(parts.train), "validation": _described(parts.validation)},
        "inputs": state.inputs,
        **state.provenance,
        "hardware": state.hardware,
        "versions": versions,
    }


def peak_memory(hardware: Hardware) -> int:
    """Bytes: the most that this process has had allocated on its GPU, or in main memory without one."""
    if hardware.device.type == "cuda":
        return torch.cuda.max_memory_allocated(hardware.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _mfu(parts: Parts, rate: float) -> float:
    """Model FLOP/s over the FLOP/s that the hardware could do (PaLM, arXiv:2204.02311, appendix B)."""
    return round(rate * parts.flops / parts.peak, 4)


def _described(samples: Sampled) -> dict[str, float]:
    return {
        "sequences": samples.sequences,
        "samples": len(samples),
        "cut_sequences": samples.cut,
        "tokens": samples.tokens,
        "unknown_rate": samples.unknown,
    }
