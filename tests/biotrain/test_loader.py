"""biotrain.loader: nothing lost, nothing twice, an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import DataError
from biodata.token_cache import Tokens
from biodata.tokenizers import Encoded
from biodata.tokenizers.special import BOS, EOS, PAD, UNK
from biotrain.loader import Samples, batches_from, cut_windows, epoch_batches, fixed_batches


class Letters:
    """Each letter a token, A = 6."""

    kind = "letters"

    def encode_column(self, column: pa.ChunkedArray) -> Encoded:
        rows = [[BOS, *(6 + ord(c) - ord("A") for c in s), EOS] for s in column.to_pylist()]
        offsets = np.cumsum([0, *map(len, rows)])
        return Encoded(np.array([i for row in rows for i in row], dtype=np.uint8), offsets.astype(np.int64))


def samples_of(sequences: list[str], *, context: int = 8, overlap: int = 0) -> Samples:
    column = pa.chunked_array([pa.array(sequences, pa.large_string())])
    tokens = tokens_of(Letters(), column)
    return cut_windows(tokens, kind="letters", context=context, overlap=overlap, where="x (train)")


def tokens_of(tokenizer: Letters, column: pa.ChunkedArray) -> Tokens:
    encoded = tokenizer.encode_column(column)
    return Tokens(encoded, int((encoded.ids == UNK).sum()))


sequences = st.lists(st.text("ABCDEFGH", max_size=30), min_size=1, max_size=40).filter(any)


@settings(deadline=None, max_examples=50)
@given(sequences, st.integers(2, 9), st.integers(0, 1))
def test_windows_hold_every_token(rows: list[str], context: int, overlap: int) -> None:
    samples = samples_of(rows, context=context, overlap=overlap)
    windows = [
        samples.ids[start : start + size].tolist() for start, size in zip(samples.start, samples.length)
    ]
    assert max(map(len, windows)) <= context
    # put together again, without what a window repeats of the one before, they are all tokens in order
    joined = [t for w in windows for t in (w if w[0] == BOS else w[overlap:])]
    assert joined == samples.ids.tolist()
    if overlap:  # every token but <bos> is the target of exactly one window
        assert sum(len(w) - 1 for w in windows) == len(samples.ids) - len(rows)
    assert samples.cut == sum(len(row) + 2 > context for row in rows)


@settings(deadline=None, max_examples=30)
@given(sequences, st.integers(1, 7), st.integers(0, 3))
def test_an_epoch_has_every_window_once(rows: list[str], size: int, seed: int) -> None:
    samples = samples_of(rows)
    batches = epoch_batches(samples, size=size, seed=seed, epoch=2)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(samples)))
    assert len(batches) == -(-len(samples) // size)
    again = epoch_batches(samples, size=size, seed=seed, epoch=2)
    assert all((a == b).all() for a, b in zip(batches, again))


def test_padding_and_mask() -> None:
    samples = samples_of(["AB", "ABCD"])
    rows = samples.rows(np.array([0, 1]))
    assert rows.ids.tolist() == [[BOS, 6, 7, EOS, PAD, PAD], [BOS, 6, 7, 8, 9, EOS]]
    assert rows.mask.sum(1).tolist() == [4, 6] and rows.ids.dtype == np.int64


def test_batches_are_of_like_lengths() -> None:
    random = np.random.default_rng(0)
    rows = ["A" * int(n) for n in random.integers(1, 60, 2000)]
    samples = samples_of(rows, context=64)
    padded = sum(samples.rows(b).mask.size for b in epoch_batches(samples, size=16, seed=0, epoch=0))
    assert padded < 1.05 * samples.tokens


def test_epochs_and_seeds_differ() -> None:
    samples = samples_of(["A" * n for n in range(1, 7)] * 30)
    first = [epoch_batches(samples, size=4, seed=s, epoch=e)[0].tolist() for s, e in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(batch) for batch in first}) == 3


def test_any_position_can_be_gone_on_from() -> None:
    samples = samples_of(["A" * n for n in range(1, 7)] * 3)
    whole = list(islice(batches_from(samples, size=4, seed=5, epoch=0, batch=0), 15))
    for cut in range(1, 15):
        epoch, batch, _ = whole[cut - 1]
        rest = batches_from(samples, size=4, seed=5, epoch=epoch, batch=batch + 1)
        for (e, b, rows), (e2, b2, rows2) in zip(whole[cut:], rest):
            assert (e, b) == (e2, b2) and (rows.ids == rows2.ids).all()


def test_fixed_batches() -> None:
    samples = samples_of(["A" * n for n in range(1, 7)] * 3)
    first, again = (list(fixed_batches(samples, size=4, count=2, seed=0)) for _ in range(2))
    assert len(first) == 2 and all((a.ids == b.ids).all() for a, b in zip(first, again))
    assert sum(len(rows.ids) for rows in fixed_batches(samples, size=4, count=0, seed=0)) == len(samples)


def test_unknown_tokens_are_counted() -> None:
    class AllUnknown(Letters):
        def encode_column(self, column: pa.ChunkedArray) -> Encoded:
            encoded = super().encode_column(column)
            return Encoded(np.where(encoded.ids == 6, UNK, encoded.ids), encoded.offsets)

    column = pa.chunked_array([["AB", "AA"]])
    assert cut_windows(tokens_of(AllUnknown(), column), kind="letters", context=8).unknown == 3 / 8


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], r"x \(train\): no sequences"), (["", ""], r"x \(train\): all 2 sequences are too short")],
)
def test_nothing_to_learn_from(rows: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        samples_of(rows)
