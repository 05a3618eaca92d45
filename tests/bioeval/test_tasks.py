"""Task files: those of the package, wrong ones, splits, and where data is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError, DataError
from bioeval.tasks import describe_tasks, load_task, task_names
from bioeval.tasks import loader as module
from bioeval.tasks.find import find_file, pieces_of, where_to_put
from bioeval.tasks.loader import read_task
from bioeval.tasks.splits import group_split

ROWS = [f"ACGU{'A' * i},{i}.5,{s}" for i, s in enumerate(["train"] * 3 + ["val"] * 3 + ["test"] * 3)]
SIZES = {  # rows, train, validation, test of the publishers' splits
    "mrfp": (1459, 1021, 219, 219),
    "cov-degradation": (2400, 1600, 400, 400),
    "tc-riboswitch": (355, 248, 53, 54),
    "mlos": (167, 117, 25, 25),
}


def write_task(folder: Path, *lines: str, rows: list[str] = ROWS, head: str = "Sequence,Value,Split") -> Path:
    (folder / "t.csv").write_text("\n".join([head, *rows]) + "\n")
    path = folder / "t.yaml"
    text = ["name: t", "data: {file: t.csv}", "alphabet: rna", "columns: {split: Split}", *lines]
    path.write_text("\n".join(text) + "\n")
    return path


def test_the_tasks_of_the_contract_are_there() -> None:
    names = ("cov-degradation", "ecoli-abundance", "icodon", "mlos", "mrfp", "tc-riboswitch")
    assert set(names) < set(task_names())
    for name in names:
        config, _ = module.read_task(name)
        assert config.name == name and config.data.sha256 and config.note


def test_one_file_of_several_tasks() -> None:
    assert "flip-gb1:two_vs_rest" in task_names() and "flip-gb1" not in task_names()
    config, path = module.read_task("flip-gb1:two_vs_rest")
    assert (config.name, path.name) == ("flip-gb1:two_vs_rest", "flip-gb1.yaml")
    assert config.data.member == "splits/two_vs_rest.csv" and "two_vs_rest" in config.title
    free, _ = module.read_task("proteingym:A4_HUMAN_Seuma_2022")
    assert free.data.member == "DMS_ProteinGym_substitutions/A4_HUMAN_Seuma_2022.csv"
    for name, text in {
        "flip-gb1": "task 'flip-gb1' is several, say which: flip-gb1:NAME with NAME of one_vs_rest",
        "flip-gb1:tow_vs_rest": "no 'tow_vs_rest', did you mean 'two_vs_rest'",
        "mrfp:x": "its file has one task, give the name without ':x'",
        "proteingym:../x": "unknown task|no '../x'",
    }.items():
        with pytest.raises(ConfigError, match=text) as caught:
            module.read_task(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SIZES)
def test_published_splits(name: str, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    task = load_task(name)
    sizes = tuple(task.rows(s).num_rows for s in ("train", "validation", "test"))
    assert (task.table.num_rows, *sizes) == SIZES[name]
    assert task.groups("test") is None and len(task.values("test")) == sizes[2]


def test_icodon_keeps_genes_and_sequences_together(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    task = load_task("icodon")
    splits = ("train", "validation", "test")
    genes = [set(task.groups(s) or []) for s in splits]
    sequences = [set(task.sequences(s)) for s in splits]
    assert sum(map(len, genes)) == len(set.union(*genes)) == 3446
    assert sum(map(len, sequences)) == len(set.union(*sequences)) == 3444
    assert task.rows("train").num_rows / 7576 == pytest.approx(0.7, abs=0.01)
    assert task.fingerprint == load_task("icodon").fingerprint


def test_describe_tasks_tells_where_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQLOOM_REAL_DATA", raising=False)
    rows = {row["name"]: row for row in describe_tasks()}
    assert rows["mrfp"]["data"] is None and "raw.githubusercontent.com" in rows["mrfp"]["get"]
    assert "non-commercial" in rows["mrfp"]["licence"]


def test_a_file_saved_where_the_message_says_is_found(own_cache: Path) -> None:
    """Every publisher's file has a name of its own there; five call theirs `splits.zip`."""
    places = {}
    for name in task_names():
        config, path = read_task(name)
        if not (config.data.url or config.data.home):
            continue
        piece = pieces_of(config)[0]
        said = where_to_put(config.data, piece)
        place = Path(said.partition("save it as ")[2].removesuffix(" (or set SEQLOOM_CACHE)"))
        assert place.is_relative_to(own_cache / "tasks")
        assert places.setdefault(place, piece.url) == piece.url, said
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        assert find_file(config.data, beside=path.parent, piece=piece, download=False) == place
    assert len(places) > 30


def test_missing_data_without_network_is_one_line(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQLOOM_REAL_DATA", raising=False)
    with pytest.raises(
        ConfigError, match=r"icodon_heldout_genes\.csv is not there: get it from https"
    ) as caught:
        load_task("icodon")
    assert str(own_cache / "tasks") in str(caught.value) and "\n" not in str(caught.value)

    def no_network(*args, **kwargs):
        raise module_error("no route to host")

    from urllib.error import URLError as module_error

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        ConfigError, match=r"cannot be downloaded \(no route to host\): get it from https"
    ) as caught:
        load_task("mrfp")
    assert "\n" not in str(caught.value)


def test_the_cache_comes_before_real_data(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(tmp_path / "real"))
    (tmp_path / "here").mkdir()
    path = write_task(tmp_path / "here")
    (tmp_path / "here" / "t.csv").unlink()
    for folder in (own_cache / "tasks", tmp_path / "real" / "mrna"):
        folder.mkdir(parents=True)
        rows = ROWS if "cache" in str(folder) else ROWS[:-1]
        (folder / "t.csv").write_text("\n".join(["Sequence,Value,Split", *rows]) + "\n")
    assert load_task(path).table.num_rows == 9


def test_a_dataset_of_seqloom_is_a_task(planted_task: Path, tmp_path: Path) -> None:
    task = load_task(planted_task)
    assert task.alphabet == "dna" and task.table.num_rows == 150 and task.unit == "codon"
    assert [task.rows(s).num_rows for s in ("train", "validation", "test")] == [90, 30, 30]
    assert (task.groups("test") or [])[:2] == ["4", "4"]
    moved = tmp_path / "elsewhere"
    (tmp_path / "set").rename(moved)
    with pytest.raises(ConfigError, match="no train shards"):
        load_task(planted_task)
    assert load_task(planted_task, data=moved).fingerprint == task.fingerprint


def test_a_label_that_is_not_there(planted_task: Path) -> None:
    planted_task.write_text("name: p\ndata: {dataset: set, label: colour}\nunit: codon\n")
    with pytest.raises(DataError, match=r"no row has the label 'colour' \(labels there: stability\)"):
        load_task(planted_task)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("ACGT,1,test", r"t\.csv:11: a sequence of rna holds 'T'"),
        (",1,test", r"t\.csv:11: (column 'Sequence' is empty|a sequence of rna holds nothing)"),
        ("ACGU,nan,test", r"t\.csv:11: column 'Value' is empty \(1 such rows; 'missing: drop'"),
        ("ACGU,inf,test", r"t\.csv:11: Value is inf, a finite number expected"),
        ("ACGU,,test", r"t\.csv:11: column 'Value' is empty"),
        ("ACGU,high,test", r"t\.csv:11: Value is 'high', a number expected"),
        ("ACGU,1,holdout", r"t\.csv:11: split 'holdout' \(allowed: train"),
        ("ACGU,1", r"t\.csv: not a CSV table"),
    ],
)
def test_bad_rows_are_refused_by_line(row: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text) as caught:
        load_task(write_task(tmp_path, rows=[*ROWS, row]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("metric: auc", "metric 'auc', known: spearman"),
        ("unit: residue", "unit 'residue' does not go with alphabet 'rna'"),
        ("kind: ranking", "kind"),
        ("metrc: r2", "did you mean 'metric'"),
        ("fractions: [0.5, 0.5, 0.5]", "three positive numbers of sum 1"),
    ],
)
def test_wrong_task_files(line: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        load_task(write_task(tmp_path, line))


def test_unknown_task_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown task 'mrpf', did you mean 'mrfp'"):
        load_task("mrpf")
    with pytest.raises(DataError, match=r"no column 'Value' \(columns: Sequence, Score, Split\)"):
        load_task(write_task(tmp_path, head="Sequence,Score,Split"))
    with pytest.raises(DataError, match="task t: 0 test rows"):
        load_task(write_task(tmp_path, rows=ROWS[:6]))


def test_sha256_is_checked_over_the_plain_file(tmp_path: Path) -> None:
    import gzip
    import hashlib

    path = write_task(tmp_path)
    plain = (tmp_path / "t.csv").read_bytes()
    digest = hashlib.sha256(plain).hexdigest()
    (tmp_path / "t.csv").unlink()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(plain))
    path.write_text(path.read_text().replace("t.csv}", f"t.csv, sha256: {digest}}}"))
    assert load_task(path).notes["data_sha256"] == digest
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(plain + b"A,1,test\n"))
    with pytest.raises(DataError, match="SHA-256 of the plain file is"):
        load_task(path)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("ABCDEFGHIJ"), st.sampled_from("uvwxyz")), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_group_split_never_parts_a_group_or_a_sequence(rows: list[tuple[str, str]], seed: int) -> None:
    sequences, groups = [list(c) for c in zip(*rows)]
    found = group_split(sequences, groups, fractions=(0.6, 0.2, 0.2), seed=seed)
    for column in (sequences, groups):
        for value in set(column):
            assert len({s for s, v in zip(found, column) if v == value}) == 1
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    turned = group_split(
        [sequences[i] for i in order], [groups[i] for i in order], fractions=(0.6, 0.2, 0.2), seed=seed
    )
    assert turned == [found[i] for i in order]


def test_group_split_fills_the_fractions() -> None:
    sequences = [f"S{i}" for i in range(1000)]
    found = group_split(sequences, [None] * 1000, fractions=(0.7, 0.15, 0.15), seed=1)
    assert [found.count(s) for s in ("train", "validation", "test")] == pytest.approx([700, 150, 150], abs=2)
    assert found != group_split(sequences, [None] * 1000, fractions=(0.7, 0.15, 0.15), seed=2)
