"""What to generate: settings of `biotrain.generate`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biodata.errors import ConfigError
from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig:
    """What to generate, and how freely.

    Raises:
        ConfigError: a value out of range.

    >>> GenerateConfig(run=Path("run"), out=Path("new.fasta"), top_p=0)
    Traceback (most recent call last):
    biodata.errors.ConfigError: generate top_p must be over 0 and at most 1, got 0
    """

    run: Path = field(
        metadata={"help": "run folder, or exported model folder, of a causal or diffusion model"}
    )
    out: Path = field(metadata={"help": "FASTA file to write (.gz: compressed), or .npy for pictures"})
    num: int = field(default=100, metadata={"help": "number of sequences, 1 or more"})
    temperature: float = field(
        default=1.0, metadata={"help": "divides the logits; 0 = always the likeliest token, 1 = as trained"}
    )
    top_k: int = field(default=0, metadata={"help": "sample among the k likeliest tokens; 0 = all"})
    top_p: float = field(
        default=1.0,
        metadata={"help": "sample among the likeliest tokens that hold this probability, over 0 to 1"},
    )
    seed: int = field(default=0, metadata={"help": "of the random numbers, 0 or more"})
    max_length: int = field(
        default=0,
        metadata={"help": "most tokens of a sequence, prompt included; 0 = as many as the model can read"},
    )
    prompt: str = field(default="", metadata={"help": "sequence that all begin with"})
    suffix: str = field(
        default="", metadata={"help": "sequence that all end with, the gap after prompt being filled (fim)"}
    )
    text: str = field(
        default="", metadata={"help": "what the sequences are to be, in words (text_to_sequence)"}
    )
    batch_size: int = field(default=64, metadata={"help": "sequences made side by side, 1 or more"})
    steps: int = field(
        default=0,
        metadata={"help": "diffusion: steps from noise to result; 0 = one for each token, for pictures 100"},
    )
    label: str = field(default="", metadata={"help": "pictures: the class that all are to be of"})
    guidance: float = field(
        default=1.0,
        metadata={"help": "pictures: how much more of the label than without one; 1 = as learned, 0 or more"},
    )
    fresh_noise: bool = field(
        default=False, metadata={"help": "pictures: add noise in every step (DDPM) instead of none (DDIM)"}
    )

    def __post_init__(self) -> None:
        for name in ("num", "batch_size"):
            check_range(f"generate {name}", getattr(self, name), low=1)
        for name in ("temperature", "top_k", "seed", "max_length", "steps", "guidance"):
            check_range(f"generate {name}", getattr(self, name), low=0)
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"generate top_p must be over 0 and at most 1, got {self.top_p!r}")
        for name, given in (("top_k", self.top_k != 0), ("top_p", self.top_p != 1)):
            if given and self.temperature == 0:
                raise ConfigError(f"generate {name} does nothing at temperature 0, which takes the likeliest "
                                  "token: leave it out")  # fmt: skip
