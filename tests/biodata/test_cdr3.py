"""TCRdb and VDJdb: CDR3s with gene calls and what they bind."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from biodata.curate.repertoire_policy import RepertoirePolicy
from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io import open_records
from biodata.io.detect import detect_format
from biodata.read_config import ReadConfig

PROTEIN = ReadConfig(alphabet="protein")


def read(path: Path, config: ReadConfig = PROTEIN) -> tuple[list[dict], RuleLog]:
    log = RuleLog(file=path.name)
    batches = open_records(path, detect_format(path), config=config, log=log)
    return [row for batch in batches for row in batch.to_pylist()], log


def labels(row: dict) -> dict:
    return {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row["labels"]}


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(row.replace("|", "\t") for row in rows) + "\n")
    return path


def test_tcrdb(tmp_path) -> None:
    path = write(tmp_path / "PRJNA1.tsv", "AASeq|cloneFraction|Vregion|Dregion|Jregion|RunId",
                 "CASSF|0.5|TRBV1|Unknown|TRBJ1-1|SRR1", "CAV*TF|0.1|TRAV2|Unknown|TRAJ3|SRR1",
                 "ASSL|1e-3|TRBV5|TRBD1|TRBJ2|SRR2")  # fmt: skip
    found, log = read(path)
    assert [row["id"] for row in found] == ["SRR1:1", "SRR2:3"]
    assert labels(found[0]) == {"run": "SRR1", "locus": "TRB", "v_call": "TRBV1", "j_call": "TRBJ1-1",
                                "clone_fraction": 0.5}  # fmt: skip
    assert log.as_dict()["dropped"] == {"not-productive": 1}
    # C and F are the anchors: IMGT's CDR3 lies between; the other row has none
    spans = [[(f["type"], f["start"], f["end"]) for f in row["features"]] for row in found]
    assert spans == [[("CDR3", 1, 4)], []]


def test_vdjdb_chunk(tmp_path) -> None:
    names = "cdr3.alpha|v.alpha|j.alpha|cdr3.beta|v.beta|d.beta|j.beta|species|mhc.a|antigen.epitope"
    path = write(
        tmp_path / "chunk.txt",
        names,
        "CAVF|TRAV1|TRAJ1|CASSF|TRBV1||TRBJ1|HomoSapiens|HLA-A*02|GIL",
        "|||CASF|TRBV2||TRBJ2|MusMusculus|H2-Kb|SIINFEKL",
        "CAF|TRAV3||||||Axolotl||NLV",
        "||||||||HLA-B|YVL",
    )
    found, log = read(path)
    assert [row["id"] for row in found][:3] == ["chunk:2:TRA", "chunk:2:TRB", "chunk:3:TRB"]
    assert [labels(row).get("pair") for row in found][:3] == ["chunk:2", "chunk:2", None]
    assert labels(found[2])["epitope"] == "SIINFEKL" and found[2]["taxon_id"] == 10090
    assert found[3]["organism"] == "Axolotl" and found[3]["taxon_id"] is None
    assert log.as_dict()["dropped"]["no-sequence"] == 1
    beta = ReadConfig(alphabet="protein", repertoire=RepertoirePolicy(chain="beta"))
    assert {labels(row)["locus"] for row in read(path, beta)[0]} == {"TRB"}


def test_vdjdb_release(tmp_path) -> None:
    path = write(
        tmp_path / "vdjdb.txt",
        "complex.id|gene|cdr3|v.segm|j.segm|species|antigen.epitope|vdjdb.score",
        "7|TRA|CAVF|TRAV1|TRAJ1|HomoSapiens|GIL|2",
        "7|TRB|CASSF|TRBV1|TRBJ1|HomoSapiens|GIL|2",
        "0|TRB|CASF|TRBV2|TRBJ2|HomoSapiens|NLV|0",
    )
    found, _ = read(path)
    assert [labels(row).get("pair") for row in found] == ["vdjdb:7", "vdjdb:7", None]
    assert labels(found[0])["v_call"] == "TRAV1" and labels(found[0])["vdjdb_score"] == "2"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (ReadConfig(alphabet="dna"), "amino acids only"),
        (ReadConfig(alphabet="protein", repertoire=RepertoirePolicy(region="vdj")), "no region 'vdj'"),
    ],
)
def test_what_is_not_there(config, what, tmp_path) -> None:
    path = write(tmp_path / "x.tsv", "RunId|AASeq|Vregion", "R|CASF|TRBV1")
    with pytest.raises(DataError, match=what):
        read(path, config)


def test_real_chunks_keep_every_cdr3(real_data) -> None:
    for path in sorted((real_data / "tcr").glob("vdjdb_*")):
        with gzip.open(path, "rt") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        expected = sorted(row[c] for row in rows for c in ("cdr3.alpha", "cdr3.beta") if row.get(c))
        found, log = read(path)
        lost = log.as_dict()["dropped"].get("not-productive", 0)
        assert len(found) + lost == len(expected)
        assert lost or sorted(row["sequence"] for row in found) == expected
        epitopes = {row["antigen.epitope"] for row in rows if row["antigen.epitope"]}
        assert {labels(row).get("epitope") for row in found} - {None} <= epitopes
