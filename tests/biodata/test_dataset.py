import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from biodata import dataset
from biodata.card import dataset_card, explain_repair
from biodata.dataset import open_dataset, write_splits
from biodata.errors import ConfigError, DataError
from biodata.files import sha256_file, write_json, write_text
from biodata.schema import SCHEMA, BioSequence, table_from_records

AUDIT = {"identity": 0.9, "coverage": 0.8, "leaking_pairs": 0, "leaking_rows": 0, "max_identity": None,
         "searched_from_identity": 0.8, "method": "none", "exact": {"queries": 0}}  # fmt: skip


def stage(folder: Path, count: int, *, start: int = 0) -> Path:
    records = [
        BioSequence(
            id=f"r{at}", sequence="ACGT" * (1 + at % 7), alphabet="dna", source="x.fa", labels={"y": 1.5}
        )
        for at in range(start, start + count)
    ]
    path = folder / f"stage-{start:05d}.parquet"
    pq.write_table(table_from_records(records), path)
    return path


def make(folder: Path, *, rows: int = 40, test: bool = True) -> Path:
    """A dataset folder without any clustering behind it."""
    stages = [stage(folder, rows // 2), stage(folder, rows - rows // 2, start=rows // 2)]
    split = np.array([(0, 0, 1, 2 if test else 0, -1)[at % 5] for at in range(rows)], np.int8)
    out = folder / "out"
    files = write_splits(stages, np.arange(rows), split, out / "data")
    for entry in files:
        entry["sha256"] = sha256_file(out / entry["name"])
    counts = {name: int((split == at).sum()) for at, name in enumerate(("train", "validation", "test"))}
    manifest = {"schema_version": "2", "seqloom_version": "0", "fingerprint": "f", "alphabet": "dna",
                "rows": sum(counts.values()), "splits": counts, "files": files, "audit": AUDIT, "sources": [],
                "dropped": {"gap": 2}, "changed": {}, "repair": {"explanation": "Nothing."}}  # fmt: skip
    write_text(out / "README.md", dataset_card(manifest))
    write_json(out / "manifest.json", manifest)
    return out


def test_rows_keep_order_and_get_cluster_and_split(tmp_path: Path) -> None:
    opened = open_dataset(make(tmp_path))
    assert opened.splits == {"train": 16, "validation": 8, "test": 8}
    train = opened.table("train")
    assert train.schema.equals(SCHEMA)
    assert train["id"].to_pylist() == [f"r{at}" for at in range(40) if at % 5 < 2]
    assert train["cluster"].to_pylist() == [at for at in range(40) if at % 5 < 2]
    assert set(train["split"].to_pylist()) == {"train"}
    assert opened.table("test", ["id"]).column_names == ["id"]
    assert opened.sequences("test")[0].as_py() == "ACGT" * 4
    with pytest.raises(ConfigError, match="no column 'seq'"):
        opened.table("train", ["seq"])
    with pytest.raises(ConfigError, match="split 'val', allowed: train, validation, test"):
        opened.table("val")


def test_shards_are_cut_by_size_and_bytes_do_not_depend_on_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_SHARD_BYTES", 4000)
    monkeypatch.setattr(dataset, "_GROUP_BYTES", 2000)
    split = np.zeros(40, np.int8)
    one = write_splits([stage(tmp_path, 40)], np.arange(40), split, tmp_path / "one")
    cuts = [stage(tmp_path, 7), stage(tmp_path, 33, start=7)]
    two = write_splits(cuts, np.arange(40), split, tmp_path / "two")
    assert one == two and len(one) > 5
    assert [entry["name"] for entry in one][:2] == [f"data/train-{at:05d}-of-00006.parquet" for at in (0, 1)]
    assert sum(entry["rows"] for entry in one) == 40
    for entry in one:
        name = Path(entry["name"]).name
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    ids = [pq.read_table(tmp_path / "one" / Path(e["name"]).name)["id"].to_pylist() for e in one]
    assert [i for part in ids for i in part] == [f"r{at}" for at in range(40)]


@pytest.mark.parametrize("test", [True, False])
def test_other_readers_need_no_code_of_ours(tmp_path: Path, test: bool) -> None:
    out = make(tmp_path, test=test)
    assert pl.read_parquet(out / "data" / "train-*.parquet").height == open_dataset(out).splits["train"]
    code = (
        "import sys, datasets\n"
        "d = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])\n"
        "print({name: part.num_rows for name, part in d.items()}, d['train'][0]['labels'][0]['value'])\n"
    )
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
    }
    done = subprocess.run([sys.executable, "-c", code, str(out), str(tmp_path / "cache")], env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    filled = {name: rows for name, rows in open_dataset(out).splits.items() if rows}
    assert done.stdout.strip() == f"{filled} 1.5"


def test_folders_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="no seqloom dataset: it has no manifest"):
        open_dataset(tmp_path)
    (tmp_path / ".build").mkdir()
    with pytest.raises(DataError, match="an unfinished build"):
        open_dataset(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        open_dataset(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DataError, match="not the manifest of a seqloom dataset"):
        open_dataset(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    opened = open_dataset(make(tmp_path))
    path = opened.files("test")[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet: damaged Parquet file"):
        opened.table("test")
    path.unlink()
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet: missing"):
        opened.table("test")


def test_the_explanation_has_the_figures() -> None:
    repair = {"plain_split": {"leaking_rows": 472, "held_out_rows": 702}, "clusters_before": 1346,
              "clusters_after": 638, "percolating_rows": 547, "largest_component": 307, "max_component": 0.1,
              "largest_component_fraction": 0.131, "rows_purged": {"train": 60, "validation": 0, "test": 40},
              }  # fmt: skip
    text = explain_repair(repair, identity=0.9, coverage=0.8, rows=2344)
    for figure in (
        "2,344",
        "1,346",
        "638",
        "472 of 702",
        "67.2%",
        "307",
        "13.1%",
        "60 from train, 40 from test",
    ):
        assert figure in text
    assert "Nothing" not in text and text.startswith("LinClust put 2,344 rows")
    text = explain_repair(repair | {"split_by": "k-mer sketches"}, identity=0.9, coverage=0.8, rows=2344)
    assert text.startswith("Sketches of k-mers put 2,344 rows") and "LinClust" not in text


def test_a_split_without_files_is_an_empty_table(tmp_path: Path) -> None:
    found = open_dataset(make(tmp_path, test=False))
    assert found.table("test").schema.equals(SCHEMA) and found.table("test").num_rows == 0
    assert found.table("test", ["id", "split"]).column_names == ["id", "split"]
