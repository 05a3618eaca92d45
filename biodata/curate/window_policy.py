"""Whether rows are cut into windows; light, for the command line. See `biodata.curate.windows`."""

from __future__ import annotations

from dataclasses import dataclass, field

from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """Whether and how rows are cut into windows.

    >>> WindowPolicy(window=100, window_overlap=100)
    Traceback (most recent call last):
    biodata.errors.ConfigError: window_overlap is 100, allowed: 0 to window - 1, 99
    """

    window: int = field(default=0, metadata={"help": "letters of a window; 0 leaves rows whole"})
    window_overlap: int = field(default=0, metadata={"help": "letters that neighbouring windows share"})

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ConfigError(f"window is {self.window}, allowed: 0 (rows stay whole) or more")
        most = max(self.window - 1, 0)
        if not 0 <= self.window_overlap <= most:
            allowed = f"0 to window - 1, {most}"
            raise ConfigError(f"window_overlap is {self.window_overlap}, allowed: {allowed}")
