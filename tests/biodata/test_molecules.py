"""SMILES to SELFIES: the molecule stays the same, what cannot be converted is listed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.curate.molecules import check_selfies, to_selfies
from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.ingest import ingest
from biodata.io.nested import raw_batch
from biodata.io.smiles import read_smiles
from biodata.read_config import ReadConfig


def rows(path: Path, text: str) -> list[dict]:
    path.write_text(text)
    return [row for batch in read_smiles(path) for row in batch.to_pylist()]


def staged(path: Path, out: Path, **config) -> tuple[list[dict], dict]:
    result = ingest(ReadConfig(inputs=(str(path),), alphabet="selfies", **config), out)
    table = pa.concat_tables(pq.read_table(shard) for shard in result.shards)
    return table.to_pylist(), dict(result.rules)


def label(row: dict, name: str) -> str | float | None:
    found = [x for x in row["labels"] if x["name"] == name]
    return (found[0]["text"] or found[0]["value"]) if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CCO\nC=O\n", [("", "CCO", 1), ("", "C=O", 2)]),
        ("smiles zinc_id\nCCO ZINC1\n\nC=O\tZINC2\r\n", [("ZINC1", "CCO", 2), ("ZINC2", "C=O", 4)]),
        ("1\tCC(=O)[O-]\n22\tC\n", [("CID1", "CC(=O)[O-]", 1), ("CID22", "C", 2)]),
        ("CCO an alcohol", [("an", "CCO", 1)]),
    ],
)
def test_layouts(text, expected, tmp_path) -> None:
    assert [(r["id"], r["sequence"], r["line"]) for r in rows(tmp_path / "x.smi", text)] == expected


def test_lines_across_blocks(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("biodata.io.smiles._BLOCK", 64)
    found = rows(tmp_path / "x.smi", "".join(f"{'C' * (i % 50 + 1)} m{i}\n" for i in range(300)))
    assert [(r["id"], r["line"], len(r["sequence"])) for r in found] == [
        (f"m{i}", i + 1, i % 50 + 1) for i in range(300)
    ]


def test_not_for_other_alphabets(tmp_path) -> None:
    (tmp_path / "x.smi").write_text("CCO\nCC(=O)O\n")
    with pytest.raises(DataError, match=r"x\.smi: these are molecules \(SMILES\) \(--alphabet selfies\)"):
        ingest(ReadConfig(inputs=(str(tmp_path / "x.smi"),)), tmp_path / "out")


def test_unconvertible_molecules_are_listed(tmp_path) -> None:
    path = tmp_path / "x.smi"
    path.write_text("CCO ethanol\nC(C open\nC[Fe](C)(C)(C)(C)(C)(C)(C)(C)C iron\nCCO again\n")
    found, rules = staged(path, tmp_path / "out")
    assert [(row["id"], row["sequence"]) for row in found] == [("ethanol", "[C][C][O]")]
    assert label(found[0], "smiles") == "CCO" and found[0]["length"] == 9
    assert rules["dropped"] == {"duplicate": 1, "no-selfies": 2}
    listed = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    details = {row["id"]: (row["line"], row["detail"]) for row in listed}
    assert details["open"][0] == 2 and details["open"][1] == "failed to parse input: C(C"
    assert details["iron"][0] == 3 and "10 bond(s)" in details["iron"][1]
    assert all("\n" not in detail for _, detail in details.values())


def test_selfies_as_they_are(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,selfies\na,[C][=O]\nb,CCO\n")
    found, rules = staged(path, tmp_path / "out", molecules="selfies")
    assert [row["sequence"] for row in found] == ["[C][=O]"] and rules["dropped"] == {"invalid-letter": 1}
    # a dataset of selfies is read back without being converted again
    again, _ = staged(tmp_path / "out" / "stage-00000.parquet", tmp_path / "again")
    assert [row["sequence"] for row in again] == ["[C][=O]"]


def test_empty_molecules() -> None:
    batch = raw_batch({"id": pa.array(["a", "b"]), "sequence": pa.array(["", "C"])})
    log = RuleLog(file="x")
    assert to_selfies(batch, log=log)["id"].to_pylist() == ["b"]
    assert check_selfies(batch, log=log).num_rows == 0
    assert log.as_dict()["dropped"] == {"empty": 2, "invalid-letter": 1}


def test_round_trip_of_real_molecules(real_data, tmp_path) -> None:
    """The same molecule comes back, by RDKit's canonical SMILES: equal strings are rare and mean nothing."""
    chem = pytest.importorskip("rdkit.Chem", reason="rdkit is not installed: pip install rdkit")
    import selfies

    with gzip.open(real_data / "smiles" / "jtnn_zinc_test.txt.gz", "rt") as handle:
        lines = handle.read().splitlines()[:300]
    path = tmp_path / "zinc.smi"
    path.write_text("\n".join(lines))
    found, rules = staged(path, tmp_path / "out")
    assert len(found) == len(set(lines)) and not rules["dropped"].get("no-selfies")

    def canonical(smiles: str) -> str:
        return chem.MolToSmiles(chem.MolFromSmiles(smiles))

    for row in found:
        assert canonical(str(selfies.decoder(row["sequence"]))) == canonical(str(label(row, "smiles")))


def test_real_corner_cases(real_data, tmp_path) -> None:
    """32 of the library's 36 corner cases convert; the others are listed."""
    found, rules = staged(real_data / "smiles" / "selfies_custom_cases.csv.gz", tmp_path / "out")
    dropped = rules["dropped"]
    assert dropped["no-selfies"] == 4
    assert len(found) + dropped.get("duplicate", 0) == 32


def test_real_tables(real_data, tmp_path) -> None:
    found, _ = staged(real_data / "smiles" / "selfies_freesolv.csv.gz", tmp_path / "out")
    first = next(row for row in found if label(row, "smiles") == "CS(=O)(=O)Cl")
    assert label(first, "expt") == -4.87 and label(first, "iupac") == "methanesulfonyl chloride"


def test_a_first_line_of_blanks_alone_is_a_molecule_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.smi"
    path.write_bytes(b"\x0c\nCCO a\n")
    rows = pa.Table.from_batches(read_smiles(path)).select(["id", "sequence", "line"]).to_pylist()
    assert rows[1:] == [{"id": "a", "sequence": "CCO", "line": 2}]
    assert rows[0]["sequence"] == "\x0c"  # and is listed as what could not be converted
