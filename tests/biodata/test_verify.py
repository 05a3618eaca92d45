import csv
import gzip
import random
from pathlib import Path

import edlib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint
from biodata.splits.stranger import Columns
from biodata.splits.verify import _manifest_problems, verify_dataset
from seqloom_cli.main import app


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as handle:
        return list(csv.DictReader(handle))


def write_csv(path: Path, rows: list[tuple[str, str]], *, names: str = "Sequence,Split") -> Path:
    path.write_text("\n".join([names, *(",".join(row) for row in rows)]) + "\n")
    return path


def test_mrfp_has_two_test_rows_exactly_in_train(real_data: Path) -> None:
    found = verify_dataset(real_data / "mrna" / "mRFP_Expression.csv.gz", alphabet="rna", identity=0.99,
                           effort=0, threads=2)  # fmt: skip
    assert not found["ok"]
    assert "2 test rows have exactly the sequence of a train row" in found["problems"]
    assert found["audit"]["max_identity"] == 1
    # 2 exact copies of 219, and one protein written in 1,459 ways: the published figures
    assert {name: found["near"][name] for name in ("test_rows", "identical", "same_protein")} == {
        "test_rows": 219, "identical": 2, "same_protein": 219}  # fmt: skip


def test_tc_riboswitches_leak(real_data: Path) -> None:
    path = real_data / "mrna" / "Tc-Riboswitches.csv.gz"
    found = verify_dataset(path, alphabet="rna", threads=2)
    rows = rows_of(path)
    train = [row["Sequence"] for row in rows if row["Split"] == "train"]
    test = [row["Sequence"] for row in rows if row["Split"] == "test"]
    near = sum(any(similar(a, b) for b in train) for a in test)
    assert near > 0.9 * len(test)
    assert found["near"]["sharing_half_of_kmers"] == found["near"]["test_rows"] == 54  # published: 54 of 54
    assert found["audit"]["leaking_rows"] >= near
    assert found["audit"]["exact"]["complete"]


def similar(a: str, b: str) -> bool:
    """Whether two sequences are at least 90 % identical end to end."""
    return edlib.align(a, b, k=int(0.1 * max(len(a), len(b))))["editDistance"] >= 0


def test_half_of_the_cov_test_rows_are_like_a_train_row(real_data: Path, tmp_path: Path) -> None:
    rows = rows_of(real_data / "mrna" / "CoV_Vaccine_Degradation.csv.gz")
    train = [row["Sequence"] for row in rows if row["Split"] == "train"]
    tests = [row["Sequence"] for row in rows if row["Split"] == "test"]
    tests = random.Random(0).sample(tests, 100)
    near = sum(any(similar(a, b) for b in train) for a in tests)
    assert near == pytest.approx(48, abs=8)  # 48 % of all 400, measured independently
    table = [(text, "train") for text in train] + [(text, "test") for text in tests]
    found = verify_dataset(write_csv(tmp_path / "cov.csv", table), alphabet="rna", threads=2)
    assert near <= found["audit"]["leaking_rows"] <= near + 25  # ours also counts an overhang
    assert found["audit"]["exact"]["complete"]


def test_a_quarter_of_the_cov_test_rows_share_half_of_their_21_mers(real_data: Path) -> None:
    path = real_data / "mrna" / "CoV_Vaccine_Degradation.csv.gz"
    found = verify_dataset(path, alphabet="rna", identity=1.0, effort=0, threads=2)["near"]
    assert found["sharing_half_of_kmers"] / found["test_rows"] == pytest.approx(0.255, abs=0.001)  # published


def test_columns_and_values_by_any_usual_name(tmp_path: Path) -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices("ACGT", k=150)) for _ in range(12)]
    parts = ["Train", "training", "VAL", "valid", "dev", "Test"] * 2
    plain = write_csv(tmp_path / "a.csv", list(zip(texts, parts)), names="CDS,SPLIT")
    assert verify_dataset(plain, alphabet="dna", threads=2)["ok"]
    with gzip.open(tmp_path / "b.tsv.gz", "wt") as handle:
        handle.write("seq\tset\n" + "".join(f"{t.lower()}\t{p}\n" for t, p in zip(texts, parts)))
    assert verify_dataset(tmp_path / "b.tsv.gz", alphabet="dna", threads=2)["ok"]
    pq.write_table(
        pa.table({"sequence": [*texts, texts[0]], "split": [*parts, "test"]}), tmp_path / "c.parquet"
    )
    found = verify_dataset(tmp_path / "c.parquet", alphabet="dna", threads=2)
    assert found["problems"][0] == "1 test rows have exactly the sequence of a train row"
    assert found["audit"]["leaking_rows"] == 1 and not found["ok"]


def test_rows_that_cannot_be_audited_are_problems(tmp_path: Path) -> None:
    rng = random.Random(2)
    good = [("".join(rng.choices("ACGT", k=120)), part) for part in ("train", "validation", "test")]
    path = write_csv(tmp_path / "x.csv", [*good, ("ACGJ", "train"), (good[0][0], "holdout")])
    assert verify_dataset(path, alphabet="dna", threads=2)["problems"] == [
        "1 rows with a split that is none of train, validation, test: 'holdout'",
        "1 rows with symbols 'J' outside dna, the first is data row 4",
    ]


def test_molecules_in_smiles_or_selfies(tmp_path: Path) -> None:
    rows = [
        ("CCO", "train"),
        ("c1ccccc1O", "train"),
        ("CCCCCCCCN", "validation"),
        ("OCC", "test"),
        ("CCO", "test"),
    ]
    path = write_csv(tmp_path / "smiles.csv", [*rows, ("C(C", "train")], names="Smiles,split")
    found = verify_dataset(path, alphabet="selfies", threads=1)
    assert found["problems"] == [
        "1 rows with SMILES without SELFIES (failed to parse input: C(C), the first is data row 6",
        "1 test rows have exactly the sequence of a train row",
        "1 of 2 test rows (50.0%) are at least 90% identical to a row of another split, row 5 for one",
    ]
    rows = [("[C][C][O]", "train"), ("[C][C][Cl]", "test"), ("CCO", "test"), ("[N][=N]", "val")]
    path = write_csv(tmp_path / "selfies.csv", rows, names="SELFIES,split")
    found = verify_dataset(path, alphabet="selfies", threads=1)
    assert found["problems"] == ["1 rows with symbols 'CO' outside selfies, the first is data row 3"]
    assert found["audit"]["leaking_rows"] == 0


def test_columns_by_name_and_the_leaking_pairs_in_a_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("ACGT", k=150)) for _ in range(4)]
    rows = [(texts[0], "train"), (texts[1], "val"), (texts[2], "test"), (texts[0][:149] + "A", "test")]
    path = write_csv(tmp_path / "x.csv", rows, names="mine,fold")
    columns, listing = Columns(sequence="mine", split="Fold"), tmp_path / "pairs.parquet"
    found = verify_dataset(path, alphabet="dna", threads=1, columns=columns, listing=listing)
    assert found["problems"][0].endswith("row of another split, row 4 for one")
    (pair,) = pq.read_table(listing).to_pylist()
    assert pair.pop("identity") > 0.99
    assert pair == {"id": "row 4", "split": "test", "other_id": "row 1", "other_split": "train"}
    with pytest.raises(DataError, match=r"no column 'set' among mine, fold \(say which by --split-column"):
        verify_dataset(path, alphabet="dna", columns=Columns(sequence="mine", split="set"))


def test_a_table_of_one_split_is_not_said_to_be_fine(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", [("ACGT" * 30, "train"), ("GGCA" * 30, "train")])
    found = verify_dataset(path, alphabet="dna", threads=1)
    assert found["problems"] == ["all rows that can be compared are train: there is no split to check"]


@pytest.mark.parametrize("name", ["identity", "coverage"])
@pytest.mark.parametrize("against", [False, True])
def test_a_threshold_of_zero_is_refused_not_replaced(name: str, against: bool, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", [("ACGT" * 30, "train"), ("GGCA" * 30, "test")])
    also = ["--against", str(path)] if against else []
    said = CliRunner().invoke(
        app, ["data", "verify", str(path), "--alphabet", "dna", f"--{name}", "0", *also]
    )
    assert said.exit_code == 2 and f"{name} is 0.0, allowed: above 0" in said.stderr


def test_one_line_for_everything_else(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", [("ACGT", "train")])
    with pytest.raises(ConfigError, match="say what it holds with alphabet"):
        verify_dataset(path)
    with pytest.raises(ConfigError, match="unknown alphabet 'nucleotide'"):
        verify_dataset(path, alphabet="nucleotide")
    with pytest.raises(DataError, match="no such file or folder"):
        verify_dataset(tmp_path / "none.csv", alphabet="dna")
    with pytest.raises(DataError, match="no split column among Sequence, fold"):
        verify_dataset(write_csv(tmp_path / "y.csv", [("ACGT", "1")], names="Sequence,fold"), alphabet="dna")
    with pytest.raises(DataError, match=r"no row has both .* column 'Split' holds 'none' \(allowed: train"):
        verify_dataset(write_csv(tmp_path / "z.csv", [("ACGT", "none")]), alphabet="dna")
    with pytest.raises(DataError, match="name one file, for example x"):
        verify_dataset(tmp_path, alphabet="dna")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="not readable as a table"):
        verify_dataset(tmp_path / "bad.parquet", alphabet="dna")


@pytest.mark.parametrize("edit", [{"rows": 4}, {"splits": {"train": 3}}, {"build_key": "other"}, {}])
def test_an_edited_manifest_is_found(edit: dict[str, object]) -> None:
    files = [{"name": "data/a.parquet", "split": "train", "rows": 3, "sha256": "0" * 64},
             {"name": "data/b.parquet", "split": "test", "rows": 2, "sha256": "1" * 64}]  # fmt: skip
    manifest = {"build_key": "k", "files": files, "fingerprint": fingerprint(["k", files]), "rows": 5,
                "splits": {"train": 3, "validation": 0, "test": 2}}  # fmt: skip
    assert len(list(_manifest_problems(manifest | edit))) == len(edit)
