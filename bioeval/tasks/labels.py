"""Whether enough rows of a dataset have a label, asked before a model is trained for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.dataset import Dataset, open_dataset
from biodata.errors import DataError
from biodata.schema import SPLITS
from bioeval.scores import LEAST_ROWS


def check_labels(folder: Path, labels: Sequence[str]) -> None:
    """Refuses labels that no probe can be fitted to; reads nothing but the column `labels`.

    Args:
        folder: a finished dataset.
        labels: names, numbers each.

    Raises:
        DataError: a split with fewer than `LEAST_ROWS` rows of a label, or a label that is a text.
    """
    dataset = open_dataset(folder)
    numbers, texts = {}, Counter[str]()
    for split in SPLITS:
        numbers[split], found = _counts(dataset, split)
        texts += found
    known = sorted({name for counts in numbers.values() for name in counts})
    for label in labels:
        if texts[label]:
            hint = f"labels that are numbers: {', '.join(known) or 'none'}"
            raise DataError(f"label {label!r} is a text in {texts[label]} rows", where=folder, hint=hint)
        for split, counts in numbers.items():
            if counts[label] < LEAST_ROWS:
                raise DataError(
                    f"label {label!r}: {counts[label]} rows of the {split} split are labelled, at least "
                    f"{LEAST_ROWS} are needed to evaluate it", where=folder, hint=_advice(label, known),
                )  # fmt: skip


def _advice(label: str, known: list[str]) -> str:
    if label not in known:
        return f"name one that is there in evaluate.labels: {', '.join(known) or 'none is'}; or leave it out"
    return ("label more records in data.read.labels, give the split more rows with data.split.fractions, "
            "or take the label out of evaluate.labels")  # fmt: skip


def _counts(dataset: Dataset, split: str) -> tuple[Counter[str], Counter[str]]:
    """For each label the rows of a split where it is a number, and where it is a text."""
    numbers, texts = Counter[str](), Counter[str]()
    for path in dataset.files(split):
        for chunk in pq.read_table(path, columns=["labels"])["labels"].chunks:
            flat = chunk.flatten()
            is_number = flat.field("value").is_valid()
            numbers.update(_tally(flat.field("name").filter(is_number)))
            texts.update(_tally(flat.field("name").filter(pc.call_function("invert", [is_number]))))
    return numbers, texts


def _tally(names: pa.Array) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in names.value_counts().to_pylist()}
