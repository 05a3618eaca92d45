"""What a run is made of, built from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from biodata.errors import ConfigError, DataError
from biodata.progress import say
from biodata.token_cache import SplitTables, split_tokens
from biodata.tokenizers import Tokenizer, load_tokenizer
from biotrain.config import TrainConfig
from biotrain.device import Hardware
from biotrain.diffusion.labels import label_windows, with_classes
from biotrain.distributed import ALONE, Team
from biotrain.ema import Ema
from biotrain.estimate import steps_of
from biotrain.lanes import Lanes, lanes_for
from biotrain.layers.transformer import Transformer
from biotrain.loader import Sampled, cut_windows
from biotrain.losses import build_loss
from biotrain.models import build_model, flops_per_token
from biotrain.objectives import Objective, build_objective
from biotrain.optim import build_optimizer
from biotrain.packing import pack
from biotrain.parallel import Processes, check_sharded, shard
from biotrain.remat import checkpoint_blocks, compile_blocks
from biotrain.schedule import Schedule, build_schedule
from biotrain.start import begun_in, start_from

UNKNOWN_LIMIT = 0.01
STREAMS = {"masks": 1, "dropout": 2, "validation": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a training step touches.

    Attributes:
        steps: optimizer steps of the whole run.
        flops: floating-point operations per token of a training step, at the mean length of the windows.
        peak: FLOP/s that all processes together could do.
        team: the processes of the run.
    """

    config: TrainConfig
    hardware: Hardware
    tokenizer: Tokenizer
    train: Sampled
    validation: Sampled
    model: Transformer
    objective: Objective
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    schedule: Schedule
    lanes: Lanes
    steps: int
    flops: int
    peak: float
    team: Team

    def describe(self) -> dict[str, str | int]:
        """On what the run computes, down to what the last bits depend on."""
        processes = {} if self.team.size == 1 else {"processes": self.team.size}
        return {**self.hardware.describe(), **processes}


def build_parts(
    config: TrainConfig, dataset: SplitTables, hardware: Hardware, *, team: Team = ALONE
) -> Parts:
    """Reads and encodes the data, builds model, loss, objective and optimizer on the device.

    Args:
        config: of the run.
        dataset: tables of train and validation.
        hardware: device and number type.
        team: the processes of the run.

    Raises:
        DataError: an empty split, or one without usable sequences.
        ConfigError: parts that do not fit one another.
    """
    paths = config.paths()
    tokenizer = load_tokenizer(paths.tokenizer)
    size = tokenizer.vocab_size
    config = replace(config, model=with_classes(config.model, dataset))
    if config.vocab_size not in (None, size):
        raise ConfigError(f"vocab_size is {config.vocab_size}, but {paths.tokenizer} has {size} tokens")
    loss = build_loss(config.loss, tokens=tokenizer.tokens).to(hardware.device)
    objective = build_objective(config.objective, vocab_size=size, tokens=tokenizer.tokens)
    with team.first_ahead():
        train, validation = (
            _samples(dataset, split, config, tokenizer, objective) for split in ("train", "validation")
        )
    model = _model(config, hardware, objective, team, tokens=tokenizer.tokens)
    return Parts(
        config=config,
        hardware=hardware,
        tokenizer=tokenizer,
        train=train,
        validation=validation,
        model=model,
        objective=objective,
        loss=loss,
        optimizer=build_optimizer(model, config.optim),
        ema=_ema(config, model),
        schedule=schedule_of(config, samples=len(train)),
        lanes=_lanes(config, hardware) if team.parallel == "none" else Processes(team, model),
        steps=steps_of(config, samples=len(train)),
        flops=flops_per_token(
            config.model, vocab_size=size, length=max(1, round(train.tokens / train.windows))
        ),
        peak=hardware.peak_flops() * team.size,
        team=team,
    )


def _model(
    config: TrainConfig, hardware: Hardware, objective: Objective, team: Team, *, tokens: Sequence[str]
) -> Transformer:
    shape = config.model.architecture.of_tokens(config.model, tokens)
    model = build_model(shape, vocab_size=len(tokens), seed=config.seed)
    if config.init_from is not None and not begun_in(config):
        start_from(model, config.init_from, tokens=tokens)
    model = model.to(hardware.device)
    objective.attach(model)
    if config.gradient_checkpointing:
        checkpoint_blocks(model)
    if config.compile:
        compile_blocks(model)
    if team.parallel == "fsdp":
        check_sharded(ema_on_cpu=config.ema_on_cpu)
        shard(model, team, device=hardware.device)
    return model


def _ema(config: TrainConfig, model: nn.Module) -> Ema | None:
    return Ema(model, decay=config.ema_decay, on_cpu=config.ema_on_cpu) if config.ema_decay else None


def schedule_of(config: TrainConfig, *, samples: int) -> Schedule:
    """The learning rate over a run.

    Args:
        config: of the run.
        samples: of an epoch.
    """
    per_epoch = -(-samples // config.rows_per_step)
    steps = steps_of(config, samples=samples)
    return build_schedule(
        config.schedule, steps=steps, per_epoch=per_epoch, peak=config.optim.lr, seed=config.seed
    )


def _lanes(config: TrainConfig, hardware: Hardware) -> Lanes:
    if hardware.device.type != "cpu" or config.compile:  # compiling is no work for several threads
        return Lanes()
    shape = config.model
    drawing = (shape.pair.generator_dropout or 0.0) if shape.pair else 0.0
    dropout = max(shape.dropout, shape.attention_drop, drawing)
    return lanes_for(threads=hardware.threads, rows=config.batch_size, tokens=config.window,
                     width=shape.width, dropout=dropout)  # fmt: skip


def random_stream(seed: int, name: str, number: int) -> int:
    """The seed of one use of randomness: a function of these three alone, so that nothing is to be saved.

    Args:
        seed: of the run.
        name: key of `STREAMS`.
        number: step or batch.
    """
    state = np.random.SeedSequence([seed, STREAMS[name], number]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _samples(
    dataset: SplitTables, split: str, config: TrainConfig, tokenizer: Tokenizer, objective: Objective
) -> Sampled:
    where = f"{config.data} ({split})"
    tokens = split_tokens(dataset, split, tokenizer)
    samples = cut_windows(
        tokens, kind=tokenizer.kind, context=config.cut, overlap=int(objective.causal), where=where
    )
    if objective.needs and not np.isin(samples.ids, objective.needs).any():
        token = tokenizer.tokens[objective.needs[0]]
        raise DataError(f"no row has {token!r}, which objective {config.objective.name!r} reads", where=where)
    if samples.unknown > UNKNOWN_LIMIT:
        say(
            f"{where}: {samples.unknown:.1%} of the tokens are <unk>: is {tokenizer.kind!r} the tokenizer "
            "for these sequences (alphabet, whole codons)?"
        )
    if samples.cut:
        say(
            f"{where}: {samples.cut:,} of {samples.sequences:,} sequences are longer than the context of "
            f"{config.cut} tokens and are read in several windows"
        )
    samples = label_windows(samples, tokens.encoded.offsets, dataset, split, config.model)
    if not config.pack:
        return samples
    return pack(samples, context=config.window, room=config.window - config.cut, seed=config.seed)
