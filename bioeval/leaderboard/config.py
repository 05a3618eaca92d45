"""What a leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biodata.errors import ConfigError
from bioeval.stats.resampling import Resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardConfig:
    """What stands on a leaderboard and where it goes."""

    inputs: tuple[str, ...] = field(
        metadata={"help": "folders of eval run, or JSON files with results of others"}
    )
    out: Path = field(metadata={"help": "the .html file; a .json and a .md of the same name stand beside it"})
    title: str = field(default="Leaderboard", metadata={"help": "heading of the page"})
    resamples: int = field(default=2000, metadata={"help": "bootstrap resamples, at least 100"})
    seed: int = field(default=0, metadata={"help": "seed of the bootstrap"})

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ConfigError("no folders given, at least one is needed")
        if Path(self.out).suffix != ".html":
            raise ConfigError(f"out = {str(self.out)!r}, allowed: a file name that ends in .html")
        twins = {self.twin(".json").resolve(), self.twin(".md").resolve()}
        for name in self.inputs:
            if Path(name).resolve() in twins:
                raise ConfigError(f"{name} would be overwritten by the twin of {self.out}: give another name")
        Resampling(resamples=self.resamples)

    def twin(self, suffix: str) -> Path:
        """The file beside the page with another suffix."""
        return Path(self.out).with_suffix(suffix)

    def resampling(self) -> Resampling:
        """How places get their intervals."""
        return Resampling(resamples=self.resamples, seed=self.seed)
