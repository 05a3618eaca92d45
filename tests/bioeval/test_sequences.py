"""`eval sequences` from files to results: fields, honesty on real species, one-line errors, equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences

SENSE = [c for c in CODONS if genetic_code(1)[c] != "*"]
QUICK = {"resamples": 20, "persistence_resamples": 20, "persistence_points": 60, "kmers": (1, 2, 3)}


def genes(seed: int, number: int, *, favoured: str = "ACGT") -> list[str]:
    """Open reading frames whose codons prefer some letters."""
    rng = np.random.default_rng(seed)
    weights = np.array([1 + 4 * sum(letter in favoured for letter in codon) for codon in SENSE], dtype=float)
    weights /= weights.sum()
    return [
        "ATG" + "".join(rng.choice(SENSE, rng.integers(30, 80), p=weights)) + "TAA" for _ in range(number)
    ]


def fasta(path: Path, sequences: list[str]) -> Path:
    path.write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(sequences)))
    return path


@pytest.fixture
def natural(tmp_path: Path) -> Path:
    return fasta(tmp_path / "natural.fa", genes(0, 40))


def test_fields_files_and_scale(tmp_path: Path, natural: Path) -> None:
    generated = fasta(tmp_path / "generated.fa", genes(1, 25))
    train = fasta(tmp_path / "train.fa", [*genes(2, 30), genes(1, 25)[3]])
    out = tmp_path / "out"
    made = evaluate_sequences(
        SequencesConfig(generated=generated, reference=natural, train=train, out=out, **QUICK)
    )
    assert read_json(out / "results.json") == made
    assert (made["n_generated"], made["n_reference"], made["n_train"]) == (25, 40, 31)
    assert made["coding"] is True
    assert made["nearest_training_identity"]["max"] == 1.0
    assert made["nearest_training_identity"]["exact_copies"] == 1
    for name, metric in made["metrics"].items():
        assert {"value", "unit", "null_lo", "null_hi", "within_null", "scale"} <= set(metric), name
        assert set(metric["scale"]) == {"half_vs_half", "shuffled", "generated"}
        assert metric["null_lo"] <= metric["null_hi"]
    assert {"kmer_kl_k1", "kmer_jsd_k3", "gc_mean", "persistence_h1", "codon_usage_jsd", "orf_valid"} <= set(
        made["metrics"]
    )
    assert made["metrics"]["orf_valid"]["value"] == 100 > made["metrics"]["orf_valid"]["scale"]["shuffled"]
    assert read_json(out / "pictures.json")["fcgr"]["k"] >= 3


def test_like_is_told_from_unlike(tmp_path: Path, natural: Path) -> None:
    def share_inside(sequences: list[str]) -> float:
        config = SequencesConfig(
            generated=fasta(tmp_path / "g.fa", sequences), reference=natural, out=tmp_path / "out",
            metrics=("kmer", "codon-usage"), **{**QUICK, "resamples": 60},
        )  # fmt: skip
        metrics = evaluate_sequences(config)["metrics"].values()
        return float(np.mean([m["within_null"] for m in metrics]))

    assert share_inside(genes(7, 20)) > 0.7
    assert share_inside(genes(7, 20, favoured="GC")) == 0


def test_the_reference_against_itself_is_zero(tmp_path: Path, natural: Path) -> None:
    made = evaluate_sequences(
        SequencesConfig(generated=natural, reference=natural, out=tmp_path / "out", **QUICK)
    )
    distances = [m for m in made["metrics"].values() if m["kind"] == "distance"]
    assert len(distances) >= 10
    assert [m["value"] for m in distances] == [0.0] * len(distances)
    assert made["nearest_training_identity"]["median"] is None


def test_same_input_and_seed_give_the_same_bytes(tmp_path: Path, natural: Path) -> None:
    generated = fasta(tmp_path / "g.fa", genes(1, 10))
    for name in ("a", "b"):
        evaluate_sequences(
            SequencesConfig(generated=generated, reference=natural, out=tmp_path / name, **QUICK)
        )
    for file in ("results.json", "pictures.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a" / "results.json").read_text()


def test_dataset_folder_gives_its_test_and_train_splits(tmp_path: Path, natural: Path) -> None:
    folder = tmp_path / "dataset" / "data"
    folder.mkdir(parents=True)
    for split, seed, number in (("train", 3, 12), ("test", 4, 9)):
        columns = {"id": [f"{split}{i}" for i in range(number)], "sequence": genes(seed, number)}
        table = pa.table(columns | {"cluster": [i // 2 for i in range(number)]})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    dataset = tmp_path / "dataset"
    config = SequencesConfig(
        generated=natural, reference=dataset, train=dataset, out=tmp_path / "out", **QUICK
    )
    made = evaluate_sequences(config)
    assert (made["n_reference"], made["n_train"], made["null"]) == (9, 12, "families")
    shard = folder / "test-00000-of-00001.parquet"
    made = evaluate_sequences(
        SequencesConfig(generated=shard, reference=natural, out=tmp_path / "out", **QUICK)
    )
    assert (made["n_generated"], made["null"]) == (9, "sequences")


def test_not_coding_leaves_codons_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = ["".join(rng.choice(list("ACGTN"), 200)) for _ in range(8)]
    path = fasta(tmp_path / "pieces.fa", pieces)
    made = evaluate_sequences(
        SequencesConfig(generated=path, reference=path, out=tmp_path / "out", strands="both", **QUICK)
    )
    assert made["coding"] is False
    assert not [name for name in made["metrics"] if name.startswith(("orf", "codon"))]


def test_limits_draw_and_say_so(tmp_path: Path, natural: Path) -> None:
    config = SequencesConfig(
        generated=natural, reference=natural, out=tmp_path / "out", max_sequences=10, **QUICK
    )
    made = evaluate_sequences(config)
    assert (made["n_generated"], made["found"]["generated"]) == (10, 40)
    assert any("10 reference sequences" in w for w in made["warnings"])


def test_real_species_are_told_apart(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "cds"
    config = SequencesConfig(
        generated=folder / "calm_validation_ecoli.fasta.gz", out=tmp_path / "out",
        reference=folder / "calm_validation_scerevisiae.fasta.gz",
        metrics=("kmer", "codon-usage", "composition", "orf"), resamples=40,
    )  # fmt: skip
    metrics = evaluate_sequences(config)["metrics"]
    for name in ("kmer_jsd_k3", "codon_usage_jsd", "gc_wasserstein"):
        found = metrics[name]
        assert found["scale"]["generated"] > 5 * found["null_hi"], name
    assert metrics["gc_mean"]["value"] == pytest.approx(51, abs=2)  # E. coli; yeast has 40
    assert metrics["orf_valid"]["scale"]["half_vs_half"] > 95


def test_what_was_given_is_not_judged_as_generated(tmp_path: Path) -> None:
    """Prompts of 150 training letters, then another source: seen from the end of the prompt on."""
    rng = np.random.default_rng(3)
    natural, train = (["".join(rng.choice(list("ACGT"), 760)) for _ in range(60)] for _ in range(2))
    drift = ["".join(rng.choice(list("AACGTT"), 610)) for _ in range(40)]
    (tmp_path / "canary.fa").write_text(f">c\n{train[0][:150]}\n")
    files = {
        "generated": fasta(tmp_path / "g.fa", [t[:150] + d for t, d in zip(train, drift)]),
        "reference": fasta(tmp_path / "r.fa", natural), "train": fasta(tmp_path / "t.fa", train),
        "canaries": tmp_path / "canary.fa",
    }  # fmt: skip
    wanted = {"metrics": ("discriminator", "longest-match", "nearest"), **QUICK}
    told = evaluate_sequences(SequencesConfig(out=tmp_path / "a", prompt=150, **files, **wanted))
    blind = evaluate_sequences(SequencesConfig(out=tmp_path / "b", **files, **wanted))
    start, after = (made["metrics"]["discriminator_auroc_0_150"]["value"] for made in (blind, told))
    assert start < 0.65 and after > 0.75  # the prompt itself is natural, what follows is not
    assert "after the prompt" in told["metrics"]["discriminator_auroc_0_150"]["title"]
    copied = [made["metrics"]["longest_match_flagged"]["value"] for made in (blind, told)]
    windows = [made["metrics"]["copied_31mers"]["value"] for made in (blind, told)]
    assert copied == [100, 0] and windows[0] > 0.15 and windows[1] == 0
    assert [made["canaries"]["whole"] for made in (blind, told)] == [1, 0]
    with pytest.raises(ConfigError, match="prompt = 760: the longest generated sequence has 760 letters"):
        evaluate_sequences(SequencesConfig(out=tmp_path / "c", prompt=760, **files, **wanted))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (">a\n>b\n>c\nACGT\n", "1 generated sequence with letters"),
        (">p\nMEEPQSDPSV\n>q\nMEEP\n", "record 'p' has 'E'"),
    ],
)
def test_useless_input_is_one_line(tmp_path: Path, natural: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.fa"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        evaluate_sequences(SequencesConfig(generated=path, reference=natural, out=tmp_path / "out"))
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_missing_and_foreign_inputs(tmp_path: Path, natural: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        evaluate_sequences(
            SequencesConfig(generated=tmp_path / "no.fa", reference=natural, out=tmp_path / "out")
        )
    (tmp_path / "empty").mkdir()
    (tmp_path / "set" / "data").mkdir(parents=True)
    for folder, error, text in (
        ("empty", ConfigError, "an empty folder"),
        ("set", DataError, "dataset folder"),
    ):
        with pytest.raises(error, match=text):
            evaluate_sequences(
                SequencesConfig(generated=natural, reference=tmp_path / folder, out=tmp_path / "out")
            )
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no column 'sequence'"):
        evaluate_sequences(
            SequencesConfig(generated=tmp_path / "x.parquet", reference=natural, out=tmp_path / "out")
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metrics": ("kmers",)}, "did you mean 'kmer'"),
        ({"kmers": (0,)}, "k = 0"),
        ({"table": 77}, "translation table 77"),
        ({"resamples": 3}, "resamples = 3"),
        ({"alpha": -1.0}, r"alpha = -1\.0"),
        ({"alpha": float("inf")}, "alpha = inf"),
        ({"max_sequences": 3}, "max_sequences = 3 is out of range, allowed: 0 or at least 4"),
        ({"screen": 'a "b'}, "screen = .*no closing quotation"),
        ({"screen": " "}, "names no command"),
        ({"screen_timeout": 5}, "screen_timeout = 5 does nothing without screen"),
        ({"max_train": 9}, "max_train = 9 does nothing without train"),
        ({"model": "m", "metrics": ("kmer",)}, "model = m does nothing without frechet"),
        ({"prompt": 9, "metrics": ("kmer",)}, "prompt = 9 does nothing without discriminator or longest"),
        ({"persistence_distance": "bottleneck", "metrics": ("kmer",)}, "without persistence or c4dr"),
    ],
)
def test_wrong_settings_are_quoted(tmp_path: Path, wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SequencesConfig(generated=tmp_path, reference=tmp_path, out=tmp_path, **wrong)
