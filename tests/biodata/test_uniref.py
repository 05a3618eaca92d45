"""UniRef as FASTA and XML: fields, and that both say the same."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from Bio import SeqIO
from hypothesis import given
from hypothesis import strategies as st

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.detect import detect_format
from biodata.io.fasta import read_fasta
from biodata.io.uniref import parse_header, read_uniref_fasta
from biodata.io.uniref_xml import read_uniref_xml

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).map(str.strip)


def rows_of(batches) -> list[dict]:
    return [row for batch in batches for row in batch.to_pylist()]


def labels_of(row: dict) -> dict:
    return {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row["labels"]}


@given(
    name=st.lists(st.one_of(NAMES, st.sampled_from(["n=3", "Tax=x", "TaxID=7", "RepID=Q", "="])), min_size=1),
    taxon=st.lists(NAMES.filter(lambda s: not s.startswith(("TaxID=", "RepID=", "n=", "Tax="))), min_size=1),
    size=st.integers(1, 10**6),
    number=st.one_of(st.none(), st.integers(1, 10**7)),
)
def test_headers_are_read_from_the_right(name, taxon, size, number) -> None:
    fields = (" ".join(name), size, " ".join(taxon), number, "Q9_HUMAN")
    middle = "" if number is None else f" TaxID={number}"
    assert parse_header(f"{fields[0]} n={size} Tax={fields[2]}{middle} RepID=Q9_HUMAN") == fields


def test_real_headers(real_data: Path) -> None:
    path = real_data / "protein" / "af3mini_uniref90__subsampled_1000.fasta.gz"
    assert detect_format(path) == "uniref"
    log = RuleLog()
    rows = rows_of(read_uniref_fasta(path, log=log))
    with gzip.open(path, "rt") as text:
        records = list(SeqIO.parse(text, "fasta"))
    pattern = re.compile(r"^(\S+) (.*) n=(\d+) Tax=(.*) TaxID=(\d+) RepID=(\S+)$")
    assert len(rows) == len(records) > 900 and log.as_dict() == {"dropped": {}, "changed": {}}
    for row, record in zip(rows, records):
        found = pattern.match(record.description)
        assert found
        id, name, size, taxon, number, member = found.groups()
        assert (row["id"], row["description"], row["organism"], row["taxon_id"]) == (
            id,
            name,
            taxon,
            int(number),
        )
        assert labels_of(row) == {"cluster_size": float(size), "representative": member}
        assert row["sequence"] == str(record.seq)


def test_other_headers_stay_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">UniRef50_A a n=2 Tax=Homo TaxID=9605 RepID=A_HUMAN\nMK\n>UniRef50_B b\nMM\n>C\nML\n")
    assert detect_format(path) == "uniref"
    log = RuleLog(file="x.fa")
    rows = rows_of(read_uniref_fasta(path, log=log))
    assert [r["description"] for r in rows] == ["a", "b", ""]
    assert [r["organism"] for r in rows] == ["Homo", None, None]
    assert [labels_of(r) for r in rows] == [{"cluster_size": 2.0, "representative": "A_HUMAN"}, {}, {}]
    assert log.as_dict()["changed"] == {"uniref-header-unread": 2}
    assert log.table()["id"].to_pylist() == ["UniRef50_B", "C"]


def test_other_fasta_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">P1 a n=2 Tax=Homo TaxID=9605 RepID=A\nMK\n")
    assert detect_format(path) == "fasta"
    assert rows_of(read_fasta(path))[0]["labels"] is None


def test_real_xml(real_data: Path) -> None:
    path = real_data / "protein" / "UniRef90_P99999.xml"
    assert detect_format(path) == "uniref-xml"
    (row,) = rows_of(read_uniref_xml(path))
    space = "{http://uniprot.org/uniref}"
    entry = ElementTree.parse(path).getroot()[0]
    sequence = entry.find(f"{space}representativeMember/{space}sequence")
    assert sequence is not None and row["sequence"] == sequence.text and row["line"] == 3
    assert (row["id"], row["description"]) == ("UniRef90_P99999", "Cytochrome c")
    assert (row["organism"], row["taxon_id"]) == ("Catarrhini", 9526)
    assert labels_of(row)["cluster_size"] == 1 + len(entry.findall(f"{space}member")) == 27
    seeds = [m for m in entry if m.find(f".//{space}property[@type='isSeed']") is not None]
    reference = seeds[0].find(f"{space}dbReference")
    assert len(seeds) == 1 and reference is not None
    assert labels_of(row) == {"cluster_size": 27, "representative": "CYC_HUMAN", "updated": "2023-09-13",
                              "seed": reference.get("id")}  # fmt: skip


def xml_of(n: int, *, members: int = 2, declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> str:
    member = (
        '<member><dbReference type="UniProtKB ID" id="M{0}&amp;{1}"><property type="x" value="y"/>\n'
        "</dbReference></member>\n"
    )
    entries = [
        f'<entry id="UniRef50_{i}" updated="2026-01-01">\n<name>Cluster: A &lt;b&gt; {i}</name>\n'
        f'<property type="member count" value="{members + 1}"/>\n'
        f'<property type="common taxon" value="Taxon {i}"/>'
        f'<property type="common taxon ID" value="{i + 1}"/>\n'
        f'<representativeMember>\n<dbReference type="UniProtKB ID" id="R{i}_HUMAN">'
        f'<property type="isSeed" value="true"/></dbReference>\n'
        f'<sequence length="{6 + i % 3}" checksum="0">MKV\nLA{"C" * (i % 3)}A</sequence>\n'
        "</representativeMember>\n"
        + "".join(member.format(i, m) for m in range(members)) + "</entry>\n"
        for i in range(n)
    ]  # fmt: skip
    return declaration + '<UniRef xmlns="http://uniprot.org/uniref">\n' + "".join(entries) + "</UniRef>\n"


def fasta_of(n: int, *, members: int = 2) -> str:
    return "".join(
        f">UniRef50_{i} A <b> {i} n={members + 1} Tax=Taxon {i} TaxID={i + 1} RepID=R{i}_HUMAN\n"
        f"MKVLA{'C' * (i % 3)}A\n"
        for i in range(n)
    )


@pytest.mark.parametrize("block", [64, 1000, 1 << 22])
def test_xml_and_fasta_say_the_same(block: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("biodata.io.uniref_xml._BLOCK", block)
    xml, fasta = tmp_path / "u.xml.gz", tmp_path / "u.fasta"
    xml.write_bytes(gzip.compress(xml_of(40).encode()))
    fasta.write_text(fasta_of(40))
    left, right = rows_of(read_uniref_xml(xml)), rows_of(read_uniref_fasta(fasta))
    texts = xml_of(40).splitlines()
    for a, b in zip(left, right, strict=True):
        assert texts[a["line"] - 1].startswith(f'<entry id="{a["id"]}"')
        assert labels_of(a) == labels_of(b) | {
            "updated": "2026-01-01",
            "seed": labels_of(b)["representative"],
        }
        for name in ("id", "sequence", "description", "organism", "taxon_id"):
            assert a[name] == b[name]


@pytest.mark.parametrize("root", ["UniRef", "UniRef50", "UniRef90", "UniRef100"])
def test_the_root_of_releases_names_the_level(root: str, tmp_path: Path) -> None:
    path = tmp_path / "u.xml"
    path.write_text(xml_of(3).replace("<UniRef ", f"<{root} ").replace("</UniRef>", f"</{root}>"))
    assert len(rows_of(read_uniref_xml(path))) == 3


def test_xml_without_a_single_new_line(tmp_path: Path) -> None:
    path = tmp_path / "u.xml"
    path.write_text(xml_of(5, members=0).replace("\n", ""))
    assert [row["id"] for row in rows_of(read_uniref_xml(path))] == [f"UniRef50_{i}" for i in range(5)]


def test_xml_that_is_damaged_names_file_and_line(tmp_path: Path) -> None:
    path, text = tmp_path / "u.xml", xml_of(3)
    path.write_text(text[: text.index("UniRef50_2") + 5])
    with pytest.raises(DataError, match=r"u\.xml:\d+: the file breaks off"):
        rows_of(read_uniref_xml(path))
    path.write_text(text.replace("<name>Cluster: A &lt;b&gt; 1", "<nme>Cluster"))
    line = text[: text.index("b&gt; 1")].count("\n") + 1
    with pytest.raises(DataError, match=rf"u\.xml:{line}: damaged XML \(mismatched tag\)"):
        rows_of(read_uniref_xml(path))
    path.write_text("<UniProt><entry></entry></UniProt>")
    with pytest.raises(DataError, match="is this UniRef XML"):
        rows_of(read_uniref_xml(path))
    packed = tmp_path / "u.xml.gz"
    packed.write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(DataError, match=r"u\.xml\.gz"):
        rows_of(read_uniref_xml(packed))


def test_xml_entries_that_contradict_themselves_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "u.xml"
    text = xml_of(3).replace('length="6"', 'length="7"').replace("MKV\nLACA", "")
    path.write_text(text)
    log = RuleLog(file="u.xml")
    assert [r["id"] for r in rows_of(read_uniref_xml(path, log=log))] == ["UniRef50_2"]
    assert log.as_dict()["dropped"] == {"uniref-length-differs": 1, "uniref-no-sequence": 1}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "u.xml"
    path.write_text(xml_of(30_000, members=6))
    before = pa.total_allocated_bytes()
    most = 0
    for batch in read_uniref_xml(path):
        most = max(most, batch.num_rows)
        del batch
        assert pa.total_allocated_bytes() - before < 16 << 20
    assert path.stat().st_size > 20 << 20 and most < 10_000
