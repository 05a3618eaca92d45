"""Splits by date: the past is train, the future test."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError, DataError
from biodata.schema import SPLITS
from biodata.splits.config import SplitConfig
from biodata.splits.ways import Rows, Units

_ISO = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?(?:[T ].*)?")
_GENBANK = re.compile(r"(?:(\d{1,2})-)?([A-Za-z]{3})-(\d{4})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNDATED = -1


def by_time(rows: Rows, config: SplitConfig) -> Units:
    """Rows by their date, each day whole: before the cuts, or so that the splits come near the fractions.

    Raises:
        DataError: a row without a date, or one that is none.
    """
    days = _days(rows.columns[config.date], config)
    cuts = _given(config) if config.cuts else _by_share(days, config)
    place = np.searchsorted(np.array(cuts), days, side="right").astype(np.int8)
    first, second = (str(date.fromordinal(cut)) for cut in cuts)
    info = {"method": "time", "date": config.date, "rows_without_value": int((days == _UNDATED).sum()),
            "validation_from": first, "test_from": second}  # fmt: skip
    _check_filled(place, config, info)
    return Units(labels=np.arange(len(days)), whole=True, place=place, info=info)


def parse_day(text: str) -> int | None:
    """Day number (proleptic Gregorian ordinal) of a date; of a year or month alone its first day.

    `2020`, `2020-03`, `2020-03-09`, `2020/3/9`, `2020-03-09T12:00`, and GenBank's `09-MAR-2020`, `Mar-2020`.

    >>> date.fromordinal(parse_day("2020-03")), date.fromordinal(parse_day("21-JUL-2016")), parse_day("soon")
    (datetime.date(2020, 3, 1), datetime.date(2016, 7, 21), None)
    """
    text = text.strip()
    if found := _ISO.fullmatch(text):
        year, month, day = (int(part) if part else 1 for part in found.groups())
    elif (found := _GENBANK.fullmatch(text)) and found[2].lower() in _MONTHS:
        year, month, day = int(found[3]), _MONTHS.index(found[2].lower()) + 1, int(found[1] or 1)
    else:
        return None
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return None


def _days(column: pa.ChunkedArray, config: SplitConfig) -> np.ndarray:
    numbers: dict[str | None, int] = {None: _UNDATED, "": _UNDATED}
    for text in column.unique().to_pylist():
        if text:
            day = parse_day(text)
            if day is None:
                raise DataError(f"{config.date} is {text!r}, which is no date",
                                hint="allowed: 2020, 2020-03, 2020-03-09, 09-MAR-2020")  # fmt: skip
            numbers[text] = day
    days = np.array([numbers[text] for text in column.to_pylist()], np.int64)
    if config.undated == "error" and (days == _UNDATED).any():
        raise DataError(f"{int((days == _UNDATED).sum())} of {len(days)} rows have no {config.date}",
                        hint="--undated train puts them there")  # fmt: skip
    return days


def _given(config: SplitConfig) -> list[int]:
    days = [parse_day(text) for text in config.cuts]
    first, second = days
    if first is None or second is None or first > second:
        raise ConfigError(f"cuts are {config.cuts}, allowed: two dates, the earlier first")
    return [first, second]


def _by_share(days: np.ndarray, config: SplitConfig) -> list[int]:
    """First days of validation and of test, those that bring the rows before them nearest to the shares."""
    distinct, counts = np.unique(days, return_counts=True)
    starts = np.append(distinct, distinct[-1] + 1)
    before = np.concatenate([[0], np.cumsum(counts)])
    cuts, low = [], 0
    for number, share in enumerate(np.cumsum(config.fractions)[:2]):
        wanted = sum(part > 0 for part in config.fractions[number + 1 :])
        low += config.fractions[number] > 0
        high = max(low, len(distinct) - wanted)
        at = int(np.abs(before - share * len(days)).argmin())
        at = min(max(at, low), high, len(distinct))
        low = at
        cuts.append(int(starts[at]))
    return cuts


def _check_filled(place: np.ndarray, config: SplitConfig, info: dict[str, str]) -> None:
    for number, name in enumerate(SPLITS):
        if config.fractions[number] > 0 and not (place == number).any():
            raise DataError(
                f"no row is in {name}: validation begins {info['validation_from']}, test {info['test_from']}",
                hint="give other cuts, or a share of 0 to a split that is to be empty",
            )
