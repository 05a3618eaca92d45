"""Fetching from servers that cut, lie, refuse and send web pages."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from biodata.errors import FetchError
from biodata.fetch.config import FetchConfig
from biodata.fetch.download import Download
from biodata.fetch.fetch import fetch
from biodata.fetch.record import MANIFEST, WORK, read_manifest
from biodata.fetch.remote import RemoteFile
from biodata.fetch.web import Patience, Web
from tests.archive_layouts import refseq_release, uniref_release
from tests.archive_server import (
    ArchiveServer,
    Cut,
    Fault,
    NoLength,
    Page,
    Status,
    WholeFile,
    Wrong,
    WrongRange,
)

BASE = "ftp.ncbi.nlm.nih.gov/refseq/release/"
FASTA = {
    "viral": {
        f"viral.{n}.1.genomic.fna": f">NC_00000{n}.1 virus {n}\n{'ACGTTGCA' * 4000}{n * 'A'}\n".encode()
        for n in (1, 2, 10)
    },
    "archaea": {"archaea.1.1.genomic.fna": b">NC_100000.1 archaeon\nGGGTTTAAACCC\n"},
}
FIRST = f"{BASE}viral/viral.1.1.genomic.fna.gz"
VIRAL = FetchConfig(sources=("refseq:viral",))


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(refseq_release(FASTA)) as running:
        yield running


class Waits(list[float]):
    """Stands for `time.sleep`."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def web_of(server: ArchiveServer, *, tries: int = 4, timeout: float = 20, waits: Waits | None = None) -> Web:
    patience = Patience(tries=tries, timeout=timeout)
    return Web(mirrors=server.mirrors, patience=patience, sleep=waits if waits is not None else Waits())


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def assert_whole(server: ArchiveServer, folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest and not (folder / WORK).exists()
    for file in (file for source in manifest["sources"] for file in source["files"]):
        data = (folder / file["name"]).read_bytes()
        assert data == server.files[file["url"].removeprefix("https://")]
        assert file["sha256"] == hashlib.sha256(data).hexdigest() and file["size"] == len(data)


def test_files_and_manifest(server: ArchiveServer, tmp_path: Path, capsys) -> None:
    result = fetch(VIRAL, tmp_path / "d", web=web_of(server))
    said = capsys.readouterr()
    assert said.out == "" and "release 231" in said.err and "licence" in said.err
    assert (result["files"], result["downloaded"], result["present"]) == (3, 3, 0)
    assert names_in(tmp_path / "d") == [
        MANIFEST, "viral.1.1.genomic.fna.gz", "viral.10.1.genomic.fna.gz", "viral.2.1.genomic.fna.gz"
    ]  # fmt: skip
    assert_whole(server, tmp_path / "d")
    (source,) = json.loads((tmp_path / "d" / MANIFEST).read_text())["sources"]
    assert (source["source"], source["what"], source["release"]) == ("refseq:viral", "genomic.fna", "231")
    assert source["licence"] and source["home"].startswith("https://") and source["files_listed"] == 3
    first = source["files"][0]
    assert first["url"] == f"https://{FIRST}" and first["etag"] and first["last_modified"]
    assert first["md5"] == hashlib.md5(server.files[FIRST]).hexdigest()


def test_again_gets_nothing(server: ArchiveServer, tmp_path: Path) -> None:
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    before = len(server.requests_of(".gz"))
    result = fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert (result["downloaded"], result["present"]) == (0, 3)
    assert len(server.requests_of(".gz")) == before
    assert_whole(server, tmp_path / "d")


def test_a_cut_connection_is_taken_up(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Cut(50), Cut(30), Cut(0)]
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert_whole(server, tmp_path / "d")
    asked = server.requests_of(FIRST)
    assert [a.range for a in asked] == ["", "bytes=50-", "bytes=80-", "bytes=80-"]
    assert all(a.if_range.startswith('"') for a in asked[1:])


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([Cut(50), WholeFile()], ["", "bytes=50-"]),
        ([Cut(50), WrongRange()], ["", "bytes=50-", ""]),
        ([Wrong()], ["", ""]),
        ([Cut(50), Wrong()], ["", "bytes=50-", ""]),
        ([NoLength()], [""]),
        ([NoLength(after=50)], ["", ""]),
        ([Status(503), Status(500), Status(502)], ["", "", "", ""]),
    ],
    ids=str,
)
def test_faults_are_overcome(
    faults: list[Fault], ranges: list[str], server: ArchiveServer, tmp_path: Path
) -> None:
    server.faults[FIRST] = list(faults)
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert_whole(server, tmp_path / "d")
    assert [a.range for a in server.requests_of(FIRST)] == ranges


def test_without_validators_the_publisher_s_checksum_lets_a_fetch_go_on(tmp_path: Path) -> None:
    with ArchiveServer(refseq_release(FASTA), validators=False) as server:
        server.faults[FIRST] = [Cut(50)]
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
        assert_whole(server, tmp_path / "d")
        assert [(a.range, a.if_range) for a in server.requests_of(FIRST)] == [("", ""), ("bytes=50-", "")]


def test_progress_counts_every_byte_once(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Cut(50), WrongRange(), Wrong(), Cut(30)]
    steps: list[float] = []
    md5 = hashlib.md5(server.files[FIRST]).hexdigest()
    file = RemoteFile(url=f"https://{FIRST}", name="a/b.gz", md5=md5)
    Download(file, tmp_path / "a" / "b.gz", web=web_of(server), advance=steps.append).run()
    assert sum(steps) == len(server.files[FIRST]) and min(steps) < 0
    assert names_in(tmp_path) == ["b.gz", "b.gz~"]


def test_without_validators_and_checksum_it_begins_anew(tmp_path: Path) -> None:
    with ArchiveServer({"x.org/a.tsv": b"a\tb\n" * 100}, validators=False) as server:
        server.faults["x.org/a.tsv"] = [Cut(50)]
        file = RemoteFile(url="http://x.org/a.tsv", name="a.tsv")
        arrived = Download(file, tmp_path / "part", web=web_of(server), advance=lambda n: None).run()
        assert arrived.part.read_bytes() == b"a\tb\n" * 100
        assert [a.range for a in server.asked] == ["", ""]


def test_a_file_that_changes_meanwhile_comes_whole_and_new(server: ArchiveServer, tmp_path: Path) -> None:
    url = "ftp.ncbi.nlm.nih.gov/a.gz"
    server.files[url] = gzip.compress(b"old" * 100, mtime=0)
    server.faults[url] = [Cut(20)]
    new = gzip.compress(b"new" * 200, mtime=0)

    class Change(Waits):
        def __call__(self, seconds: float) -> None:
            server.files[url] = new

    file = RemoteFile(url=f"https://{url}", name="a.gz")
    web = web_of(server, waits=Change())
    arrived = Download(file, tmp_path / "part", web=web, advance=lambda n: None).run()
    assert arrived.part.read_bytes() == new
    assert [a.range for a in server.requests_of(url)] == ["", "bytes=20-"]


def test_retry_after_is_honoured(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Status(429, "7"), Status(503, "Thu, 01 Jan 1970 00:00:00 GMT"), Status(503)]
    waits = Waits()
    fetch(VIRAL, tmp_path / "d", web=web_of(server, waits=waits))
    assert waits[:2] == [7.0, 0.0] and 4 <= waits[2] <= 5


def test_waits_grow_and_end_in_one_line(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Status(503)] * 9
    waits = Waits()
    with pytest.raises(FetchError, match=r"HTTP 503.*4 times in a row") as caught:
        fetch(VIRAL, tmp_path / "d", web=web_of(server, waits=waits))
    assert "\n" not in str(caught.value)
    assert len(waits) == 3 and all(2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits))
    server.faults.clear()
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert_whole(server, tmp_path / "d")


def test_a_wait_that_is_too_long_ends_the_fetch(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Status(503, "86400")]
    with pytest.raises(FetchError, match="86400 s"):
        fetch(VIRAL, tmp_path / "d", web=web_of(server))


def test_no_server(tmp_path: Path) -> None:
    with ArchiveServer(refseq_release(FASTA)) as gone:
        web = web_of(gone, tries=2)
    with pytest.raises(FetchError, match="refused, 2 times"):
        fetch(VIRAL, tmp_path / "d", web=web)
    assert not (tmp_path / "d").exists()


def test_a_missing_file_is_not_asked_for_again(server: ArchiveServer, tmp_path: Path, capsys) -> None:
    server.faults[FIRST] = [Status(404)]
    with pytest.raises(FetchError, match=r"HTTP 404.*no such file"):
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert len(server.requests_of(FIRST)) == 1 and len(server.requests_of(".gz")) == 1
    # how much it is and under which terms was said before the first byte came
    assert re.search(
        r"3 files, 3 to get, \d+ bytes, to .*\n +licence: no restriction by NCBI", capsys.readouterr().err
    )


@pytest.mark.parametrize("page", [Page(), Page(honest=False)], ids=str)
def test_a_web_page_is_no_data(page: Page, server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [page]
    with pytest.raises(FetchError, match="web page"):
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert names_in(tmp_path / "d") == ["lock", "running.json"]


def test_a_web_page_takes_away_nothing_that_has_arrived(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Cut(50), Page()]
    with pytest.raises(FetchError, match="web page"):
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert_whole(server, tmp_path / "d")
    assert server.requests_of(FIRST)[-1].range == "bytes=50-"


def test_a_checksum_that_stays_wrong(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Wrong()] * 3
    with pytest.raises(FetchError, match=r"md5 is \w+, the publisher's is \w+, 3 times") as caught:
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path / "d") == ["lock", "running.json"]


def test_the_publisher_s_list_is_wrong(tmp_path: Path) -> None:
    files = uniref_release(50, {"uniref50.fasta": b">UniRef50_A x n=1 Tax=y RepID=A\nMM\n"}, md5="0" * 32)
    with ArchiveServer(files) as server, pytest.raises(FetchError, match="damaged there"):
        fetch(FetchConfig(sources=("uniref:50",)), tmp_path, web=web_of(server))


def test_another_length_than_listed_is_refused_before_the_download(tmp_path: Path) -> None:
    files = uniref_release(90, {"uniref90.fasta": b">UniRef90_A x\n" + b"M" * 9000})
    (path,) = (path for path in files if path.endswith(".fasta.gz"))
    files[path] += b"more"
    with ArchiveServer(files) as server, pytest.raises(FetchError, match="a new release may be on its way"):
        fetch(FetchConfig(sources=("uniref:90",)), tmp_path, web=web_of(server))
