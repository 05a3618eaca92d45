"""AIRR tables and OAS data units: which chains stay, what is taken, where its regions are."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.build import BuildConfig, build_dataset
from biodata.curate.repertoire_policy import RepertoirePolicy
from biodata.curate.rules import RuleLog
from biodata.curate.translated import translate_column
from biodata.dataset import open_dataset
from biodata.errors import ConfigError, DataError
from biodata.io import open_records
from biodata.io.detect import detect_format
from biodata.read_config import ReadConfig
from biodata.schema import SPLITS
from biodata.splits.split import SplitConfig

# a chain made by hand: 7 letters of 5' UTR, leader, the regions, constant region
PARTS = {"fwr1": "CAGGTGCAACTG", "cdr1": "GGATTC", "fwr2": "ATGAGCTGG", "cdr2": "ATTAGT",
         "fwr3": "TACGCAGACTACTGT", "cdr3": "GCGAGAGGC", "fwr4": "TGGGGCCAGGGA"}  # fmt: skip
LEADER, UTR, CONSTANT = "ATGGAGTTTGGGCTG", "TAACCAC", "GCCTCCACCAAG"
VDJ = "".join(PARTS.values())
READ = UTR + LEADER + VDJ + CONSTANT
JUNCTION = "TGT" + PARTS["cdr3"] + "TGG"
AT = len(UTR + LEADER)


def chain(**columns: str) -> dict[str, str]:
    """A row of AIRR with everything there is, coordinates 1-based and closed."""
    row = {
        "sequence_id": "one", "sequence": READ, "locus": "IGH", "productive": "T", "vj_in_frame": "T",
        "stop_codon": "F", "rev_comp": "F", "v_call": "IGHV1-1*01", "d_call": "IGHD1-1*01",
        "j_call": "IGHJ1*01", "c_call": "IGHG1", "sequence_alignment": VDJ,
        "sequence_alignment_aa": str(Seq(VDJ).translate()),
        "junction": JUNCTION, "junction_aa": str(Seq(JUNCTION).translate()),
        "v_sequence_start": str(AT + 1), "v_sequence_end": str(AT + 50), "j_sequence_start": str(AT + 56),
        "j_sequence_end": str(AT + len(VDJ)), "d_sequence_start": str(AT + 52),
        "d_sequence_end": str(AT + 54),
    }  # fmt: skip
    start = AT
    for name, letters in PARTS.items():
        row |= {name: letters, f"{name}_aa": str(Seq(letters).translate())}
        row |= {f"{name}_start": f"{start + 1}.0", f"{name}_end": f"{start + len(letters)}.0"}
        start += len(letters)
    return row | columns


def airr(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as handle:
        table = csv.DictWriter(handle, names, delimiter="\t", restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def oas(path: Path, rows: Sequence[Mapping[str, str]], **metadata: Any) -> Path:
    """A data unit: two gzip members."""
    buffer = io.StringIO()
    about = {"Run": "SRR1", "Species": "human", "Author": "A et al.", "Unique sequences": len(rows)}
    csv.writer(buffer).writerow([json.dumps({**about, **metadata}, indent=1)])
    table = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(table, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(buffer.getvalue().encode()) + gzip.compress(table.getvalue().encode()))
    return path


def read(
    path: Path, *, alphabet: str = "dna", take: str = "records", **policy: Any
) -> tuple[list[dict], RuleLog]:
    config = ReadConfig(alphabet=alphabet, take=take, repertoire=RepertoirePolicy(**policy))  # pyright: ignore[reportArgumentType]
    log = RuleLog(file=path.name)
    batches = open_records(path, detect_format(path), config=config, log=log)
    return [row for batch in batches for row in batch.to_pylist()], log


def regions(row: Mapping[str, Any]) -> dict[str, str]:
    return {f["type"]: row["sequence"][f["start"] : f["end"]] for f in row["features"]}


def labels(row: Mapping[str, Any]) -> dict[str, Any]:
    return {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row["labels"]}


NAMED = dict(zip(("FR1", "CDR1", "FR2", "CDR2", "FR3", "CDR3", "FR4"), PARTS.values()))
WHOLE = {"signal_peptide": LEADER, **NAMED, "V": VDJ[:50], "D": VDJ[51:54], "J": VDJ[55:], "C": CONSTANT}


@pytest.mark.parametrize("without", [(), ("_start", "_end"), ("_start", "_end", "fwr", "cdr1", "cdr2")])
def test_regions_of_a_whole_read(without, tmp_path) -> None:
    gone = [name for name in chain() if name.startswith(("fwr", "cdr")) and name.endswith(("_start", "_end"))]
    gone += [name for name in chain() if without[2:] and name.startswith(without[2:])]
    row = {k: v for k, v in chain().items() if not without or k not in gone}
    (found,), log = read(airr(tmp_path / "a.tsv", [row]))
    assert found["sequence"] == READ
    lost = {"FR1", "CDR1", "FR2", "CDR2", "FR3"} if without[2:] else set()
    expected = {k: v for k, v in WHOLE.items() if k not in lost}
    assert regions(found) == expected
    assert "region-not-located" not in log.as_dict()["changed"]
    assert labels(found)["v_call"] == "IGHV1-1*01" and labels(found)["productive"] == 1


def test_coding_sequence_of_the_read_and_of_vdj(tmp_path) -> None:
    path = airr(tmp_path / "a.tsv", [chain()])
    (whole,), log = read(path, take="cds", region="full")
    assert whole["sequence"] == LEADER + VDJ + CONSTANT and regions(whole) == WHOLE
    assert log.as_dict()["changed"] == {"cut-to-reading-frame": 1}
    (vdj,), log = read(path, take="cds")
    assert vdj["sequence"] == VDJ and log.as_dict() == {"dropped": {}, "changed": {}}
    assert regions(vdj) == {k: v for k, v in WHOLE.items() if k not in ("signal_peptide", "C")}


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize("stated", [True, False])
def test_frame_of_a_read_that_begins_inside_v(shift, stated, tmp_path) -> None:
    """The first codon is incomplete, as in the 40 % of OAS that lack residues of V."""
    letters = VDJ[shift:]
    residues = str(Seq(VDJ[3:]).translate()) if stated else ""
    row = chain(sequence=letters, sequence_alignment=letters, sequence_alignment_aa=residues,
                fwr1=PARTS["fwr1"][shift:])  # fmt: skip
    row = {k: v for k, v in row.items() if not k.endswith(("_start", "_end"))}
    (found,), log = read(airr(tmp_path / "a.tsv", [row]), take="cds")
    assert found["sequence"] == VDJ[3:]
    assert regions(found)["CDR3"] == PARTS["cdr3"] and regions(found)["FR1"] == PARTS["fwr1"][3:]
    unchecked = {} if stated else {"translation-unchecked": 1}
    assert log.as_dict()["changed"] == {"cut-to-reading-frame": 1} | unchecked


def test_stated_residues_decide_about_the_frame(tmp_path) -> None:
    rows = [
        chain(sequence_id="no-junction", junction="", junction_aa=""),
        chain(sequence_id="other-residues", sequence_alignment_aa="MKLV" * 5),
        chain(sequence_id="neither", junction="", junction_aa="", sequence_alignment_aa=""),
    ]
    path = airr(tmp_path / "a.tsv", rows)
    found, log = read(path, take="cds")
    assert [row["id"] for row in found] == ["no-junction"] and found[0]["sequence"] == VDJ
    assert log.as_dict()["dropped"] == {"frame-unknown": 1, "translation-mismatch": 1}
    assert log.as_dict()["changed"]["frame-from-translation"] == 1
    listed = {row["id"]: row["line"] for row in log.table("dropped").to_pylist()}
    assert listed == {"neither": 4, "other-residues": 3}


def test_kept_rules_keep(tmp_path) -> None:
    rows = [
        chain(sequence_id="good"),
        chain(sequence_id="unproductive", productive="F"),
        chain(sequence_id="shifted", productive="", vj_in_frame="false"),
        chain(sequence_id="stop", productive="", vj_in_frame="", stop_codon="TRUE"),
        chain(sequence_id="silent", productive="", vj_in_frame="", stop_codon=""),
        chain(sequence_id="light", locus="IGK", v_call="IGKV1*01"),
    ]
    path = airr(tmp_path / "a.tsv", rows)
    found, log = read(path)
    assert [row["id"] for row in found] == ["good", "silent", "light"]
    assert log.as_dict() == {
        "dropped": {"not-productive": 1, "out-of-frame": 1, "stop-codon": 1},
        "changed": {"productivity-unknown": 1},
    }
    keep = dict.fromkeys(("unproductive", "out_of_frame", "stop_codon"), "keep")
    found, log = read(path, **keep)
    assert len(found) == 6 and log.as_dict()["changed"]["not-productive"] == 1
    found, log = read(path, chain="heavy", productivity_unknown="drop")
    assert [row["id"] for row in found] == ["good"] and log.as_dict()["dropped"]["other-chain"] == 1


def test_reverse_complement(tmp_path) -> None:
    """AIRR: with `rev_comp` all coordinates are those of the turned read; some tools print it turned."""
    rows = [
        chain(sequence_id="turn", sequence=str(Seq(READ).reverse_complement()), rev_comp="T"),
        chain(sequence_id="turned", rev_comp="T"),
    ]
    found, log = read(airr(tmp_path / "a.tsv", rows))
    assert [row["sequence"] for row in found] == [READ, READ] and regions(found[0]) == WHOLE
    assert log.as_dict()["changed"] == {"reverse-complemented": 1}


def test_wrong_coordinates_are_not_believed(tmp_path) -> None:
    """0-based columns of old files: places come from the letters, a segment without letters is counted."""
    row = chain(fwr1_start=str(AT), v_sequence_start="0", v_sequence_end="40", j_sequence_start="900",
                j_sequence_end="950", sequence=VDJ)  # fmt: skip
    (found,), log = read(airr(tmp_path / "a.tsv", [row]))
    assert regions(found) == {**NAMED, "FR4": PARTS["fwr4"], "D": ""} or "V" not in regions(found)
    assert regions(found)["FR1"] == PARTS["fwr1"] and "J" not in regions(found)
    assert log.as_dict()["changed"]["region-not-located"] >= 2


@pytest.mark.parametrize(
    ("alphabet", "region", "expected"),
    [
        ("dna", "full", READ), ("dna", "vdj", VDJ), ("dna", "junction", JUNCTION),
        ("dna", "cdr3", PARTS["cdr3"]),
        ("dna", "cdr1", PARTS["cdr1"]), ("protein", "auto", str(Seq(VDJ).translate())),
        ("protein", "junction", str(Seq(JUNCTION).translate())), ("protein", "cdr2", "IS"),
    ],
)  # fmt: skip
def test_regions_taken(alphabet, region, expected, tmp_path) -> None:
    (found,), _ = read(airr(tmp_path / "a.tsv", [chain()]), alphabet=alphabet, region=region)
    assert found["sequence"] == expected
    if region == "junction":
        (feature,) = found["features"]
        step = 3 if alphabet == "dna" else 1
        assert (feature["type"], feature["start"], feature["end"]) == ("CDR3", step, len(expected) - step)


def test_protein_regions(tmp_path) -> None:
    (found,), _ = read(airr(tmp_path / "a.tsv", [chain()]), alphabet="protein")
    expected = {name: str(Seq(letters).translate()) for name, letters in NAMED.items()}
    assert {k: v for k, v in regions(found).items() if k in expected} == expected


def test_region_without_a_column(tmp_path) -> None:
    path = airr(tmp_path / "a.tsv", [{"sequence_id": "x", "sequence": "ACGT", "v_call": "IGHV1"}])
    with pytest.raises(DataError, match=r"no column 'cdr3'; its columns are sequence_id, sequence, v_call"):
        read(path, region="cdr3")
    with pytest.raises(ConfigError, match="region is 'fr9'"):
        RepertoirePolicy(region="fr9")  # pyright: ignore[reportArgumentType]


def paired(**changes: str) -> dict[str, str]:
    heavy = chain(sequence_id="AAAC-1_contig_1", locus="H", Redundancy="1.0", Isotype="IGHM")
    light = chain(sequence_id="AAAC-1_contig_2", locus="K", v_call="IGKV1*01", Isotype="Bulk")
    del heavy["c_call"], light["c_call"]
    row = {f"{k}_heavy": v for k, v in heavy.items()} | {f"{k}_light": v for k, v in light.items()}
    return row | changes


def test_paired_unit(tmp_path) -> None:
    rows = [paired(), paired(sequence_id_heavy="CCC-1_contig_1", productive_light="F")]
    found, log = read(oas(tmp_path / "u.csv.gz", rows, Subject="Donor-3", Age=38, Disease="None"))
    assert [row["id"] for row in found] == ["SRR1:AAAC-1_contig_1", "SRR1:AAAC-1_contig_2"]
    assert [labels(row)["pair"] for row in found] == ["SRR1:AAAC-1_contig_1"] * 2
    assert [labels(row)["locus"] for row in found] == ["IGH", "IGK"]
    about = labels(found[0])
    assert (about["subject"], about["age"], about["study"]) == ("Donor-3", "38", "A et al.")
    assert about["isotype"] == "IGHM" and "isotype" not in labels(found[1]) and "disease" not in about
    assert (found[0]["organism"], found[0]["taxon_id"]) == ("Homo sapiens", 9606)
    assert regions(found[0]) == WHOLE and "C" not in regions(found[1])
    assert log.as_dict()["dropped"] == {"incomplete-pair": 1, "not-productive": 1}
    found, _ = read(tmp_path / "u.csv.gz", chain="heavy", incomplete_pair="keep")
    assert [labels(row)["locus"] for row in found] == ["IGH", "IGH"]


def test_unpaired_unit(tmp_path) -> None:
    rows = [
        {k: v for k, v in chain(locus="H", Redundancy=n, ANARCI_status=status).items() if k != "sequence_id"}
        for n, status in (("3.0", "|||"), ("1", "|Shorter|"), ("", ""))
    ]
    path = oas(tmp_path / "u.csv.gz", rows, Species="mouse_C57BL/6", **{"Unique sequences": 5})
    found, log = read(path)
    assert [row["id"] for row in found] == ["SRR1:1", "SRR1:2", "SRR1:3"]
    assert found[0]["line"] == json.dumps({"x": 1, "y": 1, "z": 1, "u": 1}, indent=1).count("\n") + 3
    assert found[0]["taxon_id"] == 10090 and labels(found[0])["species"] == "mouse_C57BL/6"
    assert log.as_dict()["changed"]["count-differs-from-metadata"] == 1
    found, log = read(path, min_redundancy=2, shortened="drop")
    assert [row["id"] for row in found] == ["SRR1:1", "SRR1:3"]
    assert log.as_dict()["dropped"] == {"shortened-chain": 1}
    found, log = read(path, min_redundancy=2)
    assert log.as_dict()["dropped"] == {"low-redundancy": 1}


def test_unit_cut_after_its_metadata(tmp_path) -> None:
    path = oas(tmp_path / "u.csv.gz", [chain()])
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x8b", 2)])
    with pytest.raises(DataError, match="metadata only: the data unit is incomplete"):
        read(path)
    path.write_bytes(data[:-20])
    with pytest.raises(DataError, match=r"u\.csv\.gz: cannot be decompressed"):
        read(path)


@given(st.lists(st.tuples(st.text("ACGT", max_size=40), st.integers(0, 2)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_translation_of_columns_against_biopython(rows) -> None:
    import numpy as np
    import pyarrow as pa

    column = pa.array([letters for letters, _ in rows], pa.large_string())
    starts = np.array([start for _, start in rows], np.int64)
    expected = [str(Seq(s[f:][: len(s[f:]) // 3 * 3]).translate()) for s, f in rows]
    assert translate_column(column, starts).to_pylist() == expected


# --- real files --------------------------------------------------------------------------------------------


def test_real_alignment_regions_agree_with_the_tools_own(real_data) -> None:
    """Immcantation wrote fwr1 ... fwr4 beside the gapped alignment: gaps alone lead to the same regions."""
    path = real_data / "antibody" / "amulety_AIRR_rearrangement_translated_single-cell.tsv"
    with open(path) as handle:
        stated = {row["sequence_id"]: row for row in csv.DictReader(handle, delimiter="\t")}
    for region in ("full", "vdj"):
        found, _ = read(path, region=region)
        assert len(found) == len(stated) > 0
        for row in found:
            own = {name: stated[row["id"]][key].replace(".", "") for name, key in
                   zip(NAMED, ("fwr1", "cdr1", "fwr2", "cdr2", "fwr3", "cdr3", "fwr4"))}  # fmt: skip
            assert {k: v for k, v in regions(row).items() if k in own} == own
    residues, _ = read(path, alphabet="protein")
    codons, _ = read(path, take="cds")
    for protein, cds in zip(residues, codons):
        assert str(Seq(cds["sequence"]).translate()) == protein["sequence"]
        assert protein["sequence"] == stated[protein["id"]]["sequence_alignment_aa"].rstrip("X")


def test_real_chains_are_open_reading_frames(real_data) -> None:
    """Frames by the junction, against the in-frame set that was made from the same file by IMGT gaps."""
    found, log = read(real_data / "antibody" / "alakazam_ExampleAIRR.tsv.gz", take="cds")
    with gzip.open(real_data / "mrna" / "antibody_inframe.csv.gz", "rt") as handle:
        by_gaps = {row["id"]: row["cds"] for row in csv.DictReader(handle) if "alakazam" in row["source"]}
    ours = {row["id"]: row["sequence"] for row in found}
    both = set(ours) & set(by_gaps)
    assert len(both) > 1600
    assert sum(ours[id] == by_gaps[id] for id in both) > 0.99 * len(both)
    stopped = {id for id, letters in ours.items() if "*" in str(Seq(letters).translate())}
    assert len(stopped) < 5 and not stopped & set(by_gaps)  # said to be productive; `inner-stop` drops them
    assert log.as_dict()["dropped"]["not-productive"] == 229


@pytest.mark.parametrize("alphabet", ["dna", "protein"])
def test_every_real_file_gives_rows_or_one_line(alphabet, real_data) -> None:
    rows = 0
    for folder in ("antibody", "tcr", "protein"):
        for path in sorted((real_data / folder).iterdir()):
            try:
                log = RuleLog(file=path.name)
                config = ReadConfig(alphabet=alphabet)
                batches = open_records(path, detect_format(path), config=config, log=log)
                found = sum(batch.num_rows for batch in batches)
            except DataError as error:
                assert "\n" not in str(error) and path.name in str(error)
            else:
                assert found or log.as_dict()["dropped"], path.name
                rows += found
    assert rows > 30_000


def test_the_half_of_a_pair_that_repeats_leaves_and_is_counted(tmp_path: Path) -> None:
    """Every sequence stands once: the listing names the row that has it, the manifest counts who is alone."""
    rng = random.Random(3)
    texts = ["".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=60)) for _ in range(24)]
    lights = [*texts[12:21], *[texts[12]] * 3]
    both = {"locus_heavy": "H", "locus_light": "K", "productive_heavy": "T", "productive_light": "T"}
    rows = [{"sequence_id_heavy": f"h{at}", "sequence_id_light": f"l{at}", **both,
             "sequence_alignment_aa_heavy": texts[at], "sequence_alignment_aa_light": light}
            for at, light in enumerate(lights)]  # fmt: skip
    read = ReadConfig(inputs=(str(oas(tmp_path / "u.csv.gz", rows)),), alphabet="protein")
    split = SplitConfig(exact_effort=1, threads=1)
    result = build_dataset(BuildConfig(read=read, split=split), tmp_path / "out")
    assert result["rows"] == 21 and result["dropped"] == {"duplicate": 3}
    found = open_dataset(tmp_path / "out")
    assert found.manifest["clustering"]["chains_without_partner"] == 3
    listed = pq.read_table(tmp_path / "out" / "removed" / "dropped.parquet").to_pylist()
    assert [(row["id"], row["detail"]) for row in listed] == [
        (f"SRR1:l{at}", "same sequence as 'SRR1:l0'") for at in (9, 10, 11)
    ]
    home: dict[str, set[str]] = {}
    for name in SPLITS:
        for row in found.table(name).to_pylist():
            home.setdefault(labels(row)["pair"], set()).add(name)
    assert len(home) == 12 and all(len(splits) == 1 for splits in home.values())
