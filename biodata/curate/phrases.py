"""Caps phrases that annotation repeats, such as "hypothetical protein": at most so many texts hold one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

CAPPED = ("product", "note", "function", "feature")
"""Statements whose phrases are capped; what says who and where (organism, lineage, ...) is not."""


def cap_phrases(texts: pa.ChunkedArray, cap: int, *, seed: int) -> tuple[pa.ChunkedArray, int, int]:
    """Leaves the lines with a phrase out of all texts but `cap` of them, chosen by the seed.

    A phrase is what follows the first `: ` of a line of `CAPPED` (the last part of a `feature` line), without
    regard to case. A text of which no line but `type` and `organism` is left becomes null.

    Args:
        texts: of `biodata.curate.text_pairs`, null where a row has none.
        cap: most texts with one phrase, 1 or more.
        seed: decides which texts keep it.

    Returns:
        The texts, the number of lines left out, and the number of texts that became null.

    >>> texts = pa.chunked_array([["product: hypothetical protein"] * 3 + ["product: kinase", None]])
    >>> kept, lines, nulls = cap_phrases(texts.cast(pa.large_string()), 2, seed=0)
    >>> kept.null_count, lines, nulls
    (2, 1, 1)
    """
    column = pl.Series("text", texts).cast(pl.String)
    order = np.random.default_rng(seed).permutation(len(column))
    lines = (
        pl.DataFrame({"row": np.arange(len(column)), "order": order, "line": column.str.split("\n")})
        .explode("line")
        .drop_nulls("line")
        .with_columns(key=pl.col("line").str.extract(r"^(\w+): "))
        .with_columns(phrase=_phrase())
    )
    counted = lines.with_columns(rank=pl.col("order").rank("dense").over("phrase"))
    too_many = pl.col("phrase").is_not_null() & (pl.col("rank") > cap)
    kept = counted.filter(~too_many)
    removed = len(lines) - len(kept)
    if not removed:
        return texts, 0, 0
    joined = kept.group_by("row", maintain_order=True).agg(
        text=pl.col("line").str.join("\n"), said=(~pl.col("key").is_in(("type", "organism"))).any()
    )
    touched = counted.filter(too_many)["row"].unique()
    joined = joined.filter(pl.col("said") | ~pl.col("row").is_in(touched.implode()))
    after = pl.DataFrame({"row": np.arange(len(column))}).join(
        joined, on="row", how="left", maintain_order="left"
    )
    result = pa.chunked_array([after["text"].to_arrow().cast(pa.large_string())])
    return result, removed, result.null_count - texts.null_count


def _phrase() -> pl.Expr:
    """The phrase of a line that is capped, else null."""
    feature = pl.col("line").str.extract(r"^feature: [^:]*: (.+)$")
    plain = pl.col("line").str.extract(r"^\w+: (.+)$")
    key = pl.col("key")
    phrase = pl.when(key == "feature").then(feature).when(key.is_in(CAPPED)).then(plain)
    return phrase.str.to_lowercase().str.strip_chars(" .")
