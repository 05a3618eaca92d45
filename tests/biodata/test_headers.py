"""Header lines of flat files as labels, compared with Biopython's reading of the same files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from Bio import SeqIO

from biodata.io.genbank import read_embl, read_genbank
from biodata.io.headers import embl_labels, genbank_labels, source_labels


def labels_of(batches) -> list[dict[str, str]]:
    rows = [row for batch in batches for row in batch["labels"].to_pylist()]
    return [{x["name"]: x["text"] for x in row or ()} for row in rows]


@pytest.mark.parametrize(
    "name", ["NC_000932.gb.gz", "NC_005816.gb", "influA_California.gbff", "gbvrl1_start.seq"]
)
def test_genbank_headers_agree_with_biopython(real_data: Path, name: str) -> None:
    path = real_data / "genbank" / name
    with gzip.open(path, "rt") if name.endswith(".gz") else open(path) as handle:
        records = list(SeqIO.parse(handle, "genbank"))
    found = labels_of(read_genbank(path))
    assert len(found) == len(records)
    for labels, record in zip(found, records):
        noted = record.annotations
        assert labels["lineage"].split("; ") == noted["taxonomy"]
        assert labels["division"] == noted["data_file_division"]
        day, _, year = noted["date"].split("-")
        assert labels["date"].startswith(f"{year}-") and labels["date"].endswith(f"-{int(day):02d}")
        pubmed = dict.fromkeys(r.pubmed_id for r in noted.get("references", ()) if r.pubmed_id)
        assert labels.get("pubmed", "") == "; ".join(pubmed)
        source = record.features[0].qualifiers
        assert labels.get("host") == source.get("host", [None])[0]


def test_embl_headers(real_data: Path) -> None:
    (labels,) = labels_of(read_embl(real_data / "genbank" / "AE017046.embl"))
    assert labels["lineage"].startswith("Bacteria; Proteobacteria; ")
    assert labels["division"] == "PRO" and labels["date"] == "2006-11-14"
    assert labels["pubmed"] == "15368893; 15262951"


def test_odd_headers() -> None:
    wrapped = b"  ORGANISM  A very long name\n            that goes on\n            Bacteria; Bacillota.\n"
    assert dict(genbank_labels("LOCUS X 1 bp", wrapped)) == {"lineage": "Bacteria; Bacillota"}
    assert genbank_labels("LOCUS X 9 bp DNA circular BCT 99-XXX-2001", b"") == [("division", "BCT")]
    assert embl_labels("ID   X; SV 1; linear; DNA; STD; VRL; 9 BP.\nOC   Viruses.\n") == [
        ("lineage", "Viruses"), ("division", "VRL"),
    ]  # fmt: skip
    assert source_labels([("host", "Homo sapiens"), ("host", "Mus"), ("lab_host", "Vero")]) == [
        ("host", "Homo sapiens"), ("lab_host", "Vero"),
    ]  # fmt: skip
