"""How rows of tasks are split, drawn and left out; what is refused; downloads from a local server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.schema import BioSequence, Feature, table_from_records
from bioeval.tasks import load_task
from bioeval.tasks.pairs import with_negatives
from tests.task_files import table, task

SPLIT9 = ["train"] * 3 + ["val"] * 3 + ["test"] * 3


def test_rows_are_drawn_with_the_seed_and_by_split(tmp_path: Path) -> None:
    rows = [f"ACGT{'A' * i},{i},{'train' if i < 60 else 'val' if i < 80 else 'test'}" for i in range(100)]
    yaml = "data: {file: r.csv}\ncolumns: {split: Split}\nrows: 50\n"
    path = task(tmp_path, yaml, r__csv=table("Sequence,Value,Split", *rows))
    loaded = load_task(path)
    assert [loaded.rows(s).num_rows for s in loaded.splits()] == [30, 10, 10]
    assert loaded.table["id"].to_pylist() == sorted(loaded.table["id"].to_pylist(), key=int)
    task(tmp_path, yaml + "seed: 3\n")
    assert load_task(path).fingerprint != loaded.fingerprint
    task(tmp_path, yaml.replace("columns: {split: Split}\n", "split_by: random\n"))
    assert load_task(path).table.num_rows == 50


def test_clusters_do_not_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    parents = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60)) for _ in range(12)]
    rows = [f"{p[:n]}A{p[n + 1 :]},{n},{i}" for i, p in enumerate(parents) for n in range(5, 10)]
    yaml = ("alphabet: protein\ndata: {file: c.csv}\nsplit_by: cluster\nfractions: [0.5, 0.25, 0.25]\n"
            "columns: {sequence: s, value: y, id: family}\n")  # fmt: skip
    loaded = load_task(task(tmp_path, yaml, c__csv=table("s,y,family", *rows)))
    families = [{i.split("@")[0] for i in loaded.rows(s)["id"].to_pylist()} for s in loaded.splits()]
    assert sum(map(len, families)) == 12 and all(families)


def test_missing_targets_are_counted_and_listed_where_the_file_allows_it(tmp_path: Path) -> None:
    rows = [f"ACGT{'A' * i},{i},{s}" for i, s in enumerate(SPLIT9)]
    yaml = "data: {file: r.csv}\ncolumns: {split: Split}\nmissing: drop\n"
    text = table("Sequence,Value,Split", *rows, "ACGG,NaN,test", ",4,test", "ACGC,5,")
    loaded = load_task(task(tmp_path, yaml, r__csv=text))
    counts = {k: v for k, v in loaded.notes.items() if k.startswith(("left_out", "rows_read"))}
    assert counts == {
        "rows_read": 12,
        "left_out_no-sequence": 1,
        "left_out_no-split": 1,
        "left_out_no-target": 1,
    }
    listed = loaded.dropped.select(["file", "line", "reason"]).to_pylist()
    assert {(row["line"], row["reason"]) for row in listed} == {
        (11, "no-target"), (12, "no-sequence"), (13, "no-split")}  # fmt: skip
    assert loaded.table.num_rows == 9


def test_rare_classes_are_left_out_and_listed(tmp_path: Path) -> None:
    rows = [f"MK{'A' * i},{'b' if i < 10 else 'a' if i < 20 else 'rare'}" for i in range(21)]
    yaml = "alphabet: protein\nkind: classification\nleast: 5\ndata: {file: r.csv}\n"
    loaded = load_task(task(tmp_path, yaml, r__csv=table("Sequence,Value", *rows)))
    assert loaded.classes == ("a", "b") and loaded.notes["left_out_rare-class"] == 1
    assert loaded.dropped["line"].to_pylist() == [22]


def test_only_the_rows_that_were_asked_for(tmp_path: Path) -> None:
    rows = [f"MK{'A' * i},{i},{'TRB' if i % 3 else 'TRA'}" for i in range(30)]
    yaml = "alphabet: protein\ndata: {file: r.csv}\nonly: [gene=TRB]\n"
    loaded = load_task(task(tmp_path, yaml, r__csv=table("Sequence,Value,gene", *rows)))
    assert loaded.table.num_rows == 20 and loaded.notes["left_out_not-asked-for"] == 10
    with pytest.raises(ConfigError, match="only has 'TRB', allowed: COLUMN=VALUE"):
        load_task(task(tmp_path, yaml.replace("gene=TRB", "TRB")))


def test_texts_and_regions_of_a_dataset_are_tasks(tmp_path: Path) -> None:
    """Labels that are texts are classes; features of antibody chains are labels of codons."""
    features = (Feature(type="FR1", start=0, end=6), Feature(type="CDR1", start=6, end=10))
    splits = [name.replace("val", "validation") for name in SPLIT9]
    records = [
        BioSequence(id=f"r{n}", sequence="ATGGCAGCAGCA", alphabet="dna", split=split, cluster=n,
                    labels={"kind": "ab"[n % 2]}, features=features)
        for n, split in enumerate(splits)
    ]  # fmt: skip
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        shard = tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(table_from_records([r for r in records if r.split == split]), shard)
    classes = load_task(task(tmp_path, "kind: classification\ndata: {dataset: set, label: kind}\n"))
    assert classes.classes == ("a", "b") and classes.values("test").tolist() == [0, 1, 0]
    yaml = "kind: token\nunit: codon\ndata: {dataset: set, label: regions}\n"
    regions = load_task(task(tmp_path, yaml))
    assert [regions.classes[t] for t in regions.token_values("test")[0][:3]] == ["FR1", "FR1", "CDR1"]
    assert regions.token_values("test")[0][3] == -1 and regions.notes["units_without_label"] == 9


def test_drawn_partners_are_never_true_pairs() -> None:
    first = ["A", "C", "D", "E"] * 5
    second = ["x", "y", "z", "w", "x"] * 4
    rows = {
        "id": [str(n) for n in range(20)], "sequence": first, "second": second,
        "split": ["train"] * 12 + ["test"] * 8, "group": [None] * 20, "label": [1] * 20,
    }  # fmt: skip
    kinds = {name: pa.string() for name in rows} | {"label": pa.int64()}
    whole = pa.table(rows, schema=pa.schema(kinds))
    found, missing = with_negatives(whole, count=1, seed=0)
    true = set(zip(first, second))
    drawn = [(r["sequence"], r["second"]) for r in found.to_pylist() if r["label"] == 0]
    assert not true & set(drawn) and len(set(drawn)) == len(drawn) and len(drawn) + missing == 20
    assert found.equals(with_negatives(whole, count=1, seed=0)[0])


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("kind: pairs", "kind pairs needs columns.second"),
        ("kind: multi-label", "kind multi-label needs columns.values"),
        ("negatives: 2", "negatives goes with kind pairs, not 'regression'"),
        ("notation: smiles", "notation smiles goes with alphabet selfies"),
        ("split_by: scaffold", "split_by scaffold goes with alphabet selfies"),
        ("split_by: group", "split_by group needs columns.group"),
        ("validation: 0.1", "validation goes with a split that the file gives"),
        ("validation: 1.5", "validation = 1.5, allowed: 0 or more, below 1"),
        ("rows: -1", "rows = -1, allowed: 0 or more"),
        ("kind: zero-shot\nleast: 3", "least and classes go with targets that are classes"),
        ("kind: classification\ntransform: log1p", "transform log1p goes with targets that are one number"),
        ("kind: classification\ntarget: number", "target 'number' does not go with kind 'classification'"),
        ("kind: token\nextract: (x)", "extract and least do not go with kind token"),
        ("metric: auroc", "metric 'auroc', known: spearman"),
        ("wildtype: MKV", "wildtype goes with kind zero-shot"),
    ],
)
def test_settings_that_do_nothing_are_refused(lines: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        load_task(task(tmp_path, f"data: {{file: r.csv}}\n{lines}\n"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("{file: 'a-{part}.csv'}", r"file has \{part\}, allowed: \{split\}, \{class\}"),
        ("{file: 'a-{class}.csv'}", r"needs 'classes', what \{class\} stands for"),
        ("{file: a.csv, splits: [a]}", "allowed: names of train and test, or of all three"),
        ("{file: a.csv, mask: m.fasta}", "'mask' goes with 'labels'"),
        ("{file: a.csv, genome: g.fa}", "'genome' and 'format: coordinates' go together"),
        ("{file: a.bam}", "a.bam is not there"),
        ("{file: r.dat}", "its name tells no format"),
    ],
)
def test_wrong_sources(data: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        load_task(task(tmp_path, f"data: {data}\n", r__dat="x\n"))


@pytest.mark.parametrize(
    ("kind", "row", "text"),
    [
        ("classification\nclasses: [a, b]", "ACGT,c", r"r\.csv:11: class 'c' \(classes of the task: a, b\)"),
        ("regression", "ACXT,1", r"r\.csv:11: a sequence of dna holds 'X'"),
        ("token", "ACGT,ab", r"r\.csv:2: 1 labels for 4 units|r\.csv:11: 2 labels for 4 units"),
    ],
)
def test_wrong_rows_are_named(kind: str, row: str, text: str, tmp_path: Path) -> None:
    value = "a" if kind.startswith("class") else "1" if kind == "regression" else "aaaa"
    rows = [f"ACGT,{value}"] * 9
    path = task(
        tmp_path, f"kind: {kind}\ndata: {{file: r.csv}}\n", r__csv=table("Sequence,Value", *rows, row)
    )
    with pytest.raises(DataError, match=text):
        load_task(path)


def test_damaged_archives_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and then nothing")
    path = task(tmp_path, "data: {file: a.zip, member: x.csv}\n")
    with pytest.raises(DataError, match=r"a\.zip: not a whole zip archive"):
        load_task(path)
    (tmp_path / "p.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"p\.parquet: not a Parquet file"):
        load_task(task(tmp_path, "data: {file: p.parquet}\n"))
    with pytest.raises(DataError, match=r"e\.csv: not a CSV table"):
        load_task(task(tmp_path, "data: {file: e.csv}\n", e__csv=""))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a web server on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            del format, args

        def do_GET(self) -> None:
            if "cut" in self.path:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"Sequence,Value\n")
                return
            super().do_GET()

    folder = tmp_path / "publisher"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", folder
        web.shutdown()


def test_files_are_downloaded_once(server: tuple[str, Path], own_cache: Path, tmp_path: Path) -> None:
    address, folder = server
    for part in ("train", "dev", "test"):
        rows = table("sequence,label", *[f"ACGT{'C' * n},{n % 2}" for n in range(6)])
        (folder / f"{part}.csv").write_text(rows)
    yaml = ("kind: classification\ncolumns: {sequence: sequence, value: label}\n"
            f"data: {{file: 'g/{{split}}.csv', splits: [train, dev, test], "
            f"url: '{address}/{{split}}.csv'}}\n")  # fmt: skip
    path = task(tmp_path, yaml)
    first = load_task(path)
    assert sorted(p.name for p in (own_cache / "tasks" / "g").iterdir()) == [
        "dev.csv",
        "test.csv",
        "train.csv",
    ]
    (folder / "train.csv").unlink()
    assert load_task(path).fingerprint == first.fingerprint


def test_a_download_that_is_cut_or_missing_leaves_nothing(
    server: tuple[str, Path], own_cache: Path, tmp_path: Path
) -> None:
    address, _ = server
    path = task(tmp_path, f"data: {{file: x.csv, url: '{address}/cut.csv'}}\n")
    with pytest.raises(ConfigError, match="15 of 1000 bytes came"):
        load_task(path)
    task(tmp_path, f"data: {{file: x.csv, url: '{address}/none.csv'}}\n")
    with pytest.raises(ConfigError, match=r"cannot be downloaded \((HTTP Error 404: )?.*\): get it from"):
        load_task(path)
    assert not list((own_cache / "tasks").rglob("*.csv"))
    task(tmp_path, "data: {file: x.csv, url: 'http://example.org/x.csv'}\n")
    with pytest.raises(ConfigError, match="only https:// addresses are downloaded"):
        load_task(path)
