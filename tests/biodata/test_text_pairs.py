"""Texts of records, features and windows; capped phrases; documents with both."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from Bio import SeqIO
from hypothesis import given
from hypothesis import strategies as st

from biodata.build import BuildConfig, build_dataset
from biodata.configs import from_dict
from biodata.curate.interleave import MARKERS, InterleaveConfig, interleaved, marked
from biodata.curate.phrases import cap_phrases
from biodata.curate.text_pairs import feature_facts
from biodata.curate.text_policy import TextPolicy
from biodata.errors import ConfigError
from biodata.export import ExportConfig, export_dataset
from biodata.ingest import ReadConfig, ingest
from biodata.schema import SCHEMA
from biodata.tokenizers.joint import BOUNDARIES, train_joint


def read(out: Path, *inputs: Path, **settings: Any) -> list[dict[str, Any]]:
    config = from_dict(ReadConfig, {"inputs": [str(path) for path in inputs], **settings})
    result = ingest(config, out)
    return [row for shard in result.shards for row in pq.read_table(shard).to_pylist()]


def statements(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.split("\n"))


def test_records_say_what_biopython_reads(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "genbank" / "NC_005816.gb"
    (row,) = read(tmp_path, path, texts={"text_level": "record"})
    record = SeqIO.read(path, "genbank")
    said = statements(row["text"])
    assert list(said) == ["definition", "organism", "lineage", "pubmed"]
    assert said["definition"].rstrip(".") == record.description.rstrip(".")
    assert said["organism"] == record.annotations["organism"]
    assert said["lineage"].split("; ") == record.annotations["taxonomy"]
    assert said["pubmed"].split("; ") == [
        r.pubmed_id for r in record.annotations["references"] if r.pubmed_id
    ]


def test_features_say_what_biopython_reads(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "genbank" / "NC_000932.gb.gz"
    with gzip.open(path, "rt") as handle:
        record = SeqIO.read(handle, "genbank")
    kinds = ("tRNA", "rRNA", "CDS")
    rows = read(tmp_path, path, take="features", feature_types=list(kinds), texts={"text_level": "feature"})
    by_id = {row["id"]: row for row in rows}
    checked = 0
    for feature in record.features:
        if feature.type not in kinds:
            continue
        start, end = int(feature.location.start), int(feature.location.end)
        place = f"NC_000932.1:{start}..{end}:{feature.type}"
        id = feature.qualifiers["protein_id"][0] if feature.type == "CDS" else place
        if (row := by_id.get(id)) is None:
            continue  # a copy in the inverted repeat
        said = statements(row["text"])
        assert (said["type"], said["product"]) == (feature.type, feature.qualifiers["product"][0])
        assert said["gene"] == feature.qualifiers.get("gene", feature.qualifiers.get("locus_tag"))[0]
        if feature.location.strand and "trans_splicing" not in feature.qualifiers:
            assert row["sequence"] == str(feature.extract(record.seq))
            assert (row["start"], row["end"], row["strand"]) == (start, end, feature.location.strand)
        assert row["parent"] == "NC_000932.1"
        checked += 1
    assert checked == len(rows) > 100


def test_windows_list_the_features_inside(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "genbank" / "NC_005816.gb"
    rows = read(
        tmp_path, path, windows={"window": 3000}, texts={"text_level": "window", "text_fields": "organism"}
    )
    assert [row["text"].split("\n")[0] for row in rows] == [
        "organism: Yersinia pestis biovar Microtus str. 91001"
    ] * 4
    lines = [line for line in rows[0]["text"].split("\n") if "CDS" in line]
    assert lines[:2] == [
        "feature: CDS 87..1109 + YP_pPCP01: putative transposase",
        "feature: CDS 1106..1888 + YP_pPCP02: transposase/IS protein",
    ]
    assert lines[2].startswith("feature: CDS 2925..3000 + partial")


def test_go_terms_ec_and_function_in_their_spellings() -> None:
    facts = feature_facts(
        {
            "locus_tag": "b1",
            "note": "similar to GO:0000001",
            "EC_number": "1.1.1.1; 2.2.2.2",
            "GO_process": "GO:0006810 - transport; GO:0006811 - ion transport",
            "go_function": "kinase [goid 0016301]",
            "db_xref": "GO:0005829; GI:7",
        }
    )
    assert facts["ec"] == ["1.1.1.1; 2.2.2.2"] and facts["gene"] == ["b1"]
    assert set(facts["go"]) == {f"GO:{n}" for n in ("0000001", "0006810", "0006811", "0016301", "0005829")}


def test_levels_have_to_fit() -> None:
    for settings, word in (
        ({"texts": {"text_level": "feature"}}, "take cds or features"),
        ({"texts": {"text_level": "record"}, "take": "cds"}, "take records"),
        ({"texts": {"text_level": "window"}}, "how long windows are"),
        ({"texts": {"text_fields": ["colour"]}}, "colour"),
    ):
        with pytest.raises(ConfigError, match=word):
            from_dict(ReadConfig, settings)
    assert TextPolicy().text_level == "none"


def test_phrases_are_capped_and_others_kept() -> None:
    boiler = "type: CDS\norganism: x\nproduct: Hypothetical protein."
    texts = [
        *[boiler] * 5,
        "gene: a\nproduct: hypothetical protein",
        "product: kinase",
        None,
        "organism: hypothetical protein",
        "feature: CDS 1..9 + b: hypothetical protein\nnote: rare",
    ]
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    kept, lines, emptied = cap_phrases(column, 3, seed=1)
    after = kept.to_pylist()
    assert lines == 4 and len(after) == len(texts)
    assert sum("hypothetical" in (t or "").lower() for t in after) == 3 + 1  # and an organism of that name
    assert after[6:9] == ["product: kinase", None, "organism: hypothetical protein"]
    assert after[5].startswith("gene: a") and after[9].endswith("note: rare")
    assert emptied == sum(t is None for t in after[:5]) > 0
    again, *_ = cap_phrases(column, 3, seed=1)
    assert again.equals(kept) and not cap_phrases(column, 3, seed=2)[0].equals(kept)
    assert cap_phrases(column, 100, seed=1) == (column, 0, 0)


def rows(*given: dict[str, Any]) -> pa.Table:
    plain = {"alphabet": "dna", "text": None, "parent": None, "start": None}
    schema = pa.schema([(name, SCHEMA.field(name).type) for name in ("id", "sequence", *plain)])
    return pa.Table.from_pylist([plain | row for row in given], schema=schema)


def test_documents() -> None:
    table = rows(
        {"id": "a", "sequence": "AC", "text": "t", "parent": "p", "start": 0},
        {"id": "b", "sequence": "GT", "text": "t", "parent": "p", "start": 2},
        {"id": "c", "sequence": "AA", "text": "u", "parent": "p", "start": 4},
        {"id": "d", "sequence": "MK", "alphabet": "protein", "text": "v"},
        {"id": "e", "sequence": "CC"},
    )
    first = InterleaveConfig(order="text-first", max_document=100)
    found = list(interleaved(table, first))
    assert [d.ids for d in found] == [("a", "b", "c"), ("d",), ("e",)]
    assert found[0].text == "<text>t</text><dna>AC</dna><dna>GT</dna><text>u</text><dna>AA</dna>"
    assert found[1].text == "<text>v</text><protein>MK</protein>" and found[2].text == "<dna>CC</dna>"
    short = InterleaveConfig(order="sequence-first", max_document=6, without_text="drop")
    assert [d.ids for d in interleaved(table, short)] == [("a", "b"), ("c",), ("d",)]
    single = [d.text for d in interleaved(table, InterleaveConfig(order="sequence-first"))]
    assert len(single) == 5 and single[0] == "<dna>AC</dna><text>t</text>"
    many = rows(*({"id": f"r{i}", "sequence": "A", "text": "t"} for i in range(200)))
    both = [d.text.startswith("<text>") for d in interleaved(many)]
    assert 70 < sum(both) < 130 and both == [d.text.startswith("<text>") for d in interleaved(many)]
    with pytest.raises(ConfigError, match="no column 'text'"):
        list(interleaved(table.drop_columns(["text"])))
    with pytest.raises(ConfigError, match="alphabet 'selfies' has no markers"):
        list(interleaved(rows({"id": "a", "sequence": "[C]", "alphabet": "selfies"})))


def test_the_joint_tokenizer_reads_documents_of_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "x.gb"
    path.write_text(GENBANK)
    values = {"read": {"inputs": [str(path)], "windows": {"window": 60}, "texts": {"text_level": "window"}},
              "split": {"threads": 1, "exact_effort": 0, "fractions": [1, 0, 0]}}  # fmt: skip
    build_dataset(from_dict(BuildConfig, values), tmp_path / "data")
    values = {"data": str(tmp_path / "data"), "to": "documents", "out": str(tmp_path / "out" / "pairs"),
              "documents": {"order": "text-first", "max_document": 10**4}}  # fmt: skip
    result = export_dataset(from_dict(ExportConfig, values))
    assert result["documents"] == {"train": 1} and result["rows"] == {"train": 2}
    (row,) = pq.read_table(tmp_path / "out" / "pairs_train.parquet").to_pylist()
    assert row["rows"] == ["T1.1:0..60", "T1.1:60..120"]
    first, second = (LETTERS[at : at + 60] for at in (0, 60))
    assert row["sequence"] == (
        "<text>definition: A test.\norganism: Testus exemplaris\nlineage: Bacteria; Testia\n"
        f"feature: CDS 11..60 + partial abc: a kinase</text><dna>{first}</dna>"
        "<text>definition: A test.\norganism: Testus exemplaris\nlineage: Bacteria; Testia\n"
        f"feature: CDS 1..40 + partial abc: a kinase</text><dna>{second}</dna>"
    )
    joint = train_joint([row["sequence"]] * 3, vocab_size=500)
    ids = joint.encode(row["sequence"])
    counts = [ids.count(joint.tokens.index(name)) for name in BOUNDARIES]
    assert counts == [2, 2, 2, 2, 0, 0] and joint.tokens.index("<unk>") not in ids
    assert joint.decode(ids).count(first.lower()) + joint.decode(ids).count(first) == 1


LETTERS = "".join(random.Random(1).choices("ACGT", k=120))
GENBANK = f"""LOCUS       T1                       120 bp    DNA     linear   BCT 01-JAN-2020
DEFINITION  A test.
ACCESSION   T1
VERSION     T1.1
SOURCE      Testus exemplaris
  ORGANISM  Testus exemplaris
            Bacteria; Testia.
FEATURES             Location/Qualifiers
     CDS             11..100
                     /gene="abc"
                     /product="a kinase"
ORIGIN
        1 {LETTERS[:60].lower()}
       61 {LETTERS[60:].lower()}
//
"""


@given(st.text(alphabet=st.sampled_from("<>/textdna "), max_size=60))
def test_a_text_cannot_close_its_own_markers(text: str) -> None:
    inside = marked("text", text).removeprefix("<text>").removesuffix("</text>")
    assert not any(marker in inside for pair in MARKERS.values() for marker in pair)
