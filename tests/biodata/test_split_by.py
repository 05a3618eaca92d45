import csv
import gzip
import random
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.mmseqs import normalised
from biodata.schema import BioSequence, table_from_records
from biodata.similarity.pairwise import short_pairs
from biodata.splits.audit import audit
from biodata.splits.by_time import parse_day
from biodata.splits.columns import read_columns
from biodata.splits.split import PURGED, Split, SplitConfig, repair_again, split_rows
from biodata.splits.ways import SPLITTERS


def random_dna(rng: random.Random, length: int = 200) -> str:
    return "".join(rng.choices("ACGT", k=length))


def mutant(text: str, rng: random.Random) -> str:
    new = list(text)
    for at in rng.sample(range(len(text)), len(text) // 25):
        new[at] = rng.choice("ACGT".replace(new[at], ""))
    return "".join(new)


def clean_split(
    texts: list[str], config: SplitConfig, workdir: Path, columns: dict[str, list[str | None]]
) -> Split:
    """The split after repair and audit, which must find nothing."""
    column = normalised(pa.array(texts), alphabet="dna")
    chunked = {
        name: pa.chunked_array([pa.array(values, pa.large_string())]) for name, values in columns.items()
    }
    split = split_rows(column, config, alphabet="dna", workdir=workdir, columns=chunked)
    for _ in range(5):
        found = audit(column, split.split, alphabet="dna", settings=config.audit_settings(), workdir=workdir)
        if not len(found.leaks.query):
            return split
        split = repair_again(split, found.leaks, config)
    raise AssertionError("still leaking")


def settings(**values: object) -> SplitConfig:
    return SplitConfig(exact_effort=1, threads=1, **values)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def rows() -> tuple[list[str], dict[str, list[str | None]]]:
    """120 rows: 12 subjects of 10 rows; a near-copy of a row of another subject here and there."""
    rng = random.Random(5)
    texts = [random_dna(rng) for _ in range(120)]
    for at in range(0, 30, 6):
        texts[at + 60] = mutant(texts[at], rng)
    subjects: list[str | None] = [f"s{at // 10}" for at in range(120)]
    days: list[str | None] = [f"20{10 + at // 12}-0{1 + at % 9}-11" for at in range(120)]
    organisms: list[str | None] = [
        f"Genus{'abcdef'[at // 20]} species{at % 2} strain {at}" for at in range(120)
    ]
    return texts, {"subject": subjects, "date": days, "organism": organisms}


def parts_of(split: Split, values: list[str | None]) -> dict[str | None, set[int]]:
    found: dict[str | None, set[int]] = {}
    for value, part in zip(values, split.split.tolist()):
        if part != PURGED:
            found.setdefault(value, set()).add(part)
    return found


def test_groups_stay_whole_and_nothing_leaks(rows, tmp_path: Path) -> None:
    texts, columns = rows
    for repair in ("auto", "purge", "merge"):
        config = settings(by="group", group=("subject",), repair=repair, max_component=0.2)
        split = clean_split(texts, config, tmp_path, columns)
        assert all(len(parts) == 1 for parts in parts_of(split, columns["subject"]).values())
        assert set(split.split.tolist()) >= {0, 1, 2}
        assert (split.split == PURGED).any() == (repair == "purge" and bool(len(split.links.query)))
        assert split.info["clustering"]["method"] == "group" and split.info["clustering"]["clusters"] == 12
        for label in np.unique(split.cluster):
            assert len(set(split.split[split.cluster == label]) - {PURGED}) <= 1


def test_named_values_are_the_test_split(rows, tmp_path: Path) -> None:
    texts, columns = rows
    config = settings(by="group", group=("subject",), test_values=("s0", "s3"))
    split = clean_split(texts, config, tmp_path, columns)
    held = [at for at, name in enumerate(columns["subject"]) if name in ("s0", "s3")]
    assert set(np.flatnonzero(split.assigned == 2)) == set(held)
    assert (split.split == PURGED).sum() >= 1  # copies in other subjects can only go
    with pytest.raises(ConfigError, match="no row has the value 's99', which is to be test"):
        clean_split(texts, settings(by="group", group=("subject",), test_values=("s99",)), tmp_path, columns)


def test_taxa_are_held_out_whole(rows, tmp_path: Path) -> None:
    texts, columns = rows
    split = clean_split(texts, settings(by="taxon", max_component=0.5), tmp_path, columns)
    genera = [str(name).split()[0] for name in columns["organism"]]
    assert all(len(parts) == 1 for parts in parts_of(split, genera).values())
    assert split.info["clustering"]["clusters"] == 6


def test_time_puts_the_past_into_train(rows, tmp_path: Path) -> None:
    texts, columns = rows
    for config in (settings(by="time"), settings(by="time", cuts=("2016-03-01", "2018"))):
        split = clean_split(texts, config, tmp_path, columns)
        days = np.array([parse_day(str(text)) for text in columns["date"]])
        ranges = [(days[split.split == part].min(), days[split.split == part].max()) for part in range(3)]
        assert ranges[0][1] < ranges[1][0] and ranges[1][1] < ranges[2][0]
        assert (split.split == PURGED).any()
    assert ranges[1][0] >= date(2016, 3, 1).toordinal() and ranges[2][0] >= date(2018, 1, 1).toordinal()
    shares = np.bincount(split_rows(normalised(pa.array(texts), alphabet="dna"), settings(by="time"),
                                    alphabet="dna", workdir=tmp_path, columns={"date": pa.chunked_array(
                                        [pa.array(columns["date"])])}).assigned) / 120  # fmt: skip
    assert np.allclose(shares, (0.7, 0.15, 0.15), atol=0.02)


def test_undated_rows_stop_the_build_or_are_train(rows, tmp_path: Path) -> None:
    texts, columns = rows
    columns["date"][3] = None
    with pytest.raises(DataError, match="1 of 120 rows have no date"):
        clean_split(texts, settings(by="time"), tmp_path, columns)
    split = clean_split(texts, settings(by="time", undated="train"), tmp_path, columns)
    assert split.assigned[3] == 0
    columns["date"][3] = "soon"
    with pytest.raises(DataError, match="date is 'soon', which is no date"):
        clean_split(texts, settings(by="time"), tmp_path, columns)


def test_random_rows_are_repaired_too(rows, tmp_path: Path) -> None:
    texts, columns = rows
    split = clean_split(texts, settings(by="random"), tmp_path, columns)
    assert split.info["clustering"]["clusters"] == 120 and split.info["joined"]["clusters"] == 115
    assert not (split.split == PURGED).any()


@pytest.mark.parametrize("by", ["random", "cluster"])
def test_rows_of_one_parent_or_pair_never_part(by: str, rows, tmp_path: Path) -> None:
    texts, _ = rows
    windows: list[str | None] = [f"chr{at // 4}" if at < 80 else None for at in range(120)]
    pair: list[str | None] = [f"p{at % 20}" if at >= 80 else None for at in range(120)]
    split = clean_split(texts, settings(by=by), tmp_path, {"window_of": windows, "pair": pair})
    for values in (windows, pair):
        assert all(len(parts) == 1 for value, parts in parts_of(split, values).items() if value)
    assert split.info["clustering"]["rows_kept_together"] == 120


def test_columns_come_from_labels_and_columns_of_the_table(tmp_path: Path) -> None:
    records = [BioSequence(id=str(at), sequence="ACGT" * 5, alphabet="dna", organism="Homo sapiens",
                           labels={"study": f"x{at % 2}", "age": float(at)} if at else None)
               for at in range(4)]  # fmt: skip
    pq.write_table(table_from_records(records), tmp_path / "a.parquet", row_group_size=2)
    found = read_columns(
        [tmp_path / "a.parquet"], SplitConfig(by="group", group=("study", "age", "organism"))
    )
    assert found["study"].to_pylist() == [None, "x1", "x0", "x1"]
    assert found["age"].to_pylist() == [None, "1", "2", "3"]
    assert found["organism"].to_pylist() == ["Homo sapiens"] * 4
    with pytest.raises(
        ConfigError, match=r"no row has a column or label 'donor' to split by \(labels: age, study"
    ):
        read_columns([tmp_path / "a.parquet"], SplitConfig(by="group", group=("donor",)))


@pytest.mark.parametrize(("values", "message"), [
    ({"by": "species"}, "by is 'species', allowed: cluster, random"),
    ({"by": "group"}, "group is empty"),
    ({"cuts": ("2020", "2021")}, "only with by 'time'"),
    ({"test_values": ("a",)}, "need by group or taxon"),
    ({"by": "time", "repair": "merge"}, "only rows can go"),
    ({"by": "taxon", "test_values": ("a",), "validation_values": ("a",)}, "'a' is in test_values and"),
])  # fmt: skip
def test_settings_that_contradict_each_other(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(**values)


def test_every_way_is_in_the_configuration() -> None:
    for name in SPLITTERS:
        assert settings(by=name, group=("x",)).by == name
        assert callable(SPLITTERS.load(name))


def scaffold_split(tmp_path: Path, real_data: Path) -> tuple[list[str], Split]:
    from selfies import encoder

    with gzip.open(real_data / "smiles" / "jtnn_zinc_test.txt.gz", "rt") as handle:
        smiles = [line.split()[0] for _, line in zip(range(200), handle)]
    raw = pa.chunked_array([pa.array([encoder(text) for text in smiles], pa.large_string())])
    config = settings(by="scaffold", tanimoto=0.7)
    column = normalised(raw, alphabet="selfies")
    split = split_rows(column, config, alphabet="selfies", workdir=tmp_path, columns={"sequence": raw})
    found = audit(column, split.split, alphabet="selfies", settings=config.audit_settings(), workdir=tmp_path,
                  selfies=raw)  # fmt: skip
    assert not len(found.leaks.query)
    return smiles, split


def test_no_scaffold_and_no_similar_molecule_is_in_two_splits(tmp_path: Path, real_data: Path) -> None:
    from rdkit import Chem, DataStructs
    from rdkit.Chem import AllChem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    smiles, split = scaffold_split(tmp_path, real_data)
    cores = [MurckoScaffold.MurckoScaffoldSmiles(text, includeChirality=False) or None for text in smiles]
    assert all(len(parts) == 1 for core, parts in parts_of(split, cores).items() if core)
    make = AllChem.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [make.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    train, held = np.flatnonzero(split.split == 0), np.flatnonzero(split.split > 0)
    best = max(DataStructs.TanimotoSimilarity(prints[a], prints[b]) for a in held for b in train)
    # SELFIES write aromatic rings as alternating bonds, which RDKit reads back as aromatic
    assert best < 0.7
    assert len(held) > 40


def test_scaffolds_need_molecules(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the rows are dna, allowed: selfies"):
        clean_split(["ACGT" * 40, "TTGC" * 40], settings(by="scaffold"), tmp_path, {})


def test_one_edit_pairs_of_real_cdr3s_are_all_found(real_data: Path) -> None:
    with gzip.open(real_data / "tcr" / "tcrdb_PRJNA377207.tsv.gz", "rt") as handle:
        texts = sorted(
            {row["AASeq"] for row in csv.DictReader(handle, delimiter="\t") if row["AASeq"].isalpha()}
        )
    texts = random.Random(0).sample(texts, 4000)
    found = short_pairs(texts, below=32, identity=0.9, coverage=0.8)
    pairs = set(zip(found.query.tolist(), found.target.tolist()))
    wild: dict[tuple[str, int], list[int]] = {}
    for row, text in enumerate(texts):  # equal but for one place
        for at in range(len(text)):
            wild.setdefault((text[:at] + "?" + text[at + 1 :], len(text)), []).append(row)
    substituted = {(a, b) for group in wild.values() for a in group for b in group if a < b}
    place = {text: row for row, text in enumerate(texts)}
    deleted = {(min(row, other), max(row, other)) for row, text in enumerate(texts) for at in range(len(text))
               if (other := place.get(text[:at] + text[at + 1 :])) is not None}  # fmt: skip
    long = {pair for pair in substituted if len(texts[pair[0]]) >= 10}  # 1 of 10 letters is 90 %
    assert len(long) > 30 and long <= pairs
    deleted = {pair for pair in deleted if min(len(texts[row]) for row in pair) >= 9}
    assert len(deleted) > 5 and deleted <= pairs
