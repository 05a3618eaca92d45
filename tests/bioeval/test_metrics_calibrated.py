"""Every family of metrics on real species: 0 on identical sets, half against half below another species."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from bioeval.metrics import METRICS
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits
from bioeval.metrics.sequence_set import RESIDUES, SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences

NUMBER = 50
SEES_SPECIES = {
    "cai": "cai_mean", "codon-usage": "synonymous_jsd", "color-square": "color_square_tv",
    "composition": "gc_wasserstein", "discriminator": "discriminator_auroc", "entropy": "entropy_k4",
    "fcgr": "fcgr_correlation", "frechet": "frechet_distance", "kmer": "kmer_jsd_k3", "skew": "at_skew",
    "mutual-information": "mutual_information_profile", "wen": "wen_dvq",
}  # fmt: skip
"""A measure of each family that tells fly from thale cress with so few genes."""

SEES_SHUFFLING = {
    "cai": "cai_mean", "codon-usage": "codon_usage_jsd", "discriminator": "discriminator_auroc",
    "entropy": "entropy_rate", "fcgr": "fcgr_dssim", "kmer": "kmer_jsd_k3", "orf": "orf_valid",
    "periodicity": "period3_median", "mutual-information": "mutual_information_far", "wen": "wen_textbook",
}  # fmt: skip


def genes(folder: Path, species: str) -> list[str]:
    """Real coding sequences, at most 600 letters of each so that the test is quick."""
    with gzip.open(folder / "cds" / f"calm_validation_{species}.fasta.gz", "rt") as handle:
        records = handle.read().split(">")[1:]
    return ["".join(record.split("\n")[1:])[:600] for record in records]


@pytest.fixture(scope="module")
def calibrated(real_data: Path) -> dict[str, dict[str, dict]]:
    """Results of every family: family to measure to what `calibrate` gives, fly against cress."""
    cress, fly = genes(real_data, "athaliana"), genes(real_data, "dmelanogaster")
    reference, train = (SequenceSet.from_strings(cress[i : 2 * NUMBER * 2 : 2]) for i in (0, 1))
    made = SequenceSet.from_strings(fly[:NUMBER])
    setting = Setting(
        generated=made, reference=reference, train=train, coding=True, points=120, resamples=6,
        kmers=tuple(range(1, 11)),
    )  # fmt: skip
    splits = random_splits(len(reference), NUMBER, resamples=20, seed=0)
    found: dict[str, dict[str, dict]] = {}
    for name in METRICS:
        if name == "genes":  # says no of coding sequences
            with pytest.raises(NotApplicableError, match="single genes already"):
                METRICS.load(name).of_run(setting)
            continue
        found[name] = {}
        for metric in METRICS.load(name).of_run(setting):
            features = FeatureSets(*(metric.features(s) for s in (made, reference, reference.shuffled(0))))
            results = calibrate(metric, features, sizes=(NUMBER, len(reference)), splits=splits)
            every = np.ones((1, len(reference)), bool)
            same = metric.compare(features.reference, features.reference, rows=every, others=every)[0]
            for result, value in zip(results, same):
                found[name][result["name"]] = result | {"identical": float(value)}
    return found


@pytest.mark.parametrize("family", METRICS)
def test_identical_is_zero_and_the_null_holds_halves(calibrated: dict, family: str) -> None:
    for name, result in calibrated.get(family, {}).items():
        assert result["unit"] and result["null_lo"] <= result["scale"]["half_vs_half"] <= result["null_hi"], (
            name
        )
        if result["kind"] == "distance":
            assert result["identical"] == pytest.approx(0, abs=1e-9) and result["null_lo"] >= 0, name


@pytest.mark.parametrize(("family", "measure"), SEES_SPECIES.items())
def test_another_species_is_seen(calibrated: dict, family: str, measure: str) -> None:
    result = calibrated[family][measure]
    assert not result["within_null"]


@pytest.mark.parametrize("k", range(1, 11))
def test_every_k_sees_another_species_by_either_divergence(calibrated: dict, k: int) -> None:
    for name in ("jsd", "kl"):
        result = calibrated["kmer"][f"kmer_{name}_k{k}"]
        assert not result["within_null"] and result["unit"] == "bits"
        assert result["tells"]  # of k = 1 too: what shuffling keeps says nothing about it


@pytest.mark.parametrize(("family", "measure"), SEES_SHUFFLING.items())
def test_shuffling_is_seen(calibrated: dict, family: str, measure: str) -> None:
    assert calibrated[family][measure]["tells"]


def test_genes_of_pieces_of_genomes(real_data: Path) -> None:
    """The family that says no of coding sequences: pieces of E. coli, shuffled, and of Bartonella."""

    def pieces(file: str, number: int) -> SequenceSet:
        with gzip.open(real_data / "genome" / file, "rt") as handle:
            text = "".join(line.strip() for line in handle if line[0] != ">")
        places = np.linspace(0, len(text) - 2000, number).astype(int)
        return SequenceSet.from_strings([text[at : at + 2000] for at in places])

    reference = pieces("GCF_000005845.2_ASM584v2_genomic.fna.gz", 80)
    made = pieces("B_henselae.fna.gz", 40)
    (metric,) = METRICS.load("genes").of_run(Setting(generated=made, reference=reference))
    features = FeatureSets(*(metric.features(s) for s in (made, reference, reference.shuffled(0))))
    splits = random_splits(80, 40, resamples=50, seed=0)
    found = {m["name"]: m for m in calibrate(metric, features, sizes=(40, 80), splits=splits)}
    for measure in found.values():
        assert (
            measure["null_lo"] <= measure["scale"]["half_vs_half"] <= measure["null_hi"] and measure["unit"]
        )
        assert measure["tells"]  # shuffled pieces have fewer and shorter genes
    density = found["coding_density"]
    assert 80 < density["scale"]["half_vs_half"] < 92  # of E. coli 88 % are coding
    assert density["scale"]["shuffled"] < 30 and not density["within_null"]


def test_proteins_end_to_end_name_what_was_not_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, letters, number in (
        ("a", RESIDUES[:20], 40),
        ("b", RESIDUES[:20], 24),
        ("t", RESIDUES[:20], 30),
    ):
        texts = ["M" + "".join(rng.choice(list(letters), 80)) for _ in range(number)]
        (tmp_path / f"{name}.fa").write_text("".join(f">{name}{i}\n{t}\n" for i, t in enumerate(texts)))
    made = evaluate_sequences(
        SequencesConfig(
            generated=tmp_path / "b.fa",
            reference=tmp_path / "a.fa",
            train=tmp_path / "t.fa",
            alphabet="protein",
            out=tmp_path / "out",
            resamples=20,
            persistence_resamples=20,
        )
    )
    ran = {"kmer_jsd_k3", "length_median", "entropy_k2", "repeats_direct", "diversity", "novelty",
           "longest_match_median", "frechet_distance", "discriminator_auroc"}  # fmt: skip
    assert ran <= set(made["metrics"]) and not {"gc_mean", "fcgr_dssim"} & set(made["metrics"])
    assert made["not_run"]["persistence"] == made["not_run"]["codon-usage"] == "only of nucleotide sequences"
    of_proteins = {"kmer", "composition", "entropy", "repeats", "diversity", "nearest", "frechet",
                   "longest-match", "discriminator"}  # fmt: skip
    assert set(made["not_run"]) == set(METRICS) - of_proteins
    assert all(np.isfinite(m["value"]) for m in made["metrics"].values())
