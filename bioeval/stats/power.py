"""Which differences a test set can show at all, from the spread of a paired difference.

A two-sided test at level alpha of a normal estimate with standard error s finds a true difference d with
probability Phi(d/s - z(1 - alpha/2)), so power b needs d = (z(1 - alpha/2) + z(b)) s: 2.80 s for 5 % and 80 %
(Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2).
"""

from __future__ import annotations

from statistics import NormalDist

from biodata.errors import ConfigError

POWER = 0.8
"""The usual chance to see a difference that is there."""

_NORMAL = NormalDist()


def detectable_difference(spread: float, *, power: float = POWER, level: float = 0.95) -> float:
    """The smallest true difference that a test at `1 - level` finds with probability `power`.

    Args:
        spread: standard error of the difference, at least 0, in the unit of the metric.
        power: in (0, 1).
        level: confidence level in (0, 1).

    >>> round(detectable_difference(0.01), 4)
    0.028
    """
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} = {value}, allowed: between 0 and 1")
    return (_NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power)) * spread


def items_needed(n: int, difference: float, detectable: float) -> int | None:
    """How many items of this kind would show a difference as large as the one seen, at the same power.

    The spread falls with the root of the number of items.

    Args:
        n: items (groups where these are the units) of the test set.
        difference: seen.
        detectable: smallest difference that n items can show.

    Returns:
        At least 1; `None` for a difference of 0.

    >>> items_needed(100, 0.01, 0.02)
    400
    """
    if difference == 0:
        return None
    return max(1, round(n * (detectable / difference) ** 2))
