"""What the pictures of a dataset show: a class for each row, from a label or a column of texts.

Shapes: R rows of a split, W windows cut from them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import DataError
from biodata.progress import say
from biodata.token_cache import SplitTables
from biotrain.loader import Samples
from biotrain.models.config import ModelConfig

COLUMNS = ("organism", "source")
"""Columns that may be named in place of a label."""

LISTED = 10
"""Classes that a message names at most."""

MOST = 10_000
"""Classes; more than that are no classes but values."""


def with_classes(config: ModelConfig, dataset: SplitTables) -> ModelConfig:
    """The model with the names of its classes: those given, or all of the training split, in alphabetical
    order.

    Args:
        config: unchanged where pictures have no label.
        dataset: whose rows have it.

    Raises:
        DataError: no row has it, or none of the classes given; it is a number; there are too many.
    """
    image = config.image
    if image is None or not image.label:
        return config
    texts = _texts(dataset, "train", image.label)
    names = sorted(texts.drop_null().unique().to_pylist())
    if not names or len(names) > MOST:
        hint = f"a label of texts, up to {MOST:,} different ones, or column {' or '.join(COLUMNS)}"
        wrong = f"{len(names):,} different texts" if names else "no row has it"
        raise DataError(f"label {image.label!r}: {wrong}", where="train", hint=hint)
    if image.classes and not set(image.classes) & set(names):
        hint = f"there are: {', '.join(names[:LISTED])}"
        raise DataError(
            f"label {image.label!r}: no row has a class of {image.classes}", where="train", hint=hint
        )
    if image.classes:
        return config
    return replace(config, image=replace(image, classes=tuple(names)))


def label_windows(
    samples: Samples, offsets: npt.NDArray[np.int64], dataset: SplitTables, split: str, config: ModelConfig
) -> Samples:
    """The windows with the class of their row; as many as there are classes where it has none of them.

    Args:
        samples: of the split.
        offsets: where each row begins among all tokens, and their end.
        dataset: whose rows they were cut from.
        split: which.
        config: with its classes; without a label nothing is done.
    """
    image = config.image
    if image is None or not image.label:
        return samples
    texts = _texts(dataset, split, image.label)
    found = pc.call_function("index_in", [texts], pc.SetLookupOptions(pa.array(image.classes)))
    found = found.fill_null(len(image.classes)).to_numpy(zero_copy_only=False)
    if without := int((found == len(image.classes)).sum()):
        say(f"{split}: {without:,} of {len(found):,} rows have no class by {image.label!r}: without label")
    row = np.searchsorted(offsets, samples.start, side="right") - 1
    return replace(samples, labels=found.astype(np.int64)[row])


def _texts(dataset: SplitTables, split: str, name: str) -> pa.Array:
    """The label's text of each row [R], null where there is none.

    Raises:
        DataError: a label that is a number.
    """
    if name in COLUMNS:
        return dataset.table(split, [name])[name].combine_chunks().cast(pa.string())
    rows = dataset.table(split, ["labels"])["labels"].combine_chunks()
    inner, owner = rows.flatten(), pc.call_function("list_parent_indices", [rows])
    chosen = pc.call_function("equal", [inner.field("name"), pa.scalar(name)])
    inner, owner = inner.filter(chosen), owner.filter(chosen).to_numpy()
    if inner.field("value").null_count < len(inner):
        hint = "pictures are conditioned by classes: give a label of texts"
        raise DataError(f"label {name!r} is a number", where=split, hint=hint)
    texts = np.full(len(rows), None, dtype=object)
    texts[owner] = inner.field("text").to_numpy(zero_copy_only=False)
    return pa.array(texts, pa.string())
