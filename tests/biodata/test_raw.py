"""The table of readers has columns that the dataset schema takes over as they are."""

from __future__ import annotations

from biodata.io.parquet import parquet_options
from biodata.io.raw import RAW_SCHEMA
from biodata.schema import SCHEMA


def test_raw_columns_have_the_types_of_the_dataset_schema():
    for field in RAW_SCHEMA:
        if field.name != "line":
            assert SCHEMA.field(field.name).type == field.type, field.name


def test_parquet_options_name_only_columns_of_the_schema():
    for schema in (RAW_SCHEMA, SCHEMA):
        assert set(parquet_options(schema)["use_dictionary"]) <= set(schema.names)
