"""The table of readers has columns that the dataset schema takes over; how Parquet is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biodata.io.parquet import parquet_options
from biodata.io.raw import RAW_SCHEMA
from biodata.schema import SCHEMA, BioSequence, Feature, table_from_records


def test_raw_columns_have_the_types_of_the_dataset_schema():
    for field in RAW_SCHEMA:
        if field.name != "line":
            assert SCHEMA.field(field.name).type == field.type, field.name


def test_parquet_options_name_only_columns_of_the_schema():
    for schema in (RAW_SCHEMA, SCHEMA):
        assert set(parquet_options(schema)["use_dictionary"]) <= set(schema.names)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [({}, "ZSTD"), ({"temporary": True}, "SNAPPY"), ({"temporary": True, "long": True}, "ZSTD")],
)
def test_parquet_options_reach_every_column_and_give_equal_bytes(
    tmp_path: Path, kind: dict[str, bool], codec: str
):
    record = BioSequence(
        id="a", sequence="ACGT", alphabet="dna", labels={"x": 1.0},
        features=(Feature(type="CDS", start=0, end=3, attributes={"gene": "g"}),),
    )  # fmt: skip
    table = table_from_records([record] * 3)
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(table, tmp_path / name, **parquet_options(SCHEMA, **kind))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.read_table(tmp_path / "a.parquet").equals(table)
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.path_in_schema for c in columns if c.compression != codec} == {"checksum"}
