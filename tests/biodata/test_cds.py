"""Coding sequences: Biopython's `feature.extract` is the independent reference."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.codon import genetic_code, start_codons
from biodata.curate.cds import check_frames
from biodata.curate.cds_cut import extract_cds
from biodata.curate.cds_policy import CdsPolicy
from biodata.curate.frame import codon_facts
from biodata.curate.rules import RuleLog
from biodata.curate.translation import exempt_codons, translation_problem
from biodata.errors import ConfigError
from biodata.io.genbank import read_genbank
from biodata.io.raw import RAW_SCHEMA
from biodata.io.streams import open_binary


def _cds(path: Any, log: RuleLog, policy: CdsPolicy | None = None) -> list[dict[str, Any]]:
    rows = []
    for batch in read_genbank(path, log=log, alphabet="dna"):
        cut = extract_cds(batch, log=log)
        rows += check_frames(cut, policy=policy or CdsPolicy(), log=log).to_pylist()
    return rows


def _attributes(row: dict[str, Any]) -> dict[str, str]:
    (feature,) = row["features"]
    assert (feature["start"], feature["end"], feature["strand"]) == (0, len(row["sequence"]), 1)
    return {a["key"]: a["value"] for a in feature["attributes"]}


@pytest.mark.parametrize(
    ("name", "expected", "dropped"),
    [
        ("NC_000932.gb.gz", 85, {}),  # 15 compound, 4 trans-spliced, one start made by RNA editing
        ("NC_005816.gb", 10, {}),
        ("Mmycoides_Afade_multi_record.gbff.gz", 978, {"pseudo": 81}),  # table 4
        ("yeast_chrI_NC_001133.gb.gz", 94, {}),
        ("influA_California.gbff", 11, {}),  # spliced, and a ribosomal slippage
        ("arab1.gb.gz", 18, {}),
        ("extra_keywords.gb.gz", 11, {"remote-location": 1}),
    ],
)
def test_agrees_with_biopython(name, expected, dropped, real_data) -> None:
    path, log = real_data / "genbank" / name, RuleLog(file=name)
    ours = Counter((row["id"], row["sequence"]) for row in _cds(path, log))
    assert ours.total() == expected
    assert log.as_dict()["dropped"] == dropped
    theirs: Counter[tuple[str, str]] = Counter()
    with open_binary(path) as stream:
        for record in SeqIO.parse(io.StringIO(stream.read().decode()), "genbank"):
            for feature in record.features:
                q = feature.qualifiers
                if feature.type == "CDS" and not {"pseudo", "pseudogene"} & q.keys():
                    if any(part.ref for part in feature.location.parts):
                        continue
                    letters = feature.extract(record.seq)[int(q["codon_start"][0]) - 1 :]
                    theirs[q["protein_id"][0], str(letters).upper()] += 1
    assert ours == theirs


def test_translations_agree_with_biopython(real_data) -> None:
    """The check accepts what Biopython's own translation accepts: 85 of 85."""
    rows = _cds(real_data / "genbank" / "NC_000932.gb.gz", RuleLog())
    with open_binary(real_data / "genbank" / "NC_000932.gb.gz") as stream:
        record = SeqIO.read(io.StringIO(stream.read().decode()), "genbank")
    named = {
        f.qualifiers["protein_id"][0]: f.qualifiers["translation"][0]
        for f in record.features
        if f.type == "CDS"
    }
    same = 0
    for row in rows:
        table = int(_attributes(row)["transl_table"])
        same += str(Seq(row["sequence"]).translate(table=table))[1:-1] == named[row["id"]][1:]
    assert same == 85


def test_row_of_a_cds(real_data) -> None:
    row = next(
        r for r in _cds(real_data / "genbank" / "NC_000932.gb.gz", RuleLog()) if r["id"] == "NP_051037.1"
    )
    attributes = _attributes(row)
    assert attributes["location"] == "complement(join(97999..98024,98562..98793,69611..69724))"
    assert (attributes["gene"], attributes["transl_table"], row["record"]) == ("rps12", "11", "NC_000932.1")
    assert (row["description"], row["organism"], row["taxon_id"]) == (
        "ribosomal protein S12", "Arabidopsis thaliana", 3702)  # fmt: skip
    assert "translation" not in attributes


SEQUENCE = "CCATGAAATGACCCTAAGG"  # ATG AAA TGA CCC TAA at 3..17
RECORD = """LOCUS       X1                  {n} bp    DNA     {topology} SYN 01-JAN-2000
DEFINITION  made up.
VERSION     X1.1
FEATURES             Location/Qualifiers
     CDS             {location}
{qualifiers}
ORIGIN
        1 {letters}
//
"""


def _one(tmp_path: Any, log: RuleLog, location: str, **more: str) -> list[dict[str, Any]]:
    letters = more.pop("letters", SEQUENCE)
    topology = more.pop("topology", "linear  ")
    lines = [
        f'                     /{k}="{v}"' if v else f"                     /{k}" for k, v in more.items()
    ]
    text = RECORD.format(n=len(letters), topology=topology, location=location,
                         qualifiers="\n".join(lines), letters=letters.lower())  # fmt: skip
    path = tmp_path / "x.gb"
    path.write_text(text)
    return _cds(path, log)


def _outcome(rows: list[dict[str, Any]], log: RuleLog) -> str:
    assert len(rows) + sum(log.as_dict()["dropped"].values()) == 1
    return rows[0]["sequence"] if rows else next(iter(log.as_dict()["dropped"]))


@pytest.mark.parametrize(
    ("location", "more", "outcome"),
    [
        ("3..17", {"translation": "MKWP", "transl_table": "4"}, "ATGAAATGACCCTAA"),
        ("3..17", {"translation": "MK"}, "inner-stop"),
        ("3..17", {"translation": "MKUP", "transl_except": "(pos:9..11,aa:Sec)"}, "ATGAAATGACCCTAA"),
        ("3..17", {"translation": "MKUP"}, "ATGAAATGACCCTAA"),
        ("3..17", {"translation": "MKWQ", "transl_table": "4"}, "translation-mismatch"),
        ("3..17", {"translation": "MKW", "transl_table": "4"}, "translation-mismatch"),
        ("join(3..8,12..17)", {"translation": "MKP"}, "ATGAAACCCTAA"),
        ("order(3..8,12..17)", {"translation": "MKP"}, "ATGAAACCCTAA"),
        ("join(3..8,8..8,9..17)", {"translation": "MK"}, "partial-codon"),
        ("<6..8", {"codon_start": "1", "translation": "K"}, "AAA"),
        ("<4..8", {"codon_start": "3", "translation": "K"}, "AAA"),
        ("3..17", {"codon_start": "4", "translation": "K"}, "bad-codon-start"),
        ("3..8", {"pseudo": ""}, "pseudo"),
        ("3..8", {"pseudogene": "unknown"}, "pseudo"),
        ("join(3..5,Y2.1:1..3)", {"translation": "MK"}, "remote-location"),
        ("3..20", {"translation": "MK"}, "bad-location"),
        ("17..3", {"translation": "MK"}, "bad-location"),
        ("3^4", {"translation": "MK"}, "bad-location"),
        ("3..8", {"translation": "MK", "transl_table": "99"}, "unknown-transl-table"),
    ],
)
def test_made_up_records(location, more, outcome, tmp_path) -> None:
    log = RuleLog(file="x.gb")
    assert _outcome(_one(tmp_path, log, location, **more), log) == outcome


@pytest.mark.parametrize("location", ["join(15..19,1..4)", "15..4"])
def test_over_the_origin(location, tmp_path) -> None:
    letters, log = "AATAGCCCCCCCCCATGAA", RuleLog()  # ATGAA + AATA
    rows = _one(tmp_path, log, location, letters=letters, topology="circular", translation="MKI")
    assert _outcome(rows, log) == "ATGAAAATA"


def test_reverse_strand(tmp_path) -> None:
    letters = str(Seq(SEQUENCE).reverse_complement())
    rows = _one(tmp_path, RuleLog(), "complement(join(3..8,12..17))", letters=letters, translation="MKP")
    assert rows[0]["sequence"] == "ATGAAACCCTAA"
    assert rows[0]["id"] == "X1.1:2..17"


@pytest.mark.parametrize(
    ("cds", "translation", "more"),
    [
        ("TTGAAATAA", "MK", {}),  # another start codon
        ("ATGAARTAA", "MK", {}),  # both readings of AAR are K
        ("ATGNNNTAA", "MX", {}),
        ("ATGGANTAA", "MX", {}),
        ("ATGRAYTAA", "MB", {}),
        ("ATGAAAGC", "MKA", {"location": "1..>8"}),  # two letters that leave no choice
        ("ATGAAAT", "MK", {"location": "1..7", "transl_except": "(pos:7,aa:TERM)"}),
        ("AUGAAAUAA", "MK", {}),
    ],
)
def test_translations_that_agree(cds, translation, more) -> None:
    assert translation_problem(cds, {"location": "1..9", "translation": translation, **more}, table=1) == ""


def test_no_other_start_at_an_open_end() -> None:
    q = {"location": "<1..9", "translation": "MK"}
    assert "residue 1 is L" in translation_problem("TTGAAATAA", q, table=1)


def test_exempt_codons_on_both_strands() -> None:
    forward = {
        "location": "join(1..10,21..40)",
        "transl_except": "(pos:22..24,aa:OTHER); (pos:join(10,21),aa:Met)",
    }
    assert exempt_codons(forward) == {3}  # pos 10 is letter 9, pos 22 letter 11
    reverse = {"location": "complement(11..40)", "codon_start": "2", "transl_except": "(pos:34..36,aa:Sec)"}
    assert exempt_codons(reverse) == {1}


def _fasta(*sequences: str) -> pa.RecordBatch:
    n = len(sequences)
    nulls = {f.name: pa.nulls(n, f.type) for f in RAW_SCHEMA}
    given = {"id": pa.array([f"s{i}" for i in range(n)]), "sequence": pa.array(sequences, pa.large_string()),
             "description": pa.array([""] * n), "line": pa.array(range(1, n + 1), pa.int64())}  # fmt: skip
    return pa.record_batch([(nulls | given)[f.name] for f in RAW_SCHEMA], schema=RAW_SCHEMA)


ROWS = ("ATGAAATAA", "ATGAAATA", "ATGTAAAAATAA", "CCCAAATAA", "ATGAAA", "ATGNNNTAA", "AT")


def _kept(policy: CdsPolicy, table: int = 1) -> tuple[list[str], dict[str, dict[str, int]]]:
    log = RuleLog(file="x.fa")
    batch = check_frames(_fasta(*ROWS), policy=policy, log=log, transl_table=table)
    return batch["sequence"].to_pylist(), log.as_dict()


def test_policies_by_default() -> None:
    kept, counts = _kept(CdsPolicy())
    assert kept == ["ATGAAATAA", "CCCAAATAA", "ATGAAA", "ATGNNNTAA"]
    assert counts == {
        "dropped": {"inner-stop": 1, "partial-codon": 2},
        "changed": {"ambiguous-codon": 1, "missing-start": 1, "missing-stop": 1},
    }


def test_policies_turned_round() -> None:
    policy = CdsPolicy(partial_codon="trim", inner_stop="keep", missing_start="drop", missing_stop="drop",
                       ambiguous_codon="drop")  # fmt: skip
    kept, counts = _kept(policy)
    assert kept == ["ATGAAATAA", "ATGTAAAAATAA"]
    assert counts == {
        "dropped": {"ambiguous-codon": 1, "missing-start": 1, "missing-stop": 2, "no-codon": 1},
        "changed": {"inner-stop": 1, "trimmed-to-codons": 2},
    }


def test_partial_codons_kept() -> None:
    kept, counts = _kept(CdsPolicy(partial_codon="keep"))
    assert "ATGAAATA" in kept and counts["changed"]["partial-codon"] == 2


def test_table_of_fasta() -> None:
    assert "ATGTAAAAATAA" in _kept(CdsPolicy(), table=27)[0]  # TAA is Q before the end


def test_wrong_policy() -> None:
    with pytest.raises(ConfigError, match="'cut', allowed: drop, trim, keep"):
        CdsPolicy(partial_codon="cut")  # pyright: ignore[reportArgumentType]


def test_every_listed_row_names_its_line() -> None:
    log = RuleLog(file="x.fa")
    check_frames(_fasta(*ROWS), policy=CdsPolicy(), log=log)
    listed = {(r["reason"], r["id"], r["line"]) for r in log.table("dropped").to_pylist()}
    assert listed == {("partial-codon", "s1", 2), ("partial-codon", "s6", 7), ("inner-stop", "s2", 3)}


SEQUENCES = st.lists(st.text("ACGTN", max_size=40), max_size=8)


@given(SEQUENCES, st.lists(st.sampled_from([1, 2, 4, 11]), min_size=8, max_size=8), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_codon_facts_by_definition(sequences, tables, skip) -> None:
    column = pa.array(["TAA"] * skip + sequences, pa.large_string()).slice(skip)
    used = np.array(tables[: len(sequences)])
    facts = codon_facts(column, tables=used)
    for i, (sequence, table) in enumerate(zip(sequences, used.tolist())):
        codons = [sequence[j : j + 3] for j in range(0, len(sequence) - 2, 3)]
        stops = [genetic_code(table).get(c) == "*" for c in codons]
        assert facts.codons[i] == len(codons)
        assert facts.starts[i] == bool(codons and codons[0] in start_codons(table))
        assert facts.stops[i] == bool(stops and stops[-1])
        assert facts.inner_stops[i] == sum(stops[:-1])
        assert facts.ambiguous[i] == sum("N" in c for c in codons)
