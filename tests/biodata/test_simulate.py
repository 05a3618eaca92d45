"""The simulator keeps its promises: identity within families, planted defects, measured codon usage."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import edlib
import numpy as np
import pytest
from Bio import SeqIO
from Bio.SeqIO.FastaIO import SimpleFastaParser

from biodata.codon import CODONS
from biodata.errors import ConfigError
from biodata.simulate.archive import DEFECTS, PSEUDO, simulate_archive
from biodata.simulate.families import SimulateConfig, planted_property, simulate_families
from biodata.simulate.species import get_species, measure_codon_usage

SMALL = SimulateConfig(families=12, members=6, seed=3)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive")
    simulate_archive(SMALL, out)
    return out


def identity(a: str, b: str) -> float:
    return 1 - edlib.align(a, b)["editDistance"] / max(len(a), len(b))


def test_families_are_close_inside_and_far_apart():
    genes = simulate_families(SMALL)
    by_family = {f: [g.sequence for g in genes if g.family == f] for f in range(SMALL.families)}
    inside = [identity(a, b) for f in by_family.values() for a, b in itertools.combinations(f, 2)]
    across = [identity(a[0], b[0]) for a, b in itertools.combinations(by_family.values(), 2)]
    assert min(inside) >= 0.9
    assert max(across) < 0.7


def test_genes_are_open_reading_frames():
    for gene in simulate_families(SMALL):
        dna = gene.sequence
        assert dna.startswith("ATG") and len(dna) % 3 == 0
        codons = [dna[i : i + 3] for i in range(0, len(dna), 3)]
        assert codons[-1] in {"TAA", "TAG", "TGA"}
        assert not set(codons[:-1]) & {"TAA", "TAG", "TGA"}


def test_codon_usage_without_bias_follows_the_species():
    config = SimulateConfig(species=("Escherichia coli",), families=300, members=2, seed=1)
    counts = measure_codon_usage(g.sequence for g in simulate_families(config))
    drawn = np.array([counts[c] for c in CODONS], float)
    usage = get_species("Escherichia coli").usage
    # the bias differs by family and averages near the measured usage
    assert np.corrcoef(drawn * (usage > 0), usage)[0, 1] > 0.9


def test_same_seed_same_bytes_other_seed_other(tmp_path: Path, archive: Path):
    simulate_archive(SMALL, tmp_path / "again")
    simulate_archive(SimulateConfig(families=12, members=6, seed=4), tmp_path / "other")
    for name in ("genomes.gbff.gz", "genes.fna.gz", "property.csv", "truth.json"):
        assert (tmp_path / "again" / name).read_bytes() == (archive / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (archive / name).read_bytes()


def test_files_hold_every_gene_and_every_planted_defect(archive: Path):
    genes = {g.id: g.sequence for g in simulate_families(SMALL)}
    with gzip.open(archive / "genes.fna.gz", "rt") as handle:
        loose = {title.split()[0]: s for title, s in SimpleFastaParser(handle)}
    with gzip.open(archive / "genomes.gbff.gz", "rt") as handle:
        features = [(r, f) for r in SeqIO.parse(handle, "genbank") for f in r.features if f.type == "CDS"]
    placed = {f.qualifiers["protein_id"][0]: str(f.extract(r.seq)) for r, f in features}
    kinds = [name.split("_")[1] for name in loose if name.startswith("DEFECT")]
    regular = {k: v.upper() for k, v in loose.items() if not k.startswith("DEFECT")}
    assert regular | placed == genes
    assert {k: kinds.count(k) for k in set(kinds)} == {k: v for k, v in DEFECTS.items() if k != "lower-case"}
    assert sum(s != s.upper() for s in loose.values()) == DEFECTS["lower-case"]
    assert sum("pseudo" in f.qualifiers for _, f in features) == PSEUDO
    assert any(len(f.location.parts) > 1 for _, f in features)


def test_property_is_signal_plus_noise():
    genes = simulate_families(SMALL)
    observed, signal = planted_property(genes, noise=0.5, seed=0)
    assert signal.std() == pytest.approx(1)
    assert (observed - signal).std() == pytest.approx(0.5, rel=0.3)
    assert np.array_equal(*planted_property(genes, noise=0.0, seed=0))


@pytest.mark.parametrize(
    "wrong", [{"families": 1}, {"min_codons": 5}, {"max_mutation": 0.5}, {"noise": -1.0}, {"members": 1}]
)
def test_values_out_of_range_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        SimulateConfig(**wrong)


def test_shipped_tables_equal_the_real_files(real_data: Path):
    with gzip.open(real_data / "cds" / "calm_validation_ecoli.fasta.gz", "rt") as handle:
        counts = measure_codon_usage(s.upper() for _, s in SimpleFastaParser(handle))
    assert [counts[c] for c in CODONS] == get_species("Escherichia coli").counts.tolist()
