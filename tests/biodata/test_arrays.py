"""What every file goes through between NumPy and Arrow: equal to pyarrow's own ways, without pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biodata.arrays import arrow, arrow_stream, arrow_text, text_lengths


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float64", "float32"])
def test_numbers_are_those_of_pyarrow(dtype: str) -> None:
    values = np.arange(7).astype(dtype)
    for part in (values, values[:0], values[::2]):
        assert arrow(part).equals(pa.array(part))
        arrow(part).validate(full=True)


@given(st.lists(st.booleans(), max_size=40))
def test_booleans_are_those_of_pyarrow(values: list[bool]) -> None:
    found = arrow(np.array(values, bool))
    found.validate(full=True)
    assert found.to_pylist() == values


@given(st.text())
def test_a_text_comes_back(text: str) -> None:
    assert arrow_text(text).equals(pa.scalar(text))


@given(
    st.lists(st.text("ACGTNé", max_size=9), max_size=9),
    st.integers(0, 4),
    st.sampled_from(["small", "large"]),
)
def test_lengths_are_those_of_pyarrow(texts: list[str], skip: int, size: str) -> None:
    column = pa.array(texts, pa.string() if size == "small" else pa.large_string()).slice(skip)
    assert text_lengths(column).tolist() == [len(text.encode()) for text in texts[skip:]]
    assert text_lengths(column).dtype == np.int64


@pytest.mark.parametrize(("alphabet", "text"), [("protein", ">a x\nMKV\n>b\nMKL\n"), ("dna", ">a\nACGTN\n")])
def test_a_clean_fasta_file_is_read_without_slow_imports(tmp_path: Path, alphabet: str, text: str) -> None:
    (tmp_path / "a.fa").write_text(text)
    code = f"""
import sys
from pathlib import Path
from biodata.ingest import ReadConfig, ingest
ingest(ReadConfig(inputs=("a.fa",), alphabet={alphabet!r}), Path("out"))
print(sorted({{"pandas", "Bio", "polars", "yaml"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_stream_holds_no_memory_of_python() -> None:
    """What Arrow's threads let go of at the end of a process must not be Python's."""
    data = b"a,b\n1,2\n" * 1000
    before = sys.getrefcount(data)
    stream = arrow_stream(data)
    assert sys.getrefcount(data) == before
    assert stream.read() == data
