"""Every archive that is named: from its publisher's addresses, by its name, to a verified dataset."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from Bio.Seq import Seq

from biodata.build import BuildConfig, build_dataset
from biodata.dataset import open_dataset
from biodata.fetch.remote import Request
from biodata.fetch.web import Web
from biodata.read_config import ReadConfig
from biodata.schema import SPLITS
from biodata.sources import SOURCES
from biodata.splits.split import SplitConfig
from biodata.splits.verify import verify_dataset
from tests.archive_layouts import (
    OAS,
    OAS_PAIRED,
    REFSEQ_FILES,
    oas_reply,
    oas_units,
    pubchem_extras,
    refseq_release,
    tcrdb_folder,
    uniref_release,
    vdjdb_commit,
    zinc_tranches,
)
from tests.archive_server import ArchiveServer
from tests.biodata.test_fetch_build import record

NAMES = {
    "refseq": {"archaea", "bacteria", "fungi", "invertebrate", "mitochondrion", "plant", "plasmid", "plastid",
               "protozoa", "vertebrate_mammalian", "vertebrate_other", "viral"},
    "oas": {"heavy", "light", "paired"}, "uniref": {"50", "90", "100"},
    "tcrdb": set(), "vdjdb": set(), "pubchem": set(), "zinc": set(),
}  # fmt: skip
ROWS = 8
SENSE = (
    "GCA",
    "GAT",
    "CTG",
    "AAA",
    "TGC",
    "GGT",
    "CAC",
    "ATT",
    "ATG",
    "CCG",
    "CAG",
    "CGT",
    "TCA",
    "ACC",
    "GTT",
)


def codons(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(SENSE, k=count))


def chain(rng: random.Random, locus: str) -> dict[str, str]:
    """What OAS says of a read that is V(D)J alone."""
    junction = f"TGT{codons(rng, 10)}TGG"
    letters = codons(rng, 90) + junction + codons(rng, 11)
    return {
        "sequence": letters, "locus": locus, "productive": "T", "vj_in_frame": "T", "stop_codon": "F",
        "rev_comp": "F", "v_call": f"IG{locus}V1*01", "j_call": f"IG{locus}J1*01",
        "sequence_alignment": letters, "sequence_alignment_aa": str(Seq(letters).translate()),
        "junction": junction, "junction_aa": str(Seq(junction).translate()),
    }  # fmt: skip


def unit(rows: list[dict[str, str]]) -> bytes:
    """Two gzip members: metadata, table."""
    about = json.dumps({"Run": "R1", "Species": "human", "Unique sequences": len(rows)}).replace('"', '""')
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return gzip.compress(f'"{about}"\n'.encode()) + gzip.compress(("\n".join(lines) + "\n").encode())


def refseq(rng: random.Random) -> dict[str, bytes]:
    text = b"".join(record(f"NC_{n:06}", codon) for n, codon in enumerate(rng.sample(SENSE, ROWS)))
    return refseq_release({"archaea": {"archaea.1.genomic.gbff": text}})


def oas(rng: random.Random) -> dict[str, bytes]:
    pairs = []
    for _ in range(ROWS // 2):
        both = {"heavy": chain(rng, "H"), "light": chain(rng, "K")}
        pairs.append({f"{name}_{which}": value for which in both for name, value in both[which].items()})
    single = unit([chain(rng, "H") for _ in range(ROWS)])
    about = {"A_1/csv/S1_Heavy.csv.gz": {"Chain": "Heavy"}, "A_1/csv/S1_Light.csv.gz": {"Chain": "Light"}}
    return oas_units(about, {"A_1/csv/S1_Heavy.csv.gz": single, OAS_PAIRED: unit(pairs)})


def proteins(rng: random.Random) -> list[str]:
    return ["M" + "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=90)) for _ in range(ROWS)]


ENTRY = """<entry id="UniRef100_P{0}" updated="2026-01-01">
<name>Cluster: p</name>
<property type="member count" value="3"/>
<property type="common taxon" value="Homo sapiens"/>
<property type="common taxon ID" value="9606"/>
<representativeMember>
<dbReference type="UniProtKB ID" id="P{0}"/>
<sequence length="{1}">{2}</sequence>
</representativeMember>
</entry>
"""


def uniref(rng: random.Random) -> dict[str, bytes]:
    entries = "".join(ENTRY.format(n, len(text), text) for n, text in enumerate(proteins(rng)))
    xml = f'<UniRef100 xmlns="http://uniprot.org/uniref">\n{entries}</UniRef100>\n'
    return uniref_release(100, {"uniref100.xml": xml.encode()})


def cdr3s(rng: random.Random) -> list[str]:
    return [f"CASS{''.join(rng.choices('ADEGHKLNPQRSTVWY', k=9))}F" for _ in range(ROWS)]


def tcrdb(rng: random.Random) -> dict[str, bytes]:
    rows = "".join(f"S1\t{text}\tTRBV5\tTRBJ2\tUnknown\t0.1\n" for text in cdr3s(rng))
    return tcrdb_folder(
        {"PRJNA1": b"RunId\tAASeq\tVregion\tJregion\tDregion\tcloneFraction\n" + rows.encode()}
    )


def vdjdb(rng: random.Random) -> dict[str, bytes]:
    names = "cdr3.alpha\tv.alpha\tj.alpha\tcdr3.beta\tv.beta\tj.beta\tspecies\tantigen.epitope\n"
    rows = "".join(f"\t\t\t{text}\tTRBV5\tTRBJ2\tHomoSapiens\tGILGFVFTL\n" for text in cdr3s(rng))
    return vdjdb_commit({"PMID_1.txt": (names + rows).encode()})


SMILES = (
    "CCO",
    "c1ccccc1C(=O)O",
    "CC(=O)NC1CCCCC1",
    "OCC(O)CO",
    "C1CC1N",
    "CCCCCCBr",
    "N#CCCl",
    "CSC",
    "C(C",
)


def pubchem(_: random.Random) -> dict[str, bytes]:
    return pubchem_extras("".join(f"{n}\t{text}\n" for n, text in enumerate(SMILES, 1)).encode())


def zinc(_: random.Random) -> dict[str, bytes]:
    rows = "".join(f"{text} ZINC{n}\n" for n, text in enumerate(SMILES))
    return zinc_tranches({"AAAB": f"smiles zinc_id\n{rows}".encode()})


@dataclass(frozen=True, kw_only=True)
class Way:
    """A build by name: what plays the archive, what is asked of the build, what a row must have."""

    archive: Callable[[random.Random], Mapping[str, bytes]]
    read: dict[str, Any]
    rows: int = ROWS
    row: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


HUMAN = {"organism": "Homo sapiens", "taxon_id": 9606}
PROTEIN = {"alphabet": "protein"}
MOLECULE = {"read": {"alphabet": "selfies"}, "dropped": {"no-selfies": 1}}
WAYS = {
    "refseq:archaea": Way(archive=refseq, read={"take": "cds"}, row={"length": 54}),
    "oas:heavy": Way(archive=oas, read=PROTEIN, row=HUMAN, labels={"locus": "IGH", "v_call": "IGHV1*01"}),
    "oas:paired": Way(archive=oas, read={"take": "cds"}, row=HUMAN, labels={"run": "R1"}),
    "uniref:100:xml": Way(archive=uniref, read=PROTEIN, row=HUMAN, labels={"cluster_size": 3.0}),
    "tcrdb": Way(archive=tcrdb, read=PROTEIN, labels={"v_call": "TRBV5", "j_call": "TRBJ2"}),
    "vdjdb": Way(archive=vdjdb, read=PROTEIN, row=HUMAN, labels={"epitope": "GILGFVFTL"}),
    "pubchem": Way(archive=pubchem, **MOLECULE),
    "zinc": Way(archive=zinc, **MOLECULE),
}


def test_every_archive_and_part_is_named_and_has_its_own_files() -> None:
    assert set(SOURCES) == set(NAMES)
    for name, parts in NAMES.items():
        assert parts <= set(SOURCES.load(name).parts)
    assert {name.split(":")[0] for name in WAYS} == set(SOURCES)
    groups = SOURCES.load("refseq").parts
    files = {g: {f"{g}.{n}.{k}": b">NC_1.1" for n in (1, 2) for k in REFSEQ_FILES} for g in groups}
    with ArchiveServer(refseq_release(files)) as server:
        web = Web(mirrors=server.mirrors, sleep=lambda seconds: None)
        for group in groups:
            found = SOURCES.load("refseq").listing(Request(part=group, what="genomic.gbff"), web)
            assert [file.name for file in found.files] == [f"{group}.{n}.genomic.gbff.gz" for n in (1, 2)]
            assert all(f"/{group}/" in file.url for file in found.files)


@pytest.mark.parametrize("name", WAYS)
def test_from_its_name_to_a_verified_dataset(name: str, tmp_path: Path, monkeypatch) -> None:
    way = WAYS[name]
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    with ArchiveServer(way.archive(random.Random(7))) as server:
        server.forms[f"{OAS}oas/oas_paired/"] = oas_reply
        monkeypatch.setenv("SEQLOOM_MIRRORS", server.mirror_variable)
        config = BuildConfig(
            read=ReadConfig(inputs=(name,), **way.read), split=SplitConfig(threads=1, exact_effort=1)
        )
        built = build_dataset(config, tmp_path / "set")
    assert built["rows"] == way.rows and built["audit"]["leaking_rows"] == 0
    assert {rule: n for rule, n in built["dropped"].items() if n} == way.dropped
    assert verify_dataset(tmp_path / "set", threads=1)["ok"]
    found = open_dataset(tmp_path / "set")
    source = SOURCES.load(name.split(":")[0])
    for said in found.manifest["sources"]:
        assert said["url"].startswith("http") and said["licence"] == source.licence
        assert said["source"] == name.removesuffix(":xml") and len(said["sha256"]) == 64
    rows = [row for split in SPLITS for row in found.table(split).to_pylist()]
    for row in rows:
        labels = {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row["labels"]}
        assert row | way.row == row and labels | way.labels == labels
        assert row["alphabet"] == way.read.get("alphabet", "dna") and row["length"] == len(row["sequence"])
