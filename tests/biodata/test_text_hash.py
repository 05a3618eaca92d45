"""Hashes of ids: equal for equal texts wherever they stand, different for all others."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.curate.text_hash import text_hashes

LONG = st.builds(lambda letter, n: letter * n, st.sampled_from("ab\0é"), st.integers(120, 260))


@settings(deadline=None, max_examples=25)  # the first call loads what it needs
@given(st.lists(st.text(max_size=20) | LONG, min_size=1, max_size=12))
def test_hashes_are_equal_where_texts_are(texts: list[str]) -> None:
    for kind in (pa.string(), pa.large_string()):
        column = pa.concat_arrays([pa.array(["before"], kind), pa.array(texts, kind)]).slice(1)
        found = [row.tobytes() for row in text_hashes(column)]
        assert found == [text_hashes(pa.array([text]))[0].tobytes() for text in texts]
        assert len(set(found)) == len(set(texts))


@pytest.mark.parametrize("pattern", ["{}", "sp|A{:07d}", "contig_{}_length_1000", "{:032b}"])
def test_each_half_tells_numbered_ids_apart_and_is_uniform(pattern: str) -> None:
    halves = text_hashes(pa.array([pattern.format(i) for i in range(50_000)])).view("<u8").reshape(-1, 2)
    for half in halves.T:
        assert len(set(half.tolist())) == 50_000
        for bits in (half >> 56, half & 255):  # 256 bins of 195, standard deviation 14
            counts = [int((bits == value).sum()) for value in range(256)]
            assert min(counts) > 195 - 6 * 14 and max(counts) < 195 + 6 * 14
