"""Pairs: known ones, and partners drawn at random where a file holds only pairs that bind."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def with_negatives(table: pa.Table, *, count: int, seed: int) -> tuple[pa.Table, int]:
    """Adds pairs of label 0: the first sequence of a row with the second of another row of its split.

    Partners are drawn as often as they occur among the true pairs of the split, so that no partner alone
    tells the label; pairs that are true anywhere in the table, and repetitions, are not made. A row whose
    partners are used up gets fewer.

    Args:
        table: true pairs with `id`, `sequence`, `second`, `split`, `group`, `label` 1.
        count: drawn for each true pair.
        seed: of the draws.

    Returns:
        The table, the drawn pairs behind the true ones, and how many could not be drawn.
    """
    known = set(zip(table["sequence"].to_pylist(), table["second"].to_pylist()))
    generator = np.random.default_rng(seed)
    rows, partners, missing = [], [], 0
    splits = np.array(table["split"].to_pylist())
    first, second = table["sequence"].to_pylist(), table["second"].to_pylist()
    for split in sorted(set(splits.tolist())):
        mine = np.flatnonzero(splits == split)
        partners_there = np.array(second, object)[mine]
        for row in mine.tolist():
            drawn = _draw(first[row], partners_there, known, count=count, generator=generator)
            rows += [row] * len(drawn)
            partners += drawn
            missing += count - len(drawn)
    made = table.take(pa.array(rows, pa.int64()))
    ids = [f"{name}-n{number}" for number, name in enumerate(made["id"].to_pylist(), 1)]
    kind = table.schema.field("second").type
    columns = {"id": pa.array(ids, pa.string()), "second": pa.array(partners, kind),
               "label": pa.array(np.zeros(len(rows), np.int64))}  # fmt: skip
    for name, column in columns.items():
        at = made.schema.get_field_index(name)
        made = made.set_column(at, made.schema.field(at), column)
    return pa.concat_tables([table, made]), missing


def _draw(
    first: str, partners: np.ndarray, known: set[tuple[str, str]], *, count: int,
    generator: np.random.Generator,
) -> list[str]:  # fmt: skip
    found: list[str] = []
    for partner in generator.choice(partners, size=20 * count).tolist():
        if (first, partner) not in known:
            known.add((first, partner))
            found.append(partner)
        if len(found) == count:
            break
    return found
