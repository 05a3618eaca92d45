"""A column of features built from plain values, and read back row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from biodata.schema import ATTRIBUTE_TYPE, FEATURE_TYPE


class FeatureColumn:
    """Builds a column of `list<FEATURE_TYPE>` from flat lists, without a dictionary per feature.

    >>> column = FeatureColumn()
    >>> column.add("gene", (0, 9, 1), {"gene": "abc"})
    >>> column.end_row()
    >>> column.array().to_pylist()[0][0]["attributes"]
    [{'key': 'gene', 'value': 'abc'}]
    """

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._features: list[tuple[str, int, int, int]] = []
        self._attribute_counts: list[int] = []
        self._keys: list[str] = []
        self._values: list[str] = []
        self._done = 0

    def add(self, kind: str, span: tuple[int, int, int], attributes: Mapping[str, str]) -> None:
        """Adds a feature to the row that is being built; `span` is start, end, strand.

        Args:
            kind: type of the feature, for example CDS.
            span: start, end (0-based, half-open) and strand (1, -1, 0 for none).
            attributes: names to values, in order.
        """
        self._features.append((kind, *span))
        self._attribute_counts.append(len(attributes))
        self._keys += attributes
        self._values += attributes.values()

    def end_row(self) -> None:
        """Ends the row; without features it is an empty list."""
        self._counts.append(len(self._features) - self._done)
        self._done = len(self._features)

    def array(self) -> pa.Array:
        """The rows ended so far."""
        pairs = pa.StructArray.from_arrays(
            [pa.array(self._keys, pa.string()), pa.array(self._values, pa.string())],
            fields=list(ATTRIBUTE_TYPE),
        )
        attributes = pa.ListArray.from_arrays(_offsets(self._attribute_counts), pairs)
        columns = list(zip(*self._features)) or [[]] * 4
        simple = [pa.array(c, FEATURE_TYPE.field(i).type) for i, c in enumerate(columns)]
        features = pa.StructArray.from_arrays([*simple, attributes], fields=list(FEATURE_TYPE))
        return pa.ListArray.from_arrays(_offsets(self._counts), features)


def _offsets(counts: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int32))
