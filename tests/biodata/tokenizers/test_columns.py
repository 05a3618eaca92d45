import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import DataError
from biodata.tokenizers.columns import byte_lengths, chunks_of, has_special_text, lay_out, one_byte_letters


@given(
    rows=st.lists(st.text("ACGTé", max_size=9), max_size=20),
    letters=st.integers(1, 30),
    skip=st.integers(0, 5),
)
@settings(deadline=None, max_examples=50)
def test_chunks_are_the_column_again_and_bounded(rows: list[str], letters: int, skip: int) -> None:
    column = pa.array(rows, pa.string()).slice(skip)
    chunks = list(chunks_of(column, letters=letters))
    assert [row for chunk in chunks for row in chunk.to_pylist()] == column.to_pylist()
    assert all(len(chunk) == 1 or byte_lengths(chunk).sum() <= letters for chunk in chunks)


def test_rows_start_at_whole_slots() -> None:
    layout = lay_out(pa.array(["ACGTA", "", "CCC"], pa.large_string()), k=3, stride=3)
    assert layout.letters == b"AAAACGTAAAAA" + b"AAAAAA" + b"AAACCCAAA"
    assert layout.bos is not None and layout.eos is not None
    assert (layout.bos.tolist(), layout.eos.tolist(), layout.unk.tolist()) == ([0, 4, 6], [3, 5, 8], [2])
    assert layout.offsets.tolist() == [0, 4, 6, 9] and layout.keep is None


def test_slots_without_a_window_are_dropped_when_windows_overlap() -> None:
    layout = lay_out(pa.array(["ACGTA", "AC"], pa.large_string()), k=3, stride=1)
    assert layout.keep is not None
    assert np.flatnonzero(~layout.keep).tolist() == [5, 6, 10]
    assert layout.offsets.tolist() == [0, 5, 8] and layout.unk.tolist() == [8]


def test_every_character_beyond_ascii_is_one_letter() -> None:
    rows = pa.array(["AéC", "AΩ😀", "AC"], pa.large_string())
    assert one_byte_letters(rows).to_pylist() == ["A?C", "A??", "AC"]


def test_special_text_is_noticed_wherever_it_is() -> None:
    column = pa.array(["A<mask>C", "AC", "A<C>", "<reserved_12>"], pa.large_string())
    assert [has_special_text(column.slice(i, 1)) for i in range(4)] == [True, False, False, True]


def test_what_is_no_sequence_column_is_refused() -> None:
    with pytest.raises(DataError, match="a column of strings is needed, found int64"):
        list(chunks_of(pa.array([1])))
    chunked = pa.chunked_array([pa.array(["A", "C"]), pa.array(["A", None])])
    with pytest.raises(DataError, match="row 3 of the sequence column is null"):
        list(chunks_of(chunked))
