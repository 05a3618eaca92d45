"""Planted truth is found when it is there, and its loss is noticed when a dataset spoils it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.build import BuildConfig, build_dataset
from biodata.read_config import ReadConfig
from biodata.simulate.archive import DEFECTS, PSEUDO, simulate_archive
from biodata.simulate.families import SimulateConfig
from biodata.splits.split import SplitConfig
from bioeval.report.inputs import ReportInputs, read_facts
from bioeval.report.page import render_page
from bioeval.report.planted import find_planted


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planted")
    simulate_archive(SimulateConfig(families=20, members=4), out / "archive")
    files = tuple(str(out / "archive" / name) for name in ("genomes.gbff.gz", "genes.fna.gz"))
    read = ReadConfig(inputs=files, take="cds", labels=out / "archive" / "property.csv")
    build_dataset(BuildConfig(read=read, split=SplitConfig(exact_effort=1.0)), out / "dataset")
    return out


def test_everything_planted_is_found(made: Path):
    found = find_planted(made / "archive" / "truth.json", made / "dataset")
    assert (found["families"], found["clusters"], found["families_whole"]) == (20, 20, 20)
    assert (found["families_split"], found["clusters_mixed"]) == (0, 0)
    assert found["defects"] == {
        k: {"planted": n, "found": n} for k, n in (DEFECTS | {"pseudo": PSEUDO}).items()
    }


def test_a_family_torn_between_splits_is_noticed(made: Path, tmp_path: Path):
    import shutil

    spoilt = tmp_path / "dataset"
    shutil.copytree(made / "dataset", spoilt)
    file = next((spoilt / "data").glob("train-*.parquet"))
    table = pq.read_table(file)
    splits = ["test", *table["split"].to_pylist()[1:]]
    column = table.schema.get_field_index("split")
    pq.write_table(table.set_column(column, table.schema.field(column), pa.array(splits)), file)
    found = find_planted(made / "archive" / "truth.json", spoilt)
    assert (found["families_split"], found["families_whole"]) == (1, 20)


def test_the_page_shows_it_only_for_simulated_data(made: Path):
    with_truth = ReportInputs(dataset=made / "dataset", truth=made / "archive" / "truth.json")
    assert "Planted and found" in render_page(read_facts(with_truth))
    assert "Planted and found" not in render_page(read_facts(ReportInputs(dataset=made / "dataset")))
