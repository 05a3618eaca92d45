"""Every task whose data is among the real data, read whole; counts are those that publishers state."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bioeval.tasks import Task, describe_tasks, load_task, task_names, tasks_text
from bioeval.tasks.loader import read_task

SPLITS = ("train", "validation", "test")
PUBLISHED = {
    # FLIP's README: 9,712 train and 1,080 validation proteins; its file has 364 of the 648 for testing
    "flip-secondary-structure": (9712, 1080, 364),
    # FLIP's README: 9,392, 555 and 519 proteins
    "flip-conservation": (9392, 555, 519),
    # lines of FLIP's files, counted with awk
    "flip-gb1:two_vs_rest": (381, 43, 8309), "flip-gb1:one_vs_rest": (25, 3, 8705),
    "flip-gb1:three_vs_rest": (2691, 299, 5743), "flip-gb1:low_vs_high": (4580, 509, 3644),
    "flip-gb1:sampled": (6289, 699, 1745),
    "antibody-paratope": (720, 90, 90),
}  # fmt: skip
ROWS = {"cds-species": 1437, "esol": 1128, "freesolv": 642, "bbbp": 2039, "tcr-davis": 1648}
"""CaLM: 1,437 CDS; MoleculeNet: 1,128 and 642; RDKit reads 2,039 of BBBP's 2,050 molecules."""


@pytest.fixture(autouse=True)
def published(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))


@cache
def loaded(name: str) -> Task:
    """A task, read once for all tests."""
    return load_task(name)


def check(task: Task) -> None:
    """What holds for every task: targets by kind, one for each row or unit, none of them undefined."""
    for split in task.splits():
        n = task.rows(split).num_rows
        assert len(task.sequences(split)) == n and set(task.rows(split)["split"].to_pylist()) == {split}
        values = task.values(split)
        if task.kind == "token":
            units = [len(row) for row in task.token_values(split)]
            assert units == [-(-len(s) // task.width) for s in task.sequences(split)]
            assert len(values) == sum(units) == len(task.token_rows(split))
            assert values.min() >= -1 and values.max() < len(task.classes)
        elif task.kind == "multi-label":
            assert values.shape == (n, len(task.classes)) and set(np.unique(values[~np.isnan(values)])) == {
                0,
                1,
            }
        elif task.classes:
            assert values.dtype == np.int64 and values.min() >= 0 and values.max() < len(task.classes)
        else:
            assert values.dtype == np.float64 and np.isfinite(values).all()
    ids = task.table["id"].to_pylist()
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", PUBLISHED)
def test_given_splits_are_the_publishers(name: str) -> None:
    task = loaded(name)
    assert tuple(task.rows(s).num_rows for s in SPLITS) == PUBLISHED[name]
    check(task)


@pytest.mark.parametrize("name", ROWS)
def test_drawn_splits_hold_all_rows(name: str) -> None:
    task = loaded(name)
    assert task.table.num_rows == ROWS[name] and task.splits() == SPLITS
    check(task)
    parts = [set(task.sequences(s)) for s in SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_secondary_structure_is_masked_where_nothing_was_resolved() -> None:
    task = loaded("flip-secondary-structure")
    assert task.classes == ("C", "E", "H")
    first = task.table["tokens"][0].as_py()
    assert task.table["id"][0].as_py() == "1es5-A"
    # mask.fasta of 1es5-A begins with 0011, sampled.fasta with CCCCCCCCCEEEEEEC
    assert first[:16] == [-1, -1, *[0] * 7, *[1] * 6, 0]


def test_conservation_lists_the_sequences_without_labels() -> None:
    task = loaded("flip-conservation")
    assert task.notes["left_out_no-target"] == 10507 - 10466 == task.dropped.num_rows
    assert set(task.dropped["reason"].to_pylist()) == {"no-target"} and task.classes == tuple("123456789")


def test_cas_takes_validation_from_train() -> None:
    task = loaded("flip-cas:negative")
    assert task.rows("test").num_rows == 1678  # as in the file
    assert task.rows("train").num_rows + task.rows("validation").num_rows == 6877
    assert task.rows("validation").num_rows == pytest.approx(688, abs=10)


def test_gb1_zero_shot_has_a_wild_type_four_letters_away() -> None:
    task = loaded("gb1-zero-shot")
    check(task)
    assert task.splits() == ("test",) and task.rows("test").num_rows == 2000
    wild = task.seconds("test") or []
    away = {sum(a != b for a, b in zip(s, w)) for s, w in zip(task.sequences("test"), wild)}
    assert max(away) <= 4 and all(len(s) == len(w) for s, w in zip(task.sequences("test"), wild))
    assert task.fingerprint == loaded("gb1-zero-shot").fingerprint


def test_tox21_keeps_what_was_not_measured_apart(tmp_path: Path) -> None:
    config, path = read_task("tox21")
    (tmp_path / "few.yaml").write_text(path.read_text() + "rows: 300\n")
    task = load_task(tmp_path / "few.yaml")
    check(task)
    assert task.table.num_rows == 300 and config.columns.values == task.classes
    assert task.notes["labels_not_measured"] == 16026  # of 7,831 rows, counted with pandas
    assert np.isnan(task.values("train")).any()


def test_regions_of_antibodies_come_in_order() -> None:
    task = loaded("antibody-regions")
    check(task)
    # the table has 1,999 rows; biodata's reader says why it leaves some out
    assert task.notes["rows_read"] == 1999 and task.notes["left_out_not-productive"] == 229
    assert task.table.num_rows + task.dropped.num_rows == 1999
    order = [task.classes.index(r) for r in ("FR1", "CDR1", "FR2", "CDR2", "FR3", "CDR3", "FR4")]
    for tokens in task.token_values("test"):
        ranks = [order.index(t) for t in tokens.tolist() if t >= 0]
        assert ranks == sorted(ranks)


def test_paratope_letters_are_those_of_the_publisher(real_data: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(real_data / "antibody" / "sabdab_test.parquet")
    task = loaded("antibody-paratope")
    marks = [sum(c != "-" for c in text) for text in table["paratope_sequence"].to_pylist()]
    assert [int((row == 1).sum()) for row in task.token_values("test")] == marks


def test_tcr_pairs_have_as_many_partners_as_there_are_true_ones() -> None:
    task = loaded("tcr-pairs")
    check(task)
    for split in SPLITS:
        rows = task.rows(split)
        labels = rows["label"].to_numpy()
        pairs = list(zip(rows["sequence"].to_pylist(), rows["second"].to_pylist()))
        assert labels.sum() * 2 == len(labels) and len(set(pairs)) == len(pairs)
        assert task.seconds(split) == rows["second"].to_pylist()


def test_superfamilies_have_at_least_two_members() -> None:
    task = loaded("scop-superfamily")
    check(task)
    assert task.splits() == ("test",) and len(task.classes) == 906  # counted with awk
    assert np.bincount(task.values("test")).min() >= 2 and task.table.num_rows == 6580


def test_isotypes_and_species() -> None:
    task = loaded("antibody-isotype")
    assert task.classes == ("IGHA", "IGHD", "IGHG", "IGHM")
    check(task)
    species = loaded("cds-species-clusters")
    assert species.splits() == ("test",)
    # records of the seven files, counted with grep
    assert np.bincount(species.values("test")).tolist() == [535, 280, 94, 176, 79, 121, 152]


def test_the_list_for_people_names_every_task_once() -> None:
    text = tasks_text(describe_tasks())
    heads = [block.splitlines()[0] for block in text.split("\n\n")]
    assert sorted(heads) == sorted({n.split(":")[0] + ":NAME" * (":" in n) for n in task_names()})
    assert "splice_reconstructed" in text and text.count("\n  beware: ") == len(heads)


def test_every_task_says_what_it_is_and_where_its_data_is() -> None:
    rows = {row["name"]: row for row in describe_tasks()}
    assert tuple(rows) == task_names() and len(rows) > 100
    for row in rows.values():
        assert (
            row["title"] and row["note"] and row["licence"] and (row["data"] or "get it from" in row["get"])
        )
    assert rows["gb-coordinates:human_enhancers_cohn"]["data"] is None  # the genome is not there
    assert rows["flip-gb1:sampled"]["checked"] and not rows["gue:tf0"]["checked"]
    there = [name for name, row in rows.items() if row["data"]]
    assert len(there) == 28
