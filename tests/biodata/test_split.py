import csv
import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biodata.errors import ConfigError, DataError
from biodata.mmseqs import normalised
from biodata.similarity.search import Hits
from biodata.splits.audit import AuditSettings, audit, held_out_rows
from biodata.splits.repair import crossing, join_clusters, rows_to_purge
from biodata.splits.split import PURGED, Split, SplitConfig, assign, repair_again, split_counts, split_rows


def pairs(*edges: tuple[int, int]) -> Hits:
    array = np.array(edges, np.int64).reshape(-1, 2)
    return Hits(array[:, 0], array[:, 1], np.ones(len(array)))


def fasta(path: Path) -> list[str]:
    """Sequences of a small gzipped FASTA file."""
    with gzip.open(path, "rt") as handle:
        return ["".join(part.split("\n")[1:]) for part in handle.read().split(">")[1:]]


def split_until_clean(texts: list[str], config: SplitConfig, alphabet: str, workdir: Path) -> Split:
    column = normalised(pa.array(texts), alphabet=alphabet)
    split = split_rows(column, config, alphabet=alphabet, workdir=workdir)
    for _ in range(10):
        found = audit(
            column, split.split, alphabet=alphabet, settings=config.audit_settings(), workdir=workdir
        )
        if not len(found.leaks.query):
            assert found.as_dict()["leaking_rows"] == 0
            return split
        split = repair_again(split, found.leaks, config)
    raise AssertionError("still leaking")


def test_assign_keeps_clusters_whole_and_sizes_near_the_fractions() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 300, 5000)
    parts = assign(labels, fractions=(0.7, 0.15, 0.15), seed=4)
    assert all(len(set(parts[labels == label])) == 1 for label in range(300))
    assert np.allclose(np.bincount(parts) / 5000, (0.7, 0.15, 0.15), atol=0.01)
    assert np.array_equal(parts, assign(labels, fractions=(0.7, 0.15, 0.15), seed=4))
    assert not np.array_equal(parts, assign(labels, fractions=(0.7, 0.15, 0.15), seed=5))


def test_assign_fills_every_split_asked_for() -> None:
    assert np.bincount(assign(np.arange(3), fractions=(0.7, 0.15, 0.15), seed=0)).tolist() == [1, 1, 1]
    assert sorted(np.bincount(assign(np.array([0] * 50 + [1, 2]), fractions=(0.7, 0.15, 0.15), seed=0))) == [
        1, 1, 50]  # fmt: skip
    assert set(assign(np.arange(10), fractions=(0.8, 0.2, 0.0), seed=0)) == {0, 1}
    with pytest.raises(DataError, match="20 rows form 2 clusters of similar sequences, too few for 3 splits"):
        assign(np.arange(20) % 2, fractions=(0.7, 0.15, 0.15), seed=0)


def test_small_components_are_joined_and_large_ones_left_for_purging() -> None:
    links = pairs((0, 1), *((at, at + 1) for at in range(4, 9)))
    groups = join_clusters(np.arange(10), links, most_rows=3, mode="auto")
    assert groups.labels.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert (groups.largest_component, groups.percolating_rows, groups.percolating) == (6, 6, 1)
    assert len(set(join_clusters(np.arange(10), links, most_rows=3, mode="merge").labels)) == 4
    assert len(set(join_clusters(np.arange(10), links, most_rows=3, mode="purge").labels)) == 10


def test_purging_covers_every_crossing_pair_with_few_rows() -> None:
    rng = np.random.default_rng(2)
    split = rng.choice(3, 200, p=(0.7, 0.15, 0.15)).astype(np.int8)
    links = pairs(*rng.integers(0, 200, (300, 2)).tolist())
    links = Hits(*(part[links.query != links.target] for part in links))
    purged = rows_to_purge(links, split)
    after = split.copy()
    after[purged] = PURGED
    assert not len(crossing(links, after).query)
    assert len(purged) < len(held_out_rows(links, split))
    hub = rows_to_purge(pairs((9, 0), (9, 1), (8, 2)), np.array([0] * 8 + [1, 2]))
    assert hub.tolist() == [2, 9]  # the hub, and of the equal pair the training row


@pytest.mark.parametrize(("field", "value"), [
    ("identity", 1.2), ("coverage", 0), ("fractions", (0.5, 0.5)), ("fractions", (0.9, 0.2, 0.1)),
    ("repair", "drop"), ("max_component", 2), ("seed", -1),
])  # fmt: skip
def test_wrong_settings_are_quoted(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        SplitConfig(**{field: value})
    assert str(value) in str(caught.value)


def test_chain_of_mutants_is_joined_or_purged(tmp_path: Path) -> None:
    rng = random.Random(3)
    chain = ["".join(rng.choices("ACGT", k=400))]
    for _ in range(11):  # each 95 % like the one before, the ends far below 90 %
        text = list(chain[-1])
        for at in rng.sample(range(400), 20):
            text[at] = rng.choice("ACGT".replace(text[at], ""))
        chain.append("".join(text))
    texts = chain + ["".join(rng.choices("ACGT", k=400)) for _ in range(60)]

    merged = split_until_clean(texts, SplitConfig(repair="merge", threads=2, exact_effort=2), "dna", tmp_path)
    assert len(set(merged.cluster[:12])) == 1 and not (merged.split == PURGED).any()
    assert merged.info["joined"]["largest_component"] == 12

    config = SplitConfig(max_component=0.05, threads=2, exact_effort=2)
    purged = split_until_clean(texts, config, "dna", tmp_path)
    assert purged.info["joined"]["percolating_rows"] == 12
    assert (purged.split[12:] >= 0).all() and sum(split_counts(purged.split).values()) < len(texts)


@pytest.mark.parametrize(
    ("alphabet", "letters", "identity", "coverage"),
    [("protein", "ACDEFGHIKLMNPQRSTVWY", 0.5, 0.8), ("dna", "ACGT", 0.85, 0.5)],
)
def test_clusters_of_any_identity_and_coverage(
    alphabet: str, letters: str, identity: float, coverage: float, tmp_path: Path
) -> None:
    """Families that only this identity (proteins, 0.65 alike) or coverage (0.6 in common) makes alike."""
    rng = random.Random(13)
    texts = []
    for _ in range(20):
        core, edits = "".join(rng.choices(letters, k=240)), 48 if alphabet == "protein" else 7
        for _ in range(3):
            new = list(core)
            for at in rng.sample(range(240), edits):
                new[at] = rng.choice(letters.replace(new[at], ""))
            texts.append("".join(new) + "".join(rng.choices(letters, k=0 if alphabet == "protein" else 160)))
    config = SplitConfig(identity=identity, coverage=coverage, threads=1, exact_effort=0.5)
    split = split_until_clean(texts, config, alphabet, tmp_path)
    parts = split.split.reshape(20, 3)
    assert all(len(set(family)) == 1 for family in parts.tolist()) and (parts >= 0).all()
    plain = split_rows(normalised(pa.array(texts), alphabet=alphabet), SplitConfig(threads=1),
                       alphabet=alphabet, workdir=tmp_path)  # fmt: skip
    assert plain.info["joined"]["clusters"] == 60


def test_short_proteins_do_not_slip_through(tmp_path: Path, real_data: Path) -> None:
    with gzip.open(real_data / "tcr" / "tcrdb_PRJNA298417.tsv.gz", "rt") as handle:
        texts = list(dict.fromkeys(row["AASeq"] for row in csv.DictReader(handle, delimiter="\t")))
    texts = sorted(text for text in texts if text.isalpha())[:600]
    split = split_until_clean(texts, SplitConfig(threads=2, exact_effort=5), "protein", tmp_path)
    assert split.info["search"]["rows_compared_exactly"] == 600
    assert split.info["joined"]["clusters"] < split.info["clustering"]["clusters"]


def test_antibodies_percolate_and_are_purged(tmp_path: Path, real_data: Path) -> None:
    with gzip.open(real_data / "mrna" / "antibody_inframe.csv.gz", "rt") as handle:
        texts = list(dict.fromkeys(row["cds"] for row in csv.DictReader(handle)))
    texts = random.Random(0).sample(texts, 350)
    config = SplitConfig(threads=2, exact_effort=10)
    split = split_until_clean(texts, config, "dna", tmp_path)
    plain, joined = split.info["plain"], split.info["joined"]
    assert plain["leaking_rows"] > 0.2 * plain["held_out_rows"]
    assert joined["largest_component"] > 0.1 * len(texts)
    assert 0 < (split.split == PURGED).sum() < 0.5 * len(texts)


def test_genes_of_seven_species_do_not_leak(tmp_path: Path, real_data: Path) -> None:
    files = sorted((real_data / "cds").glob("calm_validation_*.fasta.gz"))
    assert len(files) == 7
    texts = [text for path in files for text in fasta(path)[:40]]
    split = split_until_clean(texts, SplitConfig(threads=2, exact_effort=5), "dna", tmp_path)
    assert sum(split_counts(split.split).values()) >= 0.98 * len(texts)


def test_audit_finds_what_was_planted_across_a_split(tmp_path: Path) -> None:
    rng = random.Random(7)
    base = ["".join(rng.choices("ACGT", k=300)) for _ in range(80)]
    copies = []
    for at, text in enumerate(base):
        new = list(text)
        for place in rng.sample(range(300), (30, 24, 15, 3)[at % 4]):  # 90, 92, 95, 99 %
            new[place] = rng.choice("ACGT".replace(new[place], ""))
        copies.append("".join(new))
    column = normalised(pa.array(base + copies), alphabet="dna")
    split = np.array([0] * 80 + [1, 2] * 40, np.int8)
    settings = AuditSettings(effort=5, threads=2)
    found = audit(column, split, alphabet="dna", settings=settings, workdir=tmp_path)
    assert found.leaking_rows.tolist() == list(range(80, 160))
    result = found.as_dict()
    assert result["max_identity"] == pytest.approx(0.99, abs=0.002)
    by_identity = result["search"]["planted_found_by_identity"]
    assert [by_identity[level] for level in ("0.92", "0.95", "0.99")] == [[16, 16]] * 3
    assert by_identity["0.9"][0] >= 13 and result["search"]["planted"] == 64
    assert result["exact"]["complete"] and result["exact"]["recall_of_search"] > 0.95
    early = audit(column, split, alphabet="dna", settings=settings, workdir=tmp_path, stop_early=True)
    assert early.exact["queries"] == 0 and len(early.leaking_rows) > 70
    assert not list(tmp_path.iterdir())
