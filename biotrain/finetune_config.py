"""What reward fine-tuning is: settings of `biotrain.finetune`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biodata.errors import ConfigError
from biotrain.optim.config import OptimConfig
from biotrain.ranges import check_range


def _optim() -> OptimConfig:
    return OptimConfig(lr=1e-5, weight_decay=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig:
    """A fine-tuning of a causal model by rewards of the sequences that it makes.

    Raises:
        ConfigError: a value out of range.

    >>> FinetuneConfig(run=Path("run"), out=Path("new"), reward="gc=0.5", group_size=1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: finetune group_size must be 2 or more, got 1
    """

    run: Path = field(
        metadata={"help": "run folder, or exported model folder, of the causal model to start from"}
    )
    out: Path = field(metadata={"help": "run folder to write"})
    reward: str = field(
        metadata={"help": "what is rewarded: a measure of `eval sequences` (more of a share, less of a "
                          "distance), NAME=TARGET for nearness to a value (gc=0.5), or module:function of a "
                          "list of strings"}
    )  # fmt: skip
    reference: Path | None = field(
        default=None,
        metadata={"help": "natural sequences that a distance is measured from: FASTA, Parquet, dataset"},
    )
    prompt: str = field(default="", metadata={"help": "sequence that all begin with"})
    max_length: int = field(
        default=0,
        metadata={"help": "most tokens of a sequence, prompt included; 0 = as many as the model reads"},
    )
    groups: int = field(default=4, metadata={"help": "groups of sequences of a step, 1 or more"})
    group_size: int = field(
        default=16, metadata={"help": "sequences that are judged against one another, 2 or more"}
    )
    updates: int = field(
        default=1, metadata={"help": "optimizer updates on the sequences of a step, 1 or more"}
    )
    clip: float = field(
        default=0.2, metadata={"help": "how far a token's probability may move in a step for gain, 0 to 1"}
    )
    kl: float = field(
        default=0.04,
        metadata={"help": "weight of the divergence from the start model, 0 or more; 0 = no leash"},
    )
    balance_loss: float | None = field(
        default=None,
        metadata={
            "help": "models with experts: coefficient of the load-balance loss, >= 0; none = the model's"
        },
    )
    z_loss: float | None = field(
        default=None,
        metadata={"help": "models with experts: coefficient of the router's z loss, >= 0; none = 0.001"},
    )
    optim: OptimConfig = field(default_factory=_optim, metadata={"help": "optimizer"})
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "average the weights with this decay and export the average; 0 = no"},
    )
    ema_on_cpu: bool = field(default=False, metadata={"help": "keep the average in main memory"})
    max_steps: int = field(default=100, metadata={"help": "steps, each with new sequences, 1 or more"})
    batch_size: int = field(default=64, metadata={"help": "sequences that pass the model at once (memory)"})
    log_every: int = field(default=1, metadata={"help": "steps between lines of training_log.jsonl, >= 1"})
    checkpoint_every: int = field(
        default=20, metadata={"help": "steps between checkpoints; 0 = only at the end"}
    )
    keep_checkpoints: int = field(default=2, metadata={"help": "newest checkpoints to keep, >= 1; 0 = all"})
    seed: int = field(default=0, metadata={"help": "of the sequences drawn, >= 0"})
    parallel: str = field(
        default="auto",
        metadata={"help": "several processes of torchrun: ddp (the model in each); auto = that if there are "
                          "several"},
    )  # fmt: skip
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1 ..."})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0 = every core this process may use"})
    resume: bool = field(default=False, metadata={"help": "go on from the newest checkpoint in out"})

    def __post_init__(self) -> None:
        for name in ("groups", "updates", "max_steps", "batch_size", "log_every"):
            check_range(f"finetune {name}", getattr(self, name), low=1)
        check_range("finetune group_size", self.group_size, low=2)
        for name in ("max_length", "kl", "checkpoint_every", "keep_checkpoints", "seed", "threads"):
            check_range(f"finetune {name}", getattr(self, name), low=0)
        check_range("finetune clip", self.clip, low=0, high=1)
        if self.updates == 1 and self.clip != type(self).__dataclass_fields__["clip"].default:
            raise ConfigError(
                f"finetune clip {self.clip:g} does nothing in the first update on what was drawn: "
                "give updates 2 or more, or leave it out"
            )
        for name in ("balance_loss", "z_loss"):
            check_range(f"finetune {name}", getattr(self, name) or 0, low=0)
        check_range("finetune ema_decay", self.ema_decay, low=0, high=1 - 1e-9)
        if self.ema_on_cpu and not self.ema_decay:
            raise ConfigError("finetune ema_on_cpu needs an average: give ema_decay, for example 0.99")
        if self.parallel == "fsdp":
            raise ConfigError(
                "finetune parallel 'fsdp': sequences are drawn token by token, and every part of the model "
                "would be sent for each: give ddp"
            )
        if self.parallel not in ("auto", "none", "ddp"):
            raise ConfigError(f"finetune parallel is {self.parallel!r}, allowed: auto, none, ddp")
        if not self.reward.strip():
            raise ConfigError("finetune reward is empty: give for example gc=0.5 or module:function")

    @property
    def sequences(self) -> int:
        """Sequences of a step."""
        return self.groups * self.group_size
