"""Shipped tasks whose data is not among the real data, on small files in the publisher's own format."""

from __future__ import annotations

import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError
from bioeval.tasks import load_task

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
PROTEINS = [RESIDUES[i:] + RESIDUES[:i] for i in range(20)]
DNA = ["".join("ACGT"[i >> 2 * j & 3] for j in range(8)) for i in range(0, 10_000, 200)]
SPLITS = ("train", "validation", "test")


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def flip(name: str, member: str, targets: list[str]) -> Callable[[Path], None]:
    """FLIP's archives of CSV files: sequence, target, set, validation."""

    def write(folder: Path) -> None:
        marks = ["train,"] * 10 + ["train,True"] * 4 + ["test,"] * 6
        rows = [f"{s},{t},{m}" for s, t, m in zip(PROTEINS, targets, marks)]
        with zipfile.ZipFile(folder / f"FLIP_{name}_splits.zip", "w") as archive:
            archive.writestr(f"splits/{member}.csv", "\n".join(["sequence,target,set,validation", *rows]))

    return write


def lipophilicity(folder: Path) -> None:
    rings = [f"C1{'C' * size}1" for size in range(2, 17)]  # each a scaffold of its own
    smiles = [f"{ring}{rest}" for ring in rings for rest in ("N", "O")]
    rows = [f"CHEMBL{i},{i / 7:.2f},{s}" for i, s in enumerate(smiles)]
    written(folder / "Lipophilicity.csv", "\n".join(["CMPD_CHEMBLID,exp,smiles", *rows]))


def nucleotide_transformer(folder: Path) -> None:
    (folder / "nt" / "H3K4me1").mkdir(parents=True)
    for split, part in (("train", DNA[:40]), ("test", DNA[40:])):
        rows = [{"sequence": s, "name": f"{s}|{i % 2}", "label": i % 2} for i, s in enumerate(part)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "nt" / "H3K4me1" / f"{split}.parquet")


def gue(folder: Path) -> None:
    for split, part in (("train", DNA[:30]), ("dev", DNA[30:40]), ("test", DNA[40:])):
        rows = [f"{s},{i % 2}" for i, s in enumerate(part)]
        written(folder / "gue" / "tf0" / f"{split}.csv", "\n".join(["sequence,label", *rows]))


def genomic_benchmarks(folder: Path) -> None:
    for i, text in enumerate(DNA):
        split, label = "train" if i < 40 else "test", ("coding_seqs", "intergenomic_seqs")[i % 2]
        written(folder / "demo_coding_vs_intergenomic_seqs" / split / label / f"{i}.txt", text)


def vdjdb(folder: Path) -> None:
    head = "gene\tcdr3\tv.segm\tj.segm\tspecies\tmhc.a\tmhc.b\tmhc.class\tantigen.epitope\tantigen.gene"
    rows = []
    for i in range(420):
        cdr3 = "CASS" + "".join(RESIDUES[i // 20**j % 20] for j in range(3)) + "F"
        gene, epitope = ("TRA" if i % 21 == 20 else "TRB"), ("NLVPMVATV", "GILGFVFTL")[i % 2]
        rows.append(f"{gene}\t{cdr3}\tTRBV1\tTRBJ1\tHomoSapiens\tHLA-A*02\tB2M\tMHCI\t{epitope}\tp")
    rows += ["TRB\tCASSRARE\tTRBV1\tTRBJ1\tHomoSapiens\tHLA-A*02\tB2M\tMHCI\tELAGIGILTV\tp"] * 2
    rows += ["TRB\tCASSMMMF\tTRBV1\tTRBJ1\tMusMusculus\tH2-Kb\tB2M\tMHCI\tNLVPMVATV\tp"]
    written(folder / "vdjdb.tsv", "\n".join([head, *rows]))


def proteingym(folder: Path) -> None:
    wild = PROTEINS[0]
    rows = [
        f"{wild[i]}{i + 1}{new},{wild[:i]}{new}{wild[i + 1 :]},{i / 9 - 1},{int(i > 9)}"
        for i, new in enumerate(PROTEINS[1])
    ]
    with zipfile.ZipFile(folder / "DMS_ProteinGym_substitutions.zip", "w") as archive:
        archive.writestr(
            "DMS_ProteinGym_substitutions/SPG1_STRSG_Olson_2014.csv",
            "\n".join(["mutant,mutated_sequence,DMS_score,DMS_score_bin", *rows]),
        )


def trastuzumab(folder: Path) -> None:
    for name, start in (("AgNeg", 0), ("AgPos", 10)):
        rows = [f"{i},WGGDG{s[:5]},1" for i, s in enumerate(PROTEINS[start : start + 10])]
        written(folder / f"mHER_H3_{name}.csv", "\n".join([",AASeq,Count", *rows]))


def base_pairs(folder: Path) -> None:
    (folder / "bprna-spot").mkdir()
    for split, n in (("train", 4), ("validation", 3), ("test", 3)):
        rows = [{"id": f"{split}{i}", "sequence": "GGGGAAAACCCC" + "A" * i,
                 "secondary_structure": "((((....))))" + "." * i} for i in range(n)]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), folder / "bprna-spot" / f"{split}.parquet")


def protein_contacts(folder: Path) -> None:
    (folder / "proteinglm-contacts").mkdir()
    for split in ("train", "valid", "test"):
        rows = [{"seq": p, "label": [[0, 12], [1, 11], [2, 19]]} for p in PROTEINS[:4]]
        path = folder / "proteinglm-contacts" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)


NUMBERS = [f"{i / 10}" for i in range(20)]
CLASSES = ["Cytoplasm", "Nucleus"] * 10
PLACES = ["0010" + "2" * 16] * 20  # leading zeros: a number would lose them
PUBLISHERS = {
    "flip-aav:low_vs_high": (flip("aav", "low_vs_high", NUMBERS), (10, 4, 6), "regression"),
    "flip-meltome:human": (flip("meltome", "human", NUMBERS), (10, 4, 6), "regression"),
    "flip-sav:mixed": (flip("sav", "mixed", ["True", "False"] * 10), (10, 4, 6), "classification"),
    "flip-scl:balanced": (flip("scl", "balanced", CLASSES), (10, 4, 6), "classification"),
    "flip-bind:one_vs_many": (flip("bind", "one_vs_many", PLACES), (10, 4, 6), "token"),
    "lipophilicity": (lipophilicity, 30, "regression"),
    "nt:H3K4me1": (nucleotide_transformer, (36, 4, 10), "classification"),
    "gue:tf0": (gue, (30, 10, 10), "classification"),
    "gb-coding": (genomic_benchmarks, (36, 4, 10), "classification"),
    "tcr-epitope": (vdjdb, 400, "classification"),
    "proteingym:SPG1_STRSG_Olson_2014": (proteingym, (0, 0, 20), "zero-shot"),
    "proteingym-supervised:SPG1_STRSG_Olson_2014": (proteingym, 20, "regression"),
    "antibody-binding": (trastuzumab, 20, "classification"),
    "bprna-spot": (base_pairs, (4, 3, 3), "contacts"),
    "proteinglm-contacts": (protein_contacts, (4, 4, 4), "contacts"),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is looked for in an own folder, and nothing is downloaded."""

    def no_network(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    (tmp_path / "data").mkdir()
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)


@pytest.mark.parametrize("name", PUBLISHERS)
def test_small_files_of_the_publishers_are_read(name: str, tmp_path: Path) -> None:
    write, rows, kind = PUBLISHERS[name]
    write(tmp_path / "data")
    task = load_task(name)
    found = tuple(task.rows(split).num_rows for split in SPLITS)
    assert task.kind == kind
    assert found == rows if isinstance(rows, tuple) else sum(found) == rows, (found, task.notes)


def test_residue_classes_keep_their_leading_zeros(tmp_path: Path) -> None:
    PUBLISHERS["flip-bind:one_vs_many"][0](tmp_path / "data")
    task = load_task("flip-bind:one_vs_many")
    assert task.classes == ("0", "1", "2")
    assert task.token_values("test")[0].tolist() == [0, 0, 1, 0] + [2] * 16


@pytest.mark.parametrize("name", PUBLISHERS)
def test_what_is_not_there_is_one_line_that_says_what_to_fetch(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="get it from https://") as caught:
        load_task(name)
    said = str(caught.value)
    assert "\n" not in said and f"save it as {tmp_path / 'cache' / 'tasks'}" in said
