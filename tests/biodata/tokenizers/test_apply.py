from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.tokenizers.apply import encode_path
from biodata.tokenizers.compare import compare_tokenizers
from biodata.tokenizers.kmer import codon
from biodata.tokenizers.letters import nuc

RECORDS = {"a": "ATGGCCTAA", "b": "", "c": "ATGNNNT"}


@pytest.fixture
def places(tmp_path: Path) -> Path:
    (tmp_path / "x.fa").write_text("".join(f">{i}\n{s}\n" for i, s in RECORDS.items() if s))
    folder = tmp_path / "dataset" / "data"
    folder.mkdir(parents=True)
    for split, ids in {"train": ["a", "b"], "test": ["c"]}.items():
        table = pa.table({"id": ids, "sequence": [RECORDS[i] for i in ids]})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    codon().save(tmp_path / "codon")
    nuc().save(tmp_path / "nuc")
    return tmp_path


def test_every_record_of_every_split_is_encoded(places: Path) -> None:
    result = encode_path(places / "codon", places / "dataset", out=places / "ids.parquet")
    table = pq.read_table(places / "ids.parquet").to_pydict()
    assert dict(zip(table["id"], table["ids"])) == {i: codon().encode(s) for i, s in RECORDS.items()}
    assert pq.read_schema(places / "ids.parquet").field("ids").type == pa.large_list(pa.uint8())
    assert (result["rows"], result["tokens"], result["letters"], result["unknown_rate"]) == (3, 6, 16, 2 / 6)


def test_without_out_the_first_records_are_shown(places: Path) -> None:
    first = encode_path(places / "codon", places / "x.fa")["records"][0]
    assert first == {"id": "a", "ids": codon().encode("ATGGCCTAA"), "tokens": "<bos> ATG GCC TAA <eos>"}


def test_side_by_side_on_the_same_data(places: Path) -> None:
    rows = compare_tokenizers([places / "codon", places / "nuc"], places / "x.fa")["tokenizers"]
    assert [(r["kind"], r["symbols_per_token"]) for r in rows] == [("codon", 16 / 6), ("nuc", 1)]


def test_files_that_are_not_what_they_say(places: Path) -> None:
    (places / "bad.parquet").write_text("no")
    with pytest.raises(DataError, match=r"bad\.parquet: this is not a Parquet file"):
        encode_path(places / "nuc", places / "bad.parquet")
    with pytest.raises(ConfigError, match="does not exist"):
        encode_path(places / "nuc", places / "none.fa", out=places / "o.parquet")
    assert not (places / "o.parquet").exists()


def test_records_without_an_id_can_be_told_apart(places: Path) -> None:
    (places / "x.csv").write_text("cds,value\nATGAAA,1\nATGCCC,2\n")
    encode_path(places / "codon", places / "x.csv", out=places / "x.parquet")
    assert pq.read_table(places / "x.parquet")["id"].to_pylist() == ["record 1", "record 2"]
