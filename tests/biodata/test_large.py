"""Sets beyond memory: planted relatives are found, the split is clean, a second look repairs."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.alphabet import reverse_complement
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.dataset import open_dataset
from biodata.large import candidates, sketches
from biodata.large import rows as large_rows
from biodata.large.candidates import pairs_of
from biodata.large.letters import write_letters
from biodata.large.links import Known, candidate_files, find_crossing, find_links
from biodata.large.sketches import Block, Pass, read_partition, sketch_block
from biodata.large.verify import Likeness, best_stretch, verified
from biodata.schema import SPLITS
from biodata.similarity.pairwise import best_identity
from biodata.similarity.search import keys_of
from biodata.similarity.sketch import sketch_settings
from biodata.splits.audit import AuditSettings, audit
from biodata.splits.split import SplitConfig

LETTERS = {"dna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}


def random_text(rng: np.random.Generator, alphabet: str, length: int) -> str:
    return "".join(rng.choice(list(LETTERS[alphabet]), length))


def mutated(rng: np.random.Generator, text: str, alphabet: str, identity: float) -> str:
    """Substitutions, and where there is room an insertion and a deletion of one letter."""
    letters = np.array(list(text))
    for at in rng.choice(len(letters), max(0, round((1 - identity) * len(letters)) - 2), replace=False):
        letters[at] = rng.choice([x for x in LETTERS[alphabet] if x != letters[at]])
    if identity < 0.98:
        letters = np.insert(np.delete(letters, len(letters) // 3), 2 * len(letters) // 3, letters[0])
    return "".join(letters)


def stages(folder: Path, texts: list[str]) -> list[Path]:
    """Two Parquet files with the columns that are looked at."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, part in enumerate((texts[: len(texts) // 2], texts[len(texts) // 2 :])):
        lengths = pa.array([len(text) for text in part], pa.int64())
        table = pa.table({"sequence": pa.array(part, pa.large_string()), "length": lengths})
        paths.append(folder / f"stage-{number}.parquet")
        pq.write_table(table, paths[-1])
    return paths


def likeness(folder: Path, alphabet: str) -> Likeness:
    return Likeness(letters=folder / "letters", alphabet=alphabet,
                    sketch=sketch_settings(alphabet=alphabet, identity=0.9, coverage=0.8))  # fmt: skip


@pytest.mark.parametrize("alphabet", ["dna", "protein"])
def test_planted_relatives_of_every_identity_are_found(alphabet: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    levels = np.repeat([0.90, 0.92, 0.95, 0.99], 100)
    texts = []
    for level in levels:
        text = random_text(rng, alphabet, int(rng.integers(200, 700)))
        copy = mutated(rng, text, alphabet, level)
        texts += [text, reverse_complement(copy) if alphabet == "dna" and rng.random() < 0.5 else copy]
    letters = write_letters(stages(tmp_path, texts), tmp_path / "letters", alphabet=alphabet)
    with letters.rows() as read:
        assert [read(row).decode() for row in (0, 401, 799)] == [texts[0], texts[401], texts[799]]
    by = likeness(tmp_path, alphabet)
    files = candidate_files(letters, by, tmp_path / "pass", seed=0, executor=None)
    labels, links, known = find_links(letters, by, files, executor=None)
    planted = keys_of(np.arange(0, 800, 2), np.arange(1, 800, 2))
    found = np.isin(planted, keys_of(links.query, links.target))
    recall = {level: found[levels == level].mean() for level in np.unique(levels)}
    assert min(recall.values()) >= 0.98 and found.mean() >= 0.99, recall
    assert len(links.query) == found.sum()  # and nothing else
    assert known.aligned < 6 * len(texts)  # linear: a few alignments a row
    assert (labels[::2] == labels[1::2]).mean() >= 0.99


def test_sketches_hold_the_same_share_of_every_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lengths = [30, 300, 3_000, 300_000]
    texts = [random_text(rng, "dna", length) for length in lengths]
    texts += ["ACGTN" * 100, reverse_complement(texts[2])]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(sketches, "_PIECE", 50_000)  # the long row in pieces
        letters = write_letters(stages(tmp_path, texts), tmp_path / "letters", alphabet="dna")
        how = Pass(folder=tmp_path, letters=tmp_path / "letters", alphabet="dna", k=15, seed=3, partitions=4)
        block = Block(of=how, number=0, start=0, stop=len(letters))
        total = sketch_block(block)
    parts = [read_partition(block.path, number, 4) for number in range(4)]
    assert sum(len(hashes) for hashes, _ in parts) == total
    assert all((hashes & np.uint64(3) == number).all() for number, (hashes, _) in enumerate(parts))
    hashes, rows = (np.concatenate(column) for column in zip(*parts))
    counts = np.bincount(rows, minlength=6)
    assert counts[0] == 16 and counts[4] == 0  # all k-mers of a short row, none with N
    assert all(25 < count < 80 for count in counts[1:4])
    assert sorted(hashes[rows == 2]) == sorted(hashes[rows == 5])  # either strand


def test_pairs_are_few_in_large_groups() -> None:
    lengths = np.array([100, 90, 80, 50, *range(100, 200)])
    keys = pairs_of(np.full(4, 7, np.uint64), np.arange(4), lengths, 0.72)
    assert set(zip((keys >> 32).tolist(), (keys & 0xFFFFFFFF).tolist())) == {(0, 1), (0, 2), (1, 2)}
    keys = pairs_of(np.full(100, 7, np.uint64), np.arange(4, 104), lengths, 0.72)
    assert len(keys) <= 4 * 100
    assert not len(pairs_of(np.arange(5, dtype=np.uint64), np.arange(5), lengths, 0.72))


def test_alignments_leave_out_ends_and_long_rows_are_estimated(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    core = random_text(rng, "dna", 500)
    long = random_text(rng, "dna", 40_000)
    texts = [core + random_text(rng, "dna", 100), core + random_text(rng, "dna", 100),
             core[:300] + random_text(rng, "dna", 300), long, mutated(rng, long, "dna", 0.95),
             random_text(rng, "dna", 40_000)]  # fmt: skip
    write_letters(stages(tmp_path, texts), tmp_path / "letters", alphabet="dna")
    query, target = np.array([0, 0, 3, 3]), np.array([1, 2, 4, 5])
    found = verified(query, target, likeness(tmp_path, "dna"), what="")
    assert list(zip(found.query.tolist(), found.target.tolist())) == [(0, 1), (3, 4)]
    assert found.identity[1] == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("coverage", [0.4, 0.8, 0.95])
def test_pairs_refused_by_their_middle_are_alike_nowhere(coverage: float) -> None:
    rng = np.random.default_rng(3)
    found = []
    for level in rng.uniform(0.80, 1, 60):
        core = random_text(rng, "dna", 150)
        ends = [random_text(rng, "dna", int(n)) for n in rng.integers(0, 30, 4)]
        short, long = sorted((ends[0] + core + ends[1], ends[2] + mutated(rng, core, "dna", level) + ends[3]),
                             key=len)  # fmt: skip
        size = math.ceil(coverage * len(short))
        least = max(0.0, coverage - 0.04) * size / len(short)
        tried = [(short, coverage), *((short[at : at + size], least) for at in
                 (0, (len(short) - size) // 2, len(short) - size))]  # fmt: skip
        values = [best_identity(text, long, identity=0.88, coverage=share, both_strands=False)
                  for text, share in tried]  # fmt: skip
        expected = values[0] or max(values)
        strands = [reverse_complement(short), short]
        assert best_stretch(strands, long, identity=0.88, coverage=coverage) == expected
        found.append(expected > 0)
    assert 0 < sum(found) < len(found)


def test_crossing_pairs_are_found_whatever_connects_them(tmp_path: Path) -> None:
    """Three alike rows need two alignments; in three different splits the third pair counts as well."""
    rng = np.random.default_rng(6)
    text = random_text(rng, "dna", 400)
    texts = [text, mutated(rng, text, "dna", 0.97), mutated(rng, text, "dna", 0.96)]
    letters = write_letters(stages(tmp_path, texts), tmp_path / "letters", alphabet="dna")
    by = likeness(tmp_path, "dna")
    files = candidate_files(letters, by, tmp_path / "pass", seed=0, executor=None)
    _, links, known = find_links(letters, by, files, executor=None)
    assert len(links.query) == 2
    more = find_crossing(np.array([0, 1, 2]), by, files, known, executor=None)
    assert len(more.query) == 1 and known.aligned == 3
    assert not len(find_crossing(np.array([0, 1, 2]), by, files, known, executor=None).query)
    fresh = Known()
    fresh.add(links.query, links.target)
    fresh.add(more.query, more.target)
    assert not fresh.is_new(np.array([2, 0]), np.array([0, 1])).any()


def write_families(path: Path, families: int) -> Path:
    rng = np.random.default_rng(8)
    lines = []
    for number in range(families):
        text = random_text(rng, "dna", int(rng.integers(300, 500)))
        for member in range(3):
            lines.append(f">f{number}_{member}\n{mutated(rng, text, 'dna', 0.93 + 0.03 * member)}\n")
    path.write_text("".join(lines))
    return path


def test_a_build_by_the_large_path(tmp_path: Path) -> None:
    source = write_families(tmp_path / "x.fa", 60)
    read = ReadConfig(inputs=(str(source),))
    large = BuildConfig(read=read, split=SplitConfig(large_letters=0, threads=1))
    result = build_dataset(large, tmp_path / "large")
    assert result["rows"] == 180 and result["clusters"] <= 63 and not result["audit"]["leaking_rows"]
    assert "k-mer" in result["audit"]["method"] or "MMseqs2" in result["audit"]["method"]
    assert result["audit"]["search"]["complete"] is True and result["audit"]["exact"]["complete"] is False
    assert result["audit"]["search"]["planted_found"] >= 0.9 * result["audit"]["search"]["planted"]
    found = open_dataset(tmp_path / "large")
    assert found.manifest["repair"]["explanation"].startswith("Sketches of k-mers put 180 rows into ")
    home = {name: {id.split("_")[0] for id in found.table(name)["id"].to_pylist()} for name in SPLITS}
    assert not home["train"] & home["test"] and not home["train"] & home["validation"]
    assert (
        "no row was compared exactly, because the set is large" in (tmp_path / "large/README.md").read_text()
    )
    again = dataclasses.replace(large, split=SplitConfig(large_letters=0, threads=2))
    assert build_dataset(again, tmp_path / "again")["fingerprint"] == result["fingerprint"]


@pytest.mark.parametrize(
    ("by", "settings", "together"),
    [
        ("random", {}, None),
        ("group", {"group": ("study",)}, "study"),
        ("taxon", {"test_values": ("Bacillus",)}, "organism"),
        ("time", {"cuts": ("2004", "2007")}, "date"),
    ],
)
def test_every_way_to_split_by_the_large_path(
    by: str, settings: dict[str, tuple[str, ...]], together: str | None, tmp_path: Path
) -> None:
    """Groups, taxa and days that share families: what is split as a whole is, and no relative crosses."""
    rng = np.random.default_rng(12)
    genera = ("Escherichia", "Bacillus", "Vibrio", "Listeria", "Thermus", "Yersinia")
    lines = ["id,sequence,study,organism,date"]
    for number in range(48):
        text = random_text(rng, "dna", int(rng.integers(150, 200)))
        for member in range(2):
            of = number % 12 if number % 12 or not member else (number + 1) % 12  # some families are in two
            copy = mutated(rng, text, "dna", 0.94)
            lines.append(f"f{number}_{member},{copy},s{of},{genera[of % 6]} x,{2000 + of % 10}-05")
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    split = SplitConfig(by=by, large_letters=0, threads=1, **settings)  # pyright: ignore[reportArgumentType]
    config = BuildConfig(read=ReadConfig(inputs=(str(tmp_path / "x.csv"),)), split=split)
    result = build_dataset(config, tmp_path / "out")
    assert result["repair"]["split_by"] == by and not result["audit"]["leaking_rows"]
    found = open_dataset(tmp_path / "out")
    rows = [row | {"split": name} for name in SPLITS for row in found.table(name).to_pylist()]
    texts, parts = [row["sequence"] for row in rows], np.array([SPLITS.index(row["split"]) for row in rows])
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    whole = audit(
        column, parts, alphabet="dna", settings=AuditSettings(threads=1, effort=1), workdir=tmp_path
    )
    assert not len(whole.leaks.query)
    if together:
        labels = [
            {"organism": row["organism"]} | {x["name"]: x["text"] for x in row["labels"]} for row in rows
        ]
        home: dict[str, set[str]] = {}
        for named, row in zip(labels, rows):
            home.setdefault(named[together], set()).add(row["split"])
        assert all(len(splits) == 1 for splits in home.values())
        if by == "taxon":
            assert home["Bacillus x"] == {"test"}


def test_what_a_sample_finds_starts_a_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first passes are made blind: the audit of the sample says so, the next and purging repair it."""
    source = write_families(tmp_path / "x.fa", 40)
    real, seen = large_rows.candidate_files, []

    def blind(letters, by, folder, *, seed, executor):
        seen.append(seed)
        if seed > 1:
            return real(letters, by, folder, seed=seed, executor=executor)
        folder.mkdir(parents=True)
        np.save(folder / "none.npy", np.zeros((2, 0), np.uint64))
        return [folder / "none.npy"]

    monkeypatch.setattr(large_rows, "candidate_files", blind)
    split = SplitConfig(large_letters=0, threads=1)
    result = build_dataset(BuildConfig(read=ReadConfig(inputs=(str(source),)), split=split), tmp_path / "out")
    assert seen[:3] == [0, 1, 2] and result["repair"]["rounds_after_audit"] >= 1
    assert not result["audit"]["leaking_rows"] and sum(result["repair"]["rows_purged"].values()) > 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["repair"]["search"]["method"].startswith("k-mer sketches")


def test_many_partitions_give_the_pairs_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    texts = [random_text(rng, "dna", 200) for _ in range(50)]
    texts += [mutated(rng, text, "dna", 0.95) for text in texts]
    letters = write_letters(stages(tmp_path, texts), tmp_path / "letters", alphabet="dna")
    by, found = likeness(tmp_path, "dna"), []
    for size, block in ((1 << 22, 64 << 20), (300, 3_000)):
        monkeypatch.setattr(candidates, "_PARTITION", size)
        monkeypatch.setattr(candidates, "_BLOCK_LETTERS", block)
        files = candidate_files(letters, by, tmp_path / f"pass-{size}", seed=0, executor=None)
        found.append(np.concatenate([np.load(path) for path in files], axis=1))
    assert len(files) > 8 and np.array_equal(found[0], found[1]) and found[0].shape[1] >= 50
