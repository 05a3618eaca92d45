"""From an archive to a dataset: source names as inputs, provenance, records that several groups hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biodata.build import BuildConfig, build_dataset
from biodata.errors import ConfigError, DataError
from biodata.fetch.config import FetchConfig
from biodata.fetch.fetch import fetch
from biodata.fetch.record import WORK
from biodata.fetch.resolve import resolve_inputs
from biodata.ingest import ReadConfig, ingest
from tests.archive_layouts import refseq_release, uniref_release
from tests.archive_server import ArchiveServer, Status
from tests.biodata.test_fetch import web_of
from tests.biodata.test_uniref import fasta_of

RECORD = """LOCUS       {name}                 {length} bp    DNA     circular BCT 01-JAN-2026
DEFINITION  {name}.
ACCESSION   {name}
VERSION     {name}.1
FEATURES             Location/Qualifiers
     CDS             1..{length}
                     /protein_id="WP_{name}.1"
ORIGIN
        1 {letters}
//
"""


def record(name: str, codon: str) -> bytes:
    letters = "atg" + codon * 16 + "taa"
    return RECORD.format(name=name, length=len(letters), letters=letters).encode()


GENBANK = {
    "bacteria": {"bacteria.1.genomic.gbff": record("NC_000001", "gca") + record("NC_000002", "aaa")},
    "plasmid": {"plasmid.1.genomic.gbff": record("NC_000002", "aaa") + record("NC_000003", "gat")},
}


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(
        refseq_release(GENBANK) | uniref_release(50, {"uniref50.fasta": fasta_of(30).encode()})
    ) as s:
        yield s


@pytest.fixture
def groups(server: ArchiveServer, tmp_path: Path) -> Path:
    config = FetchConfig(sources=("refseq:bacteria", "refseq:plasmid"), what="genomic.gbff")
    fetch(config, tmp_path / "got", web=web_of(server))
    return tmp_path / "got"


def rows_of(result) -> list[dict]:
    return [row for path in result.shards for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("take", ["records", "cds"])
def test_groups_overlap(take, groups: Path, tmp_path: Path) -> None:
    result = ingest(ReadConfig(inputs=(str(groups),), take=take), tmp_path / "out")
    ids = {"records": "NC_00000{}.1", "cds": "WP_NC_00000{}.1"}[take]
    assert [r["id"] for r in rows_of(result)] == [ids.format(n) for n in (1, 2, 3)]
    assert result.rules["dropped"] == {"duplicate-accession": 1}
    (dropped,) = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert dropped["id"] == ids.format(2) and dropped["file"] == "plasmid.1.genomic.gbff.gz"
    assert dropped["detail"] == "the record is in bacteria.1.genomic.gbff.gz"


def test_files_that_were_not_fetched_are_left_alone(groups: Path, tmp_path: Path) -> None:
    (groups / "fetch.json").unlink()
    result = ingest(ReadConfig(inputs=(str(groups),)), tmp_path / "out")
    assert result.rules["dropped"] == {"duplicate": 1}


def test_sources_carry_address_licence_and_release(groups: Path, tmp_path: Path) -> None:
    result = ingest(ReadConfig(inputs=(str(groups),)), tmp_path / "out")
    first = result.sources[0]
    assert first["url"] == ("https://ftp.ncbi.nlm.nih.gov/refseq/release/bacteria/bacteria.1.genomic.gbff.gz")
    assert (first["archive"], first["source"], first["release"]) == ("refseq", "refseq:bacteria", "231")
    assert first["licence"] and first["sha256"] and first["size"] and first["records"] == 2
    assert "unknown-format" not in result.rules["dropped"]


def test_a_file_that_changed_since_is_an_error(groups: Path, tmp_path: Path) -> None:
    (groups / "plasmid.1.genomic.gbff.gz").write_bytes(record("NC_000009", "ttt"))
    with pytest.raises(DataError, match=r"plasmid\.1\.genomic\.gbff\.gz: the file has changed since"):
        ingest(ReadConfig(inputs=(str(groups),)), tmp_path / "out")


def test_an_unfinished_fetch_is_no_input(groups: Path, tmp_path: Path) -> None:
    (groups / WORK).mkdir()
    (groups / WORK / "running.json").write_text('["refseq:viral genomic.fna"]')
    with pytest.raises(ConfigError, match="is an unfinished fetch"):
        ingest(ReadConfig(inputs=(str(groups / "*.gz"),)), tmp_path / "out")


def test_a_stranger_s_fetch_json_is_nothing_to_us(tmp_path: Path) -> None:
    (tmp_path / "fetch.json").write_text('{"files": 1}')
    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    assert ingest(ReadConfig(inputs=(str(tmp_path / "a.fa"),)), tmp_path / "out").rows == 1


def test_source_names_are_fetched_once(server: ArchiveServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQLOOM_MIRRORS", server.mirror_variable)
    monkeypatch.chdir(tmp_path)
    config = BuildConfig(read=ReadConfig(inputs=("uniref:50",), alphabet="protein"))
    built = build_dataset(config, tmp_path / "set")
    assert built["rows"] >= 1
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    (source,) = manifest["sources"]
    assert source["url"].endswith("/uniref50/uniref50.fasta.gz") and source["licence"].startswith("CC BY")
    assert source["release"] == "2026_04" and source["format"] == "uniref"
    card = (tmp_path / "set" / "README.md").read_text()
    assert f"[uniref50.fasta.gz]({source['url']})" in card
    assert "- `uniref:50`, release 2026_04: CC BY 4.0" in card and "cite doi:" in card
    asked = len(server.asked)
    assert build_dataset(config, tmp_path / "set")["fingerprint"] == built["fingerprint"]
    assert len(server.asked) == asked
    row = pq.read_table(next((tmp_path / "set" / "data").glob("train*"))).to_pylist()[0]
    assert {x["name"] for x in row["labels"]} == {"cluster_size", "representative"} and row["taxon_id"]


def test_the_kind_follows_from_the_build(server: ArchiveServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQLOOM_MIRRORS", server.mirror_variable)
    (folder,) = resolve_inputs(["refseq:plasmid"], alphabet="dna", take="cds")
    assert Path(folder).name == "refseq-plasmid-genomic.gbff"
    with pytest.raises(ConfigError, match=r"refseq has no part 'plasmids', did you mean 'plasmid'"):
        resolve_inputs(["refseq:plasmids"], alphabet="dna", take="cds")
    with pytest.raises(ConfigError, match="unknown source 'refsek', did you mean 'refseq'"):
        resolve_inputs(["refsek:plasmid"], alphabet="dna", take="cds")


def test_a_recipe_may_name_a_source_and_its_plan_asks_no_server(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: {read: {inputs: [refseq:viral], take: cds}}\ntokenizer: {kind: codon}\n")
    seqloom = Path(sys.executable).with_name("seqloom")
    plan = subprocess.run(
        [seqloom, "run", recipe, "--dry-run", "--json", "--out", tmp_path / "o"],
        env=os.environ | {"SEQLOOM_MIRRORS": "https://ftp.ncbi.nlm.nih.gov=http://127.0.0.1:9"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    read = json.loads(plan.stdout)["stages"]["data"]["settings"]["read"]
    assert read["inputs"] == ["refseq:viral"]
    assert read["exclusion"]["exclude"] is True  # nobody asked: what ends in a model that writes excludes


def test_a_mirror_without_folder_pages(server: ArchiveServer, tmp_path: Path, capsys) -> None:
    server.faults["ftp.ncbi.nlm.nih.gov/refseq/release/plasmid/"] = [Status(403)]
    config = FetchConfig(sources=("refseq:plasmid",), what="genomic.gbff")
    assert fetch(config, tmp_path, web=web_of(server))["bytes"] > 0  # asked for one by one
    assert "no sizes beforehand" in capsys.readouterr().err


def test_a_part_of_a_source_does_not_pass_for_the_whole(
    server: ArchiveServer, tmp_path: Path, monkeypatch
) -> None:
    more = {"bacteria": {f"bacteria.{n}.genomic.gbff": record(f"NC_00001{n}", "gca") for n in range(1, 4)}}
    server.files |= refseq_release(more)
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "archives" / "refseq-bacteria-genomic.gbff"
    config = FetchConfig(sources=("refseq:bacteria",), what="genomic.gbff", limit=1)
    fetch(config, folder, web=web_of(server))
    with pytest.raises(ConfigError, match="holds 1 of 3 files of refseq:bacteria"):
        resolve_inputs(["refseq:bacteria"], alphabet="dna", take="cds")
