"""GenBank and EMBL, with Biopython as the independent reference."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from Bio import SeqIO
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io import genbank
from biodata.io.detect import detect_format
from biodata.io.flatfile import split_records
from biodata.io.genbank import read_embl, read_genbank
from biodata.io.locations import LocationError, hull, parse_location
from biodata.io.raw import RAW_SCHEMA
from biodata.io.streams import open_binary

# files that Biopython reads, some of which gb-io refuses
FILES = [
    "NC_000932.gb.gz", "NC_005816.gb", "Mmycoides_Afade_multi_record.gbff.gz", "yeast_chrI_NC_001133.gb.gz",
    "influA_California.gbff", "arab1.gb.gz", "cor6_6.gb.bgz", "ls_orchid.gbk.gz", "gbvrl1_start.seq",
    "noref_date_warning.gb", "qualifier_escaping_read.gb", "invalid_misc_feature.gb", "blank_seq.gb",
    "bad_origin_wrap_CDS.gb", "AE017046.embl", "U87107.embl", "SC10H5.embl",
]  # fmt: skip


def _read(path: Path, log: RuleLog, alphabet: str | None = None) -> list[dict[str, Any]]:
    reader = {"genbank": read_genbank, "embl": read_embl}[detect_format(path)]
    batches = list(reader(path, log=log, alphabet=alphabet))
    assert all(batch.schema == RAW_SCHEMA for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def _reference(path: Path) -> list[Any]:
    with open_binary(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = io.StringIO(stream.read().decode("latin-1"))
        return list(SeqIO.parse(text, detect_format(path)))


@pytest.mark.parametrize("name", FILES)
def test_agrees_with_biopython(name, real_data) -> None:
    path = real_data / "genbank" / name
    rows, records = _read(path, RuleLog(file=name)), _reference(path)
    assert len(rows) == len(records)
    for row, record in zip(rows, records):
        assert row["sequence"] == str(record.seq).upper()
        assert row["id"] == (record.id if record.id != "." else record.name)
        assert row["description"].rstrip(".") == record.description.rstrip(".")
        assert [f["type"] for f in row["features"]] == [f.type for f in record.features]
        for ours, theirs in zip(row["features"], record.features):
            _same_feature(ours, theirs)


def _same_feature(ours: dict[str, Any], theirs: Any) -> None:
    attributes = {a["key"]: a["value"] for a in ours["attributes"]}
    assert attributes.pop("location")
    expected = {k: " ".join("; ".join(v).split()) for k, v in theirs.qualifiers.items()}
    if "translation" in expected:
        expected["translation"] = expected["translation"].replace(" ", "")
    assert attributes == expected
    where = theirs.location
    assert (ours["start"], ours["end"]) == (int(where.start), int(where.end))
    assert ours["strand"] == (where.strand or 0)


ALL_FILES = [*FILES, "addgene-plasmid-11664-sequence-180430.gbk", "bad_loc_wrap.gb", "extra_keywords.gb.gz",
             "EU851978.gbk", "influA_Korea.gbff", "invalid_product.gb", "iro.gb", "no_end_marker.gb",
             "origin_line.gb", "pBAD30.gb", "protein_refseq.gb", "wrong_sequence_indent.gb"]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ALL_FILES if not name.endswith("embl")])
def test_in_bulk_as_record_by_record(name, real_data, monkeypatch) -> None:
    path = real_data / "genbank" / name
    in_bulk = _read(path, RuleLog(file=name))
    monkeypatch.setattr(genbank, "_regular", lambda *_: None)
    assert in_bulk == _read(path, RuleLog(file=name))


ODD = [
    (b'="pla', b'="p""la'),
    (b"     gene            ", b"     gene           "),
    (b"     CDS             ", b"     CDS     "),
    (b"/db_xref=", b"/db_xref"),
    (b'"\n                     /', b'" \n                     /'),
    (b'"\n                     /', b"\n                     /"),
    (b"                     /gene=", b"                     /gene "),
    (b"ORIGIN", b"BASE COUNT 1 a\nORIGIN"),
    (b"                     /codon_start=1", b"               /codon_start=1"),
    (b"\n     CDS ", b"\n\n     CDS "),
    (b"pestis", b"pes\ttis"),
]


@pytest.mark.parametrize("times", [1, -1])
@pytest.mark.parametrize(("old", "new"), ODD)
def test_odd_tables_in_bulk_as_record_by_record(old, new, times, real_data, tmp_path, monkeypatch) -> None:
    text = (real_data / "genbank" / "NC_005816.gb").read_bytes()
    path = tmp_path / "x.gb"
    assert old in text
    path.write_bytes(text + text.replace(old, new, times) + text)
    in_bulk = _read(path, RuleLog())
    assert len(in_bulk[0]["features"]) == 41
    assert in_bulk[0]["features"] == in_bulk[2]["features"]
    monkeypatch.setattr(genbank, "_regular", lambda *_: None)
    assert in_bulk == _read(path, RuleLog())


def test_organism_and_taxon(real_data) -> None:
    (row,) = _read(real_data / "genbank" / "NC_000932.gb.gz", RuleLog())
    assert (row["organism"], row["taxon_id"], row["line"]) == ("Arabidopsis thaliana", 3702, 1)


def test_lines_of_records(real_data) -> None:
    path = real_data / "genbank" / "cor6_6.gb"
    lines = path.read_text().splitlines()
    rows = _read(path, RuleLog())
    assert [lines[row["line"] - 1][:5] for row in rows] == ["LOCUS"] * 6


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("NT_019265.gb", "no-sequence"), ("DS830848.gb", "no-sequence"), ("tsa_acropora.gb", "no-sequence"),
        ("tls_KDHP01000000.gb", "no-sequence"), ("bad_origin_wrap.gb", "no-sequence"),
        ("no_origin_no_end.gb", "unreadable-record"),
    ],
)  # fmt: skip
def test_records_without_letters_are_counted(name, reason, real_data) -> None:
    path, log = real_data / "genbank" / name, RuleLog(file=name)
    assert _read(path, log) == []
    assert log.as_dict()["dropped"] == {reason: 1}
    with pytest.raises(DataError, match=f"{name}:1: {reason}"):
        list(read_genbank(path))


def test_protein_where_dna_is_wanted(real_data) -> None:
    log = RuleLog()
    assert _read(real_data / "genbank" / "protein_refseq2.gb", log, "dna") == []
    assert log.as_dict()["dropped"] == {"wrong-molecule": 1}
    assert len(_read(real_data / "genbank" / "protein_refseq2.gb", log, "protein")) == 1


def test_a_bad_record_does_not_cost_the_others(real_data, tmp_path) -> None:
    parts = ["noref.gb", "no_origin_no_end.gb", "tsa_acropora.gb", "noref_date_warning.gb", "iro.gb"]
    texts = [
        (real_data / "genbank" / p).read_text().strip().removesuffix("//").strip() + "\n//\n" for p in parts
    ]
    path = tmp_path / "mixed.gb"
    path.write_text("".join(texts))
    log = RuleLog(file="mixed.gb")
    rows = _read(path, log)
    assert [row["id"] for row in rows] == ["NM_006141.1", "NM_006141.1", "AL109817.1"]
    assert [row["line"] for row in rows] == [
        1 + "".join(texts[:i]).count("\n") for i in (0, 3, 4)
    ]  # fmt: skip
    assert log.as_dict()["dropped"] == {"no-sequence": 2}
    assert log.as_dict()["changed"]["parsed-by-biopython"] == 1


def test_truncated_record_is_dropped_and_missing_end_line_is_not(real_data, tmp_path) -> None:
    text = (real_data / "genbank" / "iro.gb").read_text()
    path = tmp_path / "x.gb"
    path.write_text(text[: int(len(text) * 0.9)])
    log = RuleLog(file="x.gb")
    assert _read(path, log) == []
    assert log.as_dict()["dropped"] == {"truncated-record": 1}
    path.write_text(text.strip().removesuffix("//"))
    assert len(_read(path, log)) == 1
    assert log.as_dict()["changed"]["no-end-line"] == 1


def test_crlf_and_latin1(real_data, tmp_path) -> None:
    original = (real_data / "genbank" / "NC_005816.gb").read_bytes()
    expected = _read(real_data / "genbank" / "NC_005816.gb", RuleLog())
    path = tmp_path / "x.gb"
    path.write_bytes(original.replace(b"\n", b"\r\n").replace(b"pestis biovar Microtus", b"p\xe9stis", 1))
    log = RuleLog(file="x.gb")
    rows = _read(path, log)
    assert rows[0]["description"].startswith("Yersinia p\u00e9stis")
    assert rows[0]["features"] == expected[0]["features"]
    assert log.as_dict()["changed"] == {"decoded-as-latin-1": 1}


class _Trickle(io.BytesIO):
    """Gives a few bytes at a time, whatever is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


def test_records_are_cut_wherever_blocks_end() -> None:
    text = b"LOCUS a\n//\nLOCUS b\n  //\n// \n\n\nLOCUS c\n//"
    cut = [(r.text.split()[1], r.line, r.ended) for r in split_records(_Trickle(text))]
    assert cut == [(b"a", 1, True), (b"b", 3, True), (b"c", 8, True)]


INTERVALS = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 80), st.booleans()), min_size=1, max_size=5
)


@given(INTERVALS, st.booleans(), st.sampled_from(["join", "order"]))
@settings(max_examples=50, deadline=None)
def test_locations_agree_with_biopython(intervals, reverse, name) -> None:
    from Bio.SeqFeature import Location as BioLocation
    from Bio.SeqFeature import SimpleLocation

    spans = [f"{a}..{a + n}" if n else f"{a}" for a, n, _ in intervals]
    pieces = [f"complement({s})" if minus else s for s, (_, _, minus) in zip(spans, intervals)]
    text = pieces[0] if len(pieces) == 1 else f"{name}({','.join(pieces)})"
    nested = any(minus for _, _, minus in intervals)  # Biopython refuses a complement in a complement
    text = f"complement({text})" if reverse and not nested else text
    where = BioLocation.fromstring(text)
    assert isinstance(where.parts[0], SimpleLocation)
    ours = [(p.start, p.end, p.strand) for p in parse_location(text).parts]
    assert ours == [(int(p.start), int(p.end), p.strand) for p in where.parts]
    assert hull(text) == (int(where.start), int(where.end), where.strand or 0)


@pytest.mark.parametrize(
    "text", ["3^4", "(1.5)..10", "one-of(1,5)..10", "bond(3,5)", "9..1", "gap(10)", "0..4", ""]
)
def test_locations_without_definite_letters(text) -> None:
    with pytest.raises(LocationError) as error:
        parse_location(text)
    assert error.value.reason == "bad-location"


def test_remote_location() -> None:
    with pytest.raises(LocationError) as error:
        parse_location("join(1..5,J00194.1:100..202)")
    assert error.value.reason == "remote-location"


def test_feature_tables_of_nothing_but_their_header(tmp_path) -> None:
    """As Biopython writes records that have no features."""
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

    made = [SeqRecord(Seq("ACGT" * 20), id=n, name=n, annotations={"molecule_type": "DNA"}) for n in "ab"]
    SeqIO.write(made, tmp_path / "x.gb", "genbank")
    rows = [row for batch in read_genbank(tmp_path / "x.gb") for row in batch.to_pylist()]
    assert [(row["id"], row["sequence"], row["features"]) for row in rows] == [
        ("a", "ACGT" * 20, []), ("b", "ACGT" * 20, []),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "read"), [("NC_005816.gb", read_genbank), ("SC10H5.embl", read_embl)])
def test_a_byte_order_mark_at_the_end_is_no_record(name: str, read, real_data, tmp_path) -> None:
    """Files joined on Windows end so."""
    path, log = tmp_path / name, RuleLog(file=name)
    path.write_bytes((real_data / "genbank" / name).read_bytes() + b"\xef\xbb\xbf")
    assert sum(batch.num_rows for batch in read(path, log=log)) == 1
    assert log.as_dict()["dropped"] == {"no-record": 1}


def test_a_promise_of_letters_takes_no_memory(real_data: Path, tmp_path: Path) -> None:
    """gb-io makes room for what the first line promises, and ends the process where there is none."""
    text = (real_data / "genbank" / "NC_005816.gb").read_bytes()
    path, good = tmp_path / "x.gb", real_data / "genbank" / "NC_005816.gb"
    path.write_bytes(text.replace(b" 9609 bp", b" 500000000 bp", 1))
    code = (
        "import resource, sys; from pathlib import Path; from biodata.io.genbank import read_genbank\n"
        "read = lambda p: [len(s.as_py()) for b in read_genbank(Path(p)) for s in b['sequence']]\n"
        "read(sys.argv[2])\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (300 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size)); print(read(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path), str(good)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[9609]\n"), done.stderr[-500:]
