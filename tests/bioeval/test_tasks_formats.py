"""Layouts of publishers on small hand-made files, and what is handed over of each."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError, DataError
from bioeval.tasks import load_task
from bioeval.tasks.wild_types import undo
from tests.task_files import table, task

WILD = "MKVLAWYQRS"
PROTEINS = ["MKVLAWYQRS", "MKVLAWYQRT", "MKVLAWYQRV", "MKVLAWYQRL", "MKVLAWYQRA", "MKVLAWYQRG"]
FLIP = "alphabet: protein\ncolumns: {sequence: sequence, value: target, split: set, validation: validation}\n"


def test_flip_csv_marks_validation_inside_train(tmp_path: Path) -> None:
    marks = ["train,True"] * 3 + ["train,"] * 2 + ["train,False"] + ["test,"] * 3
    rows = [f"{WILD[: i + 1]},{i},{m}" for i, m in enumerate(marks)]
    with zipfile.ZipFile(tmp_path / "splits.zip", "w") as archive:
        archive.writestr("splits/a.csv", table("sequence,target,set,validation", *rows))
    path = task(tmp_path, FLIP + "data: {file: splits.zip, member: splits/a.csv}\n")
    loaded = load_task(path)
    assert [loaded.rows(s).num_rows for s in ("train", "validation", "test")] == [3, 3, 3]
    assert loaded.values("validation").tolist() == [0, 1, 2]
    task(tmp_path, FLIP + "data: {file: splits.zip, member: splits/b.csv}\n")
    with pytest.raises(DataError, match=r"no member 'splits/b\.csv' \(members: splits/a\.csv\)"):
        load_task(path)


def test_proteingym_csv_gives_its_wild_type(tmp_path: Path) -> None:
    rows = [
        f"A5G,{WILD[:4]}G{WILD[5:]},1.5,1",
        f"M1L:A5G,L{WILD[1:4]}G{WILD[5:]},0.5,0",
        f"S10T,{WILD[:9]}T,-1,0",
    ]
    text = ("alphabet: protein\nkind: zero-shot\ndata: {file: t.csv}\n"
            "columns: {sequence: mutated_sequence, value: DMS_score, mutant: mutant}\n")  # fmt: skip
    path = task(tmp_path, text, t__csv=table("mutant,mutated_sequence,DMS_score,DMS_score_bin", *rows))
    loaded = load_task(path)
    assert loaded.seconds("test") == [WILD] * 3 and loaded.values("test").tolist() == [1.5, 0.5, -1]
    assert loaded.mutants("test") == ["A5G", "M1L:A5G", "S10T"] and loaded.splits() == ("test",)
    classes = text.replace("DMS_score,", "DMS_score_bin,") + "target: class\n"
    by_class = load_task(task(tmp_path, classes))
    assert by_class.classes == ("0", "1") and by_class.metric == "auroc"
    supervised = FLIP.replace("set, validation: validation", "fold").replace("target", "DMS_score")
    supervised = supervised.replace("sequence: sequence", "sequence: mutated_sequence")
    values = "split_values: {train: [0, 1], validation: [2], test: [3]}\ndata: {file: f.csv}\n"
    folds = [f"{s},{i},{i % 4}" for i, s in enumerate(PROTEINS * 2)]
    loaded = load_task(
        task(tmp_path, supervised + values, f__csv=table("mutated_sequence,DMS_score,fold", *folds))
    )
    assert [loaded.rows(s).num_rows for s in ("train", "validation", "test")] == [6, 3, 3]


@pytest.mark.parametrize(
    ("mutant", "text"),
    [
        ("A5V", r"t\.csv:2: mutation A5V: the mutated sequence has G at 5"),
        ("A50G", r"t\.csv:2: mutation A50G: the mutated sequence has only 10 letters at 50"),
        ("A5", r"t\.csv:2: mutation 'A5', allowed: A12G"),
    ],
)
def test_a_mutation_that_is_not_there(mutant: str, text: str, tmp_path: Path) -> None:
    yaml = ("alphabet: protein\nkind: zero-shot\ndata: {file: t.csv}\n"
            "columns: {sequence: s, value: v, mutant: m}\n")  # fmt: skip
    path = task(tmp_path, yaml, t__csv=table("m,s,v", f"{mutant},{WILD[:4]}G{WILD[5:]},1"))
    with pytest.raises(DataError, match=text):
        load_task(path)


def test_a_wild_type_that_is_given_must_fit(tmp_path: Path) -> None:
    yaml = (f"alphabet: protein\nkind: zero-shot\ndata: {{file: t.csv}}\nwildtype: {WILD}\n"
            "columns: {sequence: s, value: v, mutant: m}\n")  # fmt: skip
    good = table("m,s,v", *[f"A5G,{WILD[:4]}G{WILD[5:]},{n}" for n in range(3)])
    assert load_task(task(tmp_path, yaml, t__csv=good)).seconds("test") == [WILD] * 3
    with pytest.raises(DataError, match=r"t\.csv:2: mutations C5G of the wild type do not give"):
        load_task(task(tmp_path, yaml, t__csv=good.replace("A5G", "C5G")))
    with pytest.raises(ConfigError, match="wildtype holds '1', no letters of protein"):
        load_task(task(tmp_path, yaml.replace(WILD, "M1"), t__csv=good))
    assert undo("MGL", "") == "MGL"


def test_fasta_headers_hold_targets(tmp_path: Path) -> None:
    """FLIP's TARGET, SET and VALIDATION; Nucleotide Transformer's label behind the bar."""
    fields = [f"TARGET={i} SET={'train' if i < 6 else 'test'} VALIDATION={i in (3, 4, 5)}" for i in range(9)]
    records = [f">s{i} {field}\n{WILD[: i + 1]}" for i, field in enumerate(fields)]
    yaml = FLIP.replace("target", "TARGET").replace("set,", "SET,").replace("validation: v", "validation: V")
    yaml = yaml.replace("Validation", "VALIDATION").replace("validation}", "VALIDATION}")
    loaded = load_task(task(tmp_path, yaml + "data: {file: f.fasta}\n", f__fasta="\n".join(records) + "\n"))
    assert loaded.values("validation").tolist() == [3, 4, 5] and loaded.table["id"][0].as_py() == "s0"
    seqs = [f">chr1_{i}|{i % 3}\nACGT{'A' * i}" for i in range(12)]
    (tmp_path / "train.fna").write_text("\n".join(seqs[:9]) + "\n")
    (tmp_path / "test.fna").write_text("\n".join(seqs[9:]) + "\n")
    nt = ("data: {file: '{split}.fna', splits: [train, test]}\nkind: classification\nvalidation: 0.4\n"
          "columns: {sequence: sequence, value: header}\nextract: '\\|(\\d+)$'\n")  # fmt: skip
    loaded = load_task(task(tmp_path, nt))
    assert loaded.classes == ("0", "1", "2") and loaded.rows("test").num_rows == 3
    assert loaded.rows("validation").num_rows in (3, 4)


def test_residue_labels_of_a_second_file(tmp_path: Path) -> None:
    """FLIP's sequences.fasta, sampled.fasta, mask.fasta beside each other."""

    def names(i: int) -> str:
        return f">s{i} SET={'train' if i < 6 else 'test'} VALIDATION={i in (3, 4, 5)}"

    sequences = "".join(f">s{i}\n{WILD}\n" for i in range(10))
    labels = "".join(f"{names(i)}\nHHHHEEEECC\n" for i in range(9))
    masks = "".join(f">s{i}\n0111111110\n" for i in range(9))
    yaml = ("alphabet: protein\nkind: token\ncolumns: {sequence: sequence, validation: VALIDATION}\n"
            "missing: drop\ndata: {file: s.fasta, labels: l.fasta, mask: m.fasta}\n")  # fmt: skip
    path = task(tmp_path, yaml, s__fasta=sequences, l__fasta=labels, m__fasta=masks)
    loaded = load_task(path)
    assert loaded.classes == ("C", "E", "H") and loaded.notes["left_out_no-target"] == 1
    assert loaded.token_values("test")[0].tolist() == [-1, 2, 2, 2, 1, 1, 1, 1, 0, -1]
    assert loaded.token_rows("test").tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert loaded.notes["units_without_label"] == 18
    task(tmp_path, yaml, l__fasta=labels.replace("HHHHEEEECC", "HHHH", 1))
    with pytest.raises(DataError, match=r"s\.fasta:1: 4 labels for 10 units \(residue\)"):
        load_task(path)
    task(tmp_path, yaml.replace("missing: drop\n", ""), l__fasta=labels)
    with pytest.raises(DataError, match=r"s\.fasta:19: column 'Value' is empty \(1 such rows"):
        load_task(path)


def test_numbers_for_every_residue_with_gaps(tmp_path: Path) -> None:
    rows = {"s": PROTEINS, "y": [[0.5] * 9 + [None]] * 6, "set": ["train", "val", "test"] * 2}
    pq.write_table(pa.table(rows), tmp_path / "n.parquet")
    yaml = ("alphabet: protein\nkind: token\ntarget: number\ndata: {file: n.parquet}\n"
            "columns: {sequence: s, value: y, split: set}\n")  # fmt: skip
    pq.write_table(pa.table({k: v * 3 for k, v in rows.items()}), tmp_path / "n.parquet")
    loaded = load_task(task(tmp_path, yaml))
    assert loaded.classes == () and np.isnan(loaded.values("test")).sum() == loaded.rows("test").num_rows
    assert loaded.notes["units_without_label"] == 18


MOLECULES = [
    "c1ccccc1C", "c1ccccc1CC", "c1ccccc1O", "c1ccccc1CCC", "c1ccncc1", "C1CCCCC1", "CCO", "CCN", "CCCC",
    "C1CCNC1", "c1ccccc1N", "c1ccccc1S",
]  # fmt: skip


def test_moleculenet_csv_in_scaffolds_with_missing_labels(tmp_path: Path) -> None:
    rows = [f"{s},{i % 2},{'' if i % 3 else 1}" for i, s in enumerate(MOLECULES)] + ["C(C,1,1"]
    yaml = ("alphabet: selfies\nnotation: smiles\nkind: multi-label\nsplit_by: scaffold\nmissing: drop\n"
            "fractions: [0.5, 0.25, 0.25]\ncolumns: {sequence: smiles, values: [a, b]}\n"
            "data: {file: m.csv}\n")  # fmt: skip
    path = task(tmp_path, yaml, m__csv=table("smiles,a,b", *rows))
    loaded = load_task(path)
    assert loaded.unit == "token" and loaded.width == 0 and loaded.alphabet == "selfies"
    assert loaded.notes["left_out_no-selfies"] == 1 and loaded.notes["labels_not_measured"] == 8
    assert "failed to parse" in loaded.dropped["detail"][0].as_py() and loaded.dropped[
        "line"
    ].to_pylist() == [14]
    # benzene is the commonest scaffold, so all of its molecules train
    assert sum("Ring" in s for s in loaded.sequences("train")) == loaded.rows("train").num_rows == 6
    assert np.isnan(np.concatenate([loaded.values(s) for s in loaded.splits()])).sum() == 8
    task(tmp_path, yaml.replace("missing: drop\n", ""))
    with pytest.raises(DataError, match=r"m\.csv:14: no SELFIES: failed to parse input: C\(C"):
        load_task(path)
    task(tmp_path, yaml, m__csv=table("smiles,a,b", *rows, "CCO,2,1"))
    with pytest.raises(DataError, match=r"m\.csv:15: a is '2', 0, 1 or empty expected"):
        load_task(path)


def test_nitro_groups_without_charges_are_rewritten_and_counted(tmp_path: Path) -> None:
    rows = [f"{s},{i}" for i, s in enumerate([*MOLECULES, "CN(=O)(=O)"])]
    yaml = ("alphabet: selfies\nnotation: smiles\nmetric: rmse\ndata: {file: m.csv}\n"
            "fractions: [0.4, 0.3, 0.3]\ncolumns: {sequence: smiles, value: y}\n")  # fmt: skip
    loaded = load_task(task(tmp_path, yaml, m__csv=table("smiles,y", *rows)))
    assert loaded.table.num_rows == 13 and loaded.notes["smiles-rewritten"] == 1


def test_genomic_benchmarks_as_folders_and_as_coordinates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("negative", "positive"):
            folder = tmp_path / "set" / part / label
            folder.mkdir(parents=True)
            for n in range(8):
                (folder / f"{n}.txt").write_text("".join(rng.choice(list("ACGTN"), 20)))
    yaml = ("kind: classification\nclasses: [negative, positive]\nvalidation: 0.25\n"
            "columns: {sequence: sequence}\n"
            "data: {file: 'set/{split}/{class}', splits: [train, test]}\n")  # fmt: skip
    loaded = load_task(task(tmp_path, yaml))
    assert np.bincount(loaded.values("test")).tolist() == [8, 8] and loaded.rows("validation").num_rows == 4
    genome = "".join(rng.choice(list("acgtACGT"), 100))
    (tmp_path / "g.fa").write_text(f">7 a chromosome\n{genome}\n")
    for label in ("negative", "positive"):
        rows = [f"{n},chr7,{n},{n + 10},{'+-'[n % 2]}" for n in range(9)]
        (tmp_path / f"c-train-{label}.csv").write_text(table("id,region,start,end,strand", *rows))
        (tmp_path / f"c-test-{label}.csv").write_text(table("id,region,start,end,strand", *rows))
    yaml = yaml.replace("set/{split}/{class}", "c-{split}-{class}.csv").replace(
        "splits:", "format: coordinates, genome: g.fa, splits:"
    )
    loaded = load_task(task(tmp_path, yaml))
    plain = genome.upper()
    wanted = [plain[n : n + 10] if n % 2 == 0 else reverse_complement(plain[n : n + 10]) for n in range(9)]
    assert loaded.sequences("test")[:9] == wanted
    rows[4] = "4,chr7,95,105,+"
    (tmp_path / "c-test-positive.csv").write_text(table("id,region,start,end,strand", *rows))
    with pytest.raises(
        DataError, match=r"c-test-positive\.csv:6: start 95, end 105 \(0 <= start < end <= 100"
    ):
        load_task(tmp_path / "t.yaml")
    (tmp_path / "g.fa").unlink()
    with pytest.raises(ConfigError, match=r"coordinates on g\.fa, which is not there"):
        load_task(tmp_path / "t.yaml")


def test_gue_folders(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}.csv").write_text(
            table("sequence,label", *[f"ACGT{'C' * n},{n % 2}" for n in range(6)])
        )
    yaml = ("kind: classification\ncolumns: {sequence: sequence, value: label}\n"
            "data: {file: '{split}.csv', splits: [train, dev, test]}\n")  # fmt: skip
    loaded = load_task(task(tmp_path, yaml))
    assert loaded.splits() == ("train", "validation", "test") and loaded.classes == ("0", "1")
    (tmp_path / "dev.csv").unlink()
    with pytest.raises(ConfigError, match=r"dev\.csv is not there"):
        load_task(tmp_path / "t.yaml")


def test_antibody_property_of_a_stranger(tmp_path: Path) -> None:
    """HELM's Ab1 and Ab2 are not published; an own table of VH-VL DNA with a property is a task."""
    rows = [f"{'ATGGCA' * (i + 1)},{i / 7:.3f}" for i in range(30)]
    yaml = (
        "unit: codon\ndata: {file: ab.csv}\ncolumns: {sequence: VHVL_DNA, value: titre}\nsplit_by: cluster\n"
    )
    path = task(tmp_path, yaml, ab__csv=table("VHVL_DNA,titre", *rows))
    loaded = load_task(path)
    assert loaded.notes["split_by"] == "cluster, seed 0" and loaded.notes["rows_without_whole_codons"] == 0
    assert loaded.fingerprint == load_task(path).fingerprint
    task(tmp_path, yaml + "seed: 1\n")
    assert loaded.fingerprint != load_task(path).fingerprint
