from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.tokenizers.corpus import Corpus, Sample


def corpus(path: Path, rows: list[str]) -> Corpus:
    pq.write_table(pa.table({"sequence": rows}), path / "x.parquet", row_group_size=3)
    return Corpus(path / "x.parquet")


def test_without_a_limit_all_pieces_come_in_order(tmp_path: Path) -> None:
    pieces = Sample(letters=1000, piece=4, seed=0).pieces(corpus(tmp_path, ["ACGTACGTAC", "", "GG", "TTTTT"]))
    assert list(pieces) == [b"ACGT", b"ACGT", b"AC", b"GG", b"TTTT", b"T"]


def test_a_draw_is_part_of_all_pieces_each_at_most_once_and_even(tmp_path: Path) -> None:
    rows = [f"{i:04d}" for i in range(400)]
    source = corpus(tmp_path, rows)
    hits = np.zeros(400, int)
    for seed in range(100):
        drawn = [int(piece) for piece in Sample(letters=400, piece=4, seed=seed).pieces(source)]
        assert len(drawn) == 100 and drawn == sorted(set(drawn))
        hits[drawn] += 1
    # Each of the 400 is drawn with chance 1/4: 25 of 100 times, standard deviation 4.3.
    assert abs(hits[:200].mean() - 25) < 1.5 and hits.max() < 25 + 6 * 4.4 and hits.min() > 0


@pytest.mark.parametrize(("name", "read_as"), [("dna", "dna"), ("rna", "dna"), ("protein", "protein")])
def test_alphabet_is_what_the_dataset_says(name: str, read_as: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"sequence": ["A"], "alphabet": [name]}), tmp_path / "x.parquet")
    assert Corpus(tmp_path / "x.parquet").alphabet() == read_as
    assert corpus(tmp_path, ["A"]).alphabet() is None
