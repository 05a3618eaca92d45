"""OAS, TCRdb, VDJdb, PubChem and ZINC: their lists of files, played by a local server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs

import pytest

from biodata.errors import ConfigError, DataError, FetchError
from biodata.fetch.config import FetchConfig
from biodata.fetch.fetch import fetch
from biodata.fetch.remote import Listing, Request
from biodata.fetch.web import Web
from biodata.sources import SOURCES
from tests.archive_layouts import (
    OAS,
    OAS_PAIRED,
    oas_reply,
    oas_units,
    pubchem_extras,
    tcrdb_folder,
    vdjdb_commit,
    zinc_tranches,
)
from tests.archive_server import ArchiveServer, Page, Wrong

UNITS = {
    "Banerjee_2017/csv/SRR1_Heavy_Bulk.csv.gz": {
        "Species": "human",
        "Chain": "Heavy",
        "BType": "Naive-B-Cells",
    },
    "Banerjee_2017/csv/SRR1_Light_Bulk.csv.gz": {
        "Species": "human",
        "Chain": "Light",
        "BType": "Naive-B-Cells",
    },
    "Collins_2015/csv/ERR 2(b).csv.gz": {"Species": "mouse_C57BL/6", "Chain": "Heavy", "Run": 5},
}


@pytest.fixture
def oas() -> Iterator[ArchiveServer]:
    with ArchiveServer(oas_units(UNITS)) as server:
        yield server


def listed(server: ArchiveServer, name: str, part: str = "", addresses: str = "", **select: str) -> Listing:
    source = SOURCES.load(name)
    web = Web(mirrors=server.mirrors, sleep=lambda seconds: None)
    what = next(iter(source.kinds))
    request = Request(part=part, what=what, select=tuple(select.items()), addresses=addresses)
    return source.listing(request, web)


def names(listing: Listing) -> list[str]:
    return [file.name for file in listing.files]


def test_oas_parts_and_metadata(oas: ArchiveServer) -> None:
    heavy, mouse = (
        "unpaired/Banerjee_2017/csv/SRR1_Heavy_Bulk.csv.gz",
        "unpaired/Collins_2015/csv/ERR_2_b_.csv.gz",
    )
    assert names(listed(oas, "oas", "heavy")) == [heavy, mouse]
    assert names(listed(oas, "oas", "heavy", Species="human")) == [heavy]
    assert names(listed(oas, "oas", "unpaired", species="Mouse_c57bl/6", run="5")) == [mouse]
    assert names(listed(oas, "oas", "light", Study="Banerjee_2017", BType="naive-b-cells")) == [
        heavy.replace("Heavy", "Light")
    ]
    assert (
        listed(oas, "oas", "heavy", Species="mouse_C57BL/6").files[0].url.endswith("/ERR%202%28b%29.csv.gz")
    )


def test_oas_selects_nothing(oas: ArchiveServer) -> None:
    with pytest.raises(
        ConfigError, match=r"'age' is not in the metadata \(known: btype, chain, run, species\)"
    ):
        listed(oas, "oas", "heavy", Age="3")
    with pytest.raises(DataError, match=r"no data unit of oas:heavy \(Species=axolotl\)"):
        listed(oas, "oas", "heavy", Species="axolotl")


def test_oas_paired_form(oas: ArchiveServer) -> None:
    sent: list[bytes] = []
    form = f"{OAS}oas/oas_paired/"
    oas.forms[form] = lambda body: (sent.append(body), oas_reply(body))[1]
    found = listed(oas, "oas", "paired", species="human")
    assert names(found) == [f"paired/{OAS_PAIRED}"]
    assert parse_qs(sent[0].decode()) == {"Species": ["human"], "BType": ["*"], "token": ["a&b"]}
    with pytest.raises(ConfigError, match=r"no field of the form \(known: BType, Species\)"):
        listed(oas, "oas", "paired", Flavour="sweet")
    oas.forms[form] = lambda body: b"<html>the layout has changed</html>"
    with pytest.raises(DataError, match="--addresses"):
        listed(oas, "oas", "paired")


def test_oas_script_of_ones_own(oas: ArchiveServer) -> None:
    base = "https://opig.stats.ox.ac.uk/webapps/ngsdb/"
    script = f"wget {base}unpaired/A_1/csv/x_Heavy.csv.gz\nwget '{base}unpaired/B_2/csv/y_Light.csv.gz'\n"
    script += f"wget {base}paired/C_3/csv/z_Paired.csv.gz\n"
    assert names(listed(oas, "oas", "heavy", script)) == ["unpaired/A_1/csv/x_Heavy.csv.gz"]
    assert names(listed(oas, "oas", "paired", script)) == ["paired/C_3/csv/z_Paired.csv.gz"]
    assert names(listed(oas, "oas", "unpaired", script, study="B_2")) == ["unpaired/B_2/csv/y_Light.csv.gz"]
    with pytest.raises(ConfigError, match="allowed: Study"):
        listed(oas, "oas", "heavy", script, Species="human")
    assert not oas.asked


def test_oas_fetched_whole(oas: ArchiveServer, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEQLOOM_MIRRORS", oas.mirror_variable)
    unit = f"{OAS}ngsdb/unpaired/Banerjee_2017/csv/SRR1_Light_Bulk.csv.gz"
    oas.faults[unit] = [Page()]
    config = FetchConfig(sources=("oas:light",), tries=2)
    with pytest.raises(FetchError, match="web page"):
        fetch(config, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.csv.gz"))
    # there are no checksums, but the sums inside of a packed file tell wrong bytes
    oas.faults[unit] = [Wrong()] * 3
    with pytest.raises(FetchError, match=r"it is damaged, .* 3 times"):
        fetch(config, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.csv.gz"))
    oas.faults[unit] = [Wrong()]
    fetch(config, tmp_path / "out")
    (found,) = (tmp_path / "out").rglob("*.csv.gz")
    assert found.read_bytes() == oas.files[unit]


def served(files: Mapping[str, bytes]) -> ArchiveServer:
    return ArchiveServer(files)


def test_tcrdb(tmp_path) -> None:
    with served(tcrdb_folder({"PRJNA2": b"b", "PRJNA1": b"a"})) as server:
        assert names(listed(server, "tcrdb")) == ["PRJNA1.tsv", "PRJNA2.tsv"]
        assert names(listed(server, "tcrdb", project="PRJNA9")) == ["PRJNA9.tsv"]
        assert names(listed(server, "tcrdb", addresses="PRJNA7\nPRJNA6 # mine\n")) == [
            "PRJNA6.tsv",
            "PRJNA7.tsv",
        ]
        with pytest.raises(ConfigError, match=r"'\.\./x', allowed: an accession"):
            listed(server, "tcrdb", project="../x")
        with pytest.raises(ConfigError, match="allowed: project"):
            listed(server, "tcrdb", study="x")


def test_vdjdb_is_pinned_to_a_commit() -> None:
    with served(vdjdb_commit({"PMID_1.txt": b"abc"})) as server:
        found = listed(server, "vdjdb")
        assert found.release == "ababababab" and names(found) == ["chunks/PMID_1.txt"]
        assert found.files[0].size == 3 and "ab" * 20 in found.files[0].url


def test_pubchem_has_a_checksum() -> None:
    with served(pubchem_extras(b"1\tCCO\n")) as server:
        file = listed(server, "pubchem").files[0]
        assert file.name == "CID-SMILES.gz" and file.md5 and file.size


def test_zinc_tranches() -> None:
    with served(zinc_tranches({"AAAA": b"x", "AAAB": b"x", "BAAA": b"x"})) as server:
        assert names(listed(server, "zinc")) == ["AA/AAAA.smi", "AA/AAAB.smi", "BA/BAAA.smi"]
        assert names(listed(server, "zinc", tranche="aaab,BA")) == ["AA/AAAB.smi", "BA/BAAA.smi"]
        with pytest.raises(ConfigError, match="'AAZA', allowed"):
            listed(server, "zinc", tranche="AAZA")
