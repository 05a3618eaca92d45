"""What a training run is: every setting with its default, unit and range. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from biodata.errors import ConfigError
from biotrain.losses.config import ORDERED, LossConfig
from biotrain.models.config import ModelConfig
from biotrain.objectives.config import OWN_LOSS, ROOM, ObjectiveConfig, check_compatible, check_corrector
from biotrain.optim.config import OptimConfig
from biotrain.ranges import check_range
from biotrain.schedule_config import ScheduleConfig
from biotrain.trackers import TRACKERS

__all__ = ["OptimConfig", "ScheduleConfig", "TrainConfig", "TrainPaths"]


class TrainPaths(NamedTuple):
    """The three folders of a run."""

    data: Path
    tokenizer: Path
    out: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A whole training run.

    `data`, `tokenizer` and `out` may be left out of a recipe and of a dry run, which then takes
    `vocab_size`; training needs them.

    Raises:
        ConfigError: a value out of range, or settings that contradict one another.
    """

    data: Path | None = field(default=None, metadata={"help": "dataset folder, from `seqloom data build`"})
    tokenizer: Path | None = field(
        default=None, metadata={"help": "tokenizer folder, from `seqloom tokenizer train`"}
    )
    out: Path | None = field(default=None, metadata={"help": "run folder to write"})
    init_from: Path | None = field(
        default=None,
        metadata={"help": "run folder, or exported model folder, whose weights this run starts with; the "
                          "same model and tokenizer, all else anew; none = random weights"},
    )  # fmt: skip
    model: ModelConfig = field(default_factory=ModelConfig, metadata={"help": "shape of the model"})
    objective: ObjectiveConfig = field(
        default_factory=ObjectiveConfig, metadata={"help": "what is predicted"}
    )
    loss: LossConfig = field(default_factory=LossConfig, metadata={"help": "training loss"})
    optim: OptimConfig = field(default_factory=OptimConfig, metadata={"help": "optimizer"})
    schedule: ScheduleConfig = field(
        default_factory=ScheduleConfig, metadata={"help": "learning rate over the steps"}
    )
    batch_size: int = field(
        default=32, metadata={"help": "sequences that pass the model at once (memory), >= 1"}
    )
    accumulate: int = field(
        default=1, metadata={"help": "such batches per step; same result as one batch as large, >= 1"}
    )
    max_steps: int | None = field(
        default=None, metadata={"help": "optimizer steps, >= 1, whatever epochs says; none = by epochs"}
    )
    epochs: int = field(default=1, metadata={"help": "passes over the training split, without max_steps"})
    context: int | None = field(
        default=None,
        metadata={"help": "tokens of a sample, longer sequences are cut; none = the model's context"},
    )
    pack: bool = field(
        default=False,
        metadata={"help": "fill rows of `context` tokens with several short sequences, none seeing another; "
                          "batch_size then counts such rows"},
    )  # fmt: skip
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "average the weights with this decay and validate and export the average; 0 = no"},
    )
    ema_on_cpu: bool = field(default=False, metadata={"help": "keep the average in main memory"})
    early_stop: int = field(
        default=0, metadata={"help": "validations without gain after which to stop; 0 = never"}
    )
    eval_every: int = field(default=200, metadata={"help": "steps between validations; 0 = only at the end"})
    eval_batches: int = field(
        default=20,
        metadata={"help": "batches of a validation on the way (the last one takes all); 0 = all"},
    )
    checkpoint_every: int = field(
        default=200, metadata={"help": "steps between checkpoints; 0 = only at the end"}
    )
    keep_checkpoints: int = field(default=2, metadata={"help": "newest checkpoints to keep, >= 1; 0 = all"})
    log_every: int = field(default=10, metadata={"help": "steps between lines of training_log.jsonl, >= 1"})
    log: tuple[str, ...] = field(
        default=(),
        metadata={"help": "where the log goes too: tensorboard, wandb (each a package of its own)"},
    )
    seed: int = field(default=0, metadata={"help": "of weights, order, masks and dropout, >= 0"})
    precision: Literal["auto", "fp32", "bf16"] = field(
        default="auto", metadata={"help": "bf16 = autocast; auto = bf16 where the hardware has it"}
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "compute blocks again in the backward pass: less memory, more time"}
    )
    compile: bool = field(default=False, metadata={"help": "torch.compile the blocks"})
    parallel: Literal["auto", "none", "ddp", "fsdp"] = field(
        default="auto",
        metadata={"help": "several processes of torchrun: ddp (the model in each) or fsdp (shared out); "
                          "auto = ddp if there are several"},
    )  # fmt: skip
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1 ..."})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0 = every core this process may use"})
    vocab_size: int | None = field(
        default=None, metadata={"help": "for a dry run without a tokenizer; else the tokenizer's own"}
    )
    resume: bool = field(default=False, metadata={"help": "go on from the newest checkpoint in out"})

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "epochs", "log_every"):
            check_range(name, getattr(self, name), low=1)
        for name in ("eval_every", "eval_batches", "checkpoint_every", "keep_checkpoints", "seed", "threads",
                     "early_stop"):  # fmt: skip
            check_range(name, getattr(self, name), low=0)
        check_range("ema_decay", self.ema_decay, low=0, high=1 - 1e-9)
        if self.ema_on_cpu and not self.ema_decay:
            raise ConfigError("ema_on_cpu needs an average: give ema_decay, for example 0.999")
        if (self.early_stop or self.schedule.name == "plateau") and not self.eval_every:
            raise ConfigError("early_stop and schedule 'plateau' need validations: give eval_every")
        check_range("max_steps", 1 if self.max_steps is None else self.max_steps, low=1)
        check_range("vocab_size", 7 if self.vocab_size is None else self.vocab_size, low=7)
        if self.context is None:
            object.__setattr__(self, "context", self.model.context)
        added = ROOM.get(self.objective.name, 0)
        check_range("context", self.window, low=2 + added)
        if self.window > self.model.context:
            raise ConfigError(
                f"context {self.window} is longer than the {self.model.context} tokens that the model reads: "
                f"give --model-context {self.window} (model.context), or a shorter context"
            )
        check_range("min_lr", self.min_lr, low=0, high=self.optim.lr)
        check_range("warmup_lr", self.schedule.warmup_lr, low=0, high=self.optim.lr)
        for name in self.log:
            TRACKERS.resolve(name)
        check_compatible(self.model, self.objective.name)
        check_corrector(self.model, self.objective)
        if self.pack and not self.model.architecture.packs:
            raise ConfigError(f"model {self.model.name!r} cannot tell packed sequences apart: pack false")
        if self.objective.name in OWN_LOSS and self.loss.name != "xe":
            raise ConfigError(
                f"objective {self.objective.name!r} has a loss of its own: leave out loss {self.loss.name!r}"
            )
        if self.model.mup_base_width and self.optim.name not in ("adamw", "lion"):
            raise ConfigError(f"mup_base_width is for optimizers adamw and lion, got {self.optim.name!r}")
        if self.loss.name in ORDERED and self.objective.name != "clm":
            raise ConfigError(
                f"loss {self.loss.name!r} needs every token of a sequence predicted in order: take objective "
                f"'clm', got {self.objective.name!r}"
            )

    @property
    def window(self) -> int:
        """Tokens of a sample, special ones included."""
        return self.context or self.model.context

    @property
    def cut(self) -> int:
        """Tokens that sequences are cut to: those of a sample but what the objective adds."""
        return self.window - ROOM.get(self.objective.name, 0)

    @property
    def min_lr(self) -> float:
        """Learning rate at the end of the schedule."""
        return self.schedule.lowest(self.optim.lr)

    @property
    def rows_per_step(self) -> int:
        """Sequences of one optimizer step."""
        return self.batch_size * self.accumulate

    def paths(self) -> TrainPaths:
        """The folders, all three given.

        Raises:
            ConfigError: one is missing.

        >>> TrainConfig(data=Path("d"), tokenizer=Path("t")).paths()
        Traceback (most recent call last):
        biodata.errors.ConfigError: training needs 'out' (run folder to write): give --out DIR
        """
        for name in TrainPaths._fields:
            if getattr(self, name) is None:
                about = type(self).__dataclass_fields__[name].metadata["help"]
                raise ConfigError(f"training needs {name!r} ({about}): give --{name} DIR")
        assert self.data and self.tokenizer and self.out
        return TrainPaths(self.data, self.tokenizer, self.out)
