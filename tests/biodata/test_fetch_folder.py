"""Folders of fetched files: locks, releases, strangers' files, interruptions, limits, the command line."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from biodata.errors import ConfigError, DataError, FetchError, InterruptedRunError, SeqloomError
from biodata.fetch.config import FetchConfig
from biodata.fetch.fetch import fetch
from biodata.fetch.names import is_source_name, parse_name
from biodata.fetch.origin import Origins
from biodata.fetch.plan import describe, list_wanted
from biodata.fetch.record import MANIFEST, WORK, read_entries, read_manifest
from biodata.fetch.remote import Listing, RemoteFile
from biodata.fetch.web import mirrors_from
from tests.archive_layouts import refseq_release
from tests.archive_server import ArchiveServer, Hang, Status
from tests.biodata.test_fetch import FASTA, FIRST, VIRAL, assert_whole, names_in, web_of

SEQLOOM = str(Path(sys.executable).with_name("seqloom"))


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(refseq_release(FASTA)) as running:
        yield running


def seqloom(server: ArchiveServer, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SEQLOOM, "data", *args], capture_output=True, text=True, timeout=120,
                          env=os.environ | {"SEQLOOM_MIRRORS": server.mirror_variable} | env)  # fmt: skip


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def part_size(folder: Path) -> int:
    parts = [p for p in (folder / WORK / "parts").glob("*.gz") if p.is_file()]
    return sum(p.stat().st_size for p in parts)


def test_two_fetches_into_one_folder(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Hang(10)]
    first = threading.Thread(target=fetch, args=(VIRAL, tmp_path), kwargs={"web": web_of(server)})
    first.start()
    wait_for(lambda: part_size(tmp_path))
    with pytest.raises(SeqloomError, match="another fetch is running in"):
        fetch(VIRAL, tmp_path, web=web_of(server))
    server.go_on.set()
    first.join()
    assert_whole(server, tmp_path)


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["ctrl-c", "kill"]
)
def test_a_stopped_fetch_goes_on(sign: int, code: int, server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST] = [Hang(50)]
    running = subprocess.Popen(
        [SEQLOOM, "data", "fetch", "refseq:viral", "--out", str(tmp_path / "d")],
        env=os.environ | {"SEQLOOM_MIRRORS": server.mirror_variable},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: part_size(tmp_path / "d"))
    running.send_signal(sign)
    _, said = running.communicate(timeout=60)
    server.go_on.set()
    assert running.returncode == code, said
    if code == 130:
        assert said.splitlines()[-1].startswith("error: stopped; what has arrived is kept")
    assert part_size(tmp_path / "d") == 50
    assert not list((tmp_path / "d").glob("*.gz"))
    fetch(VIRAL, tmp_path / "d", web=web_of(server))
    assert_whole(server, tmp_path / "d")
    assert server.requests_of(FIRST)[-1].range == "bytes=50-"


def test_a_disk_that_becomes_full(tmp_path: Path) -> None:
    """The system takes what fits of a block without an error: a short file must not take its name."""
    letters = "".join(random.Random(1).choices("ACGT", k=60_000))
    files = {"viral": {"viral.1.1.genomic.fna": f">NC_1.1 x\n{letters}\n".encode()}}
    with ArchiveServer(refseq_release(files)) as server:
        done = subprocess.run(
            [SEQLOOM, "data", "fetch", "refseq:viral", "--out", str(tmp_path / "d")],
            env=os.environ | {"SEQLOOM_MIRRORS": server.mirror_variable}, capture_output=True, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)),
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'd'}: a file became larger than")
        assert not list((tmp_path / "d").glob("*.gz")) and part_size(tmp_path / "d") == 8000
        fetch(VIRAL, tmp_path / "d", web=web_of(server))
        assert_whole(server, tmp_path / "d")
        assert server.requests_of(FIRST)[-1].range == "bytes=8000-"


def test_ctrl_c_is_an_error_of_ours(server: ArchiveServer, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.faults[FIRST] = [Status(503)]
    web = web_of(server)
    object.__setattr__(web, "sleep", interrupt)
    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        fetch(VIRAL, tmp_path, web=web)


def test_several_groups_and_later_ones(server: ArchiveServer, tmp_path: Path) -> None:
    fetch(FetchConfig(sources=("refseq:archaea",)), tmp_path, web=web_of(server))
    fetch(FetchConfig(sources=("refseq:viral",), limit=1), tmp_path, web=web_of(server))
    manifest = read_manifest(tmp_path)
    assert manifest and [(s["source"], len(s["files"]), s["files_listed"]) for s in manifest["sources"]] == [
        ("refseq:archaea", 1, 1), ("refseq:viral", 1, 3)
    ]  # fmt: skip
    result = fetch(FetchConfig(sources=("refseq:viral", "refseq:archaea")), tmp_path, web=web_of(server))
    assert (result["downloaded"], result["present"]) == (2, 2)
    assert_whole(server, tmp_path)


def test_limits(server: ArchiveServer, tmp_path: Path) -> None:
    web = web_of(server)
    sizes = [describe([w], tmp_path)["bytes"] for w in list_wanted(FetchConfig(sources=VIRAL.sources), web)]
    (some,) = list_wanted(FetchConfig(sources=VIRAL.sources, max_bytes=sizes[0] - 1), web)
    assert (len(some.files), some.listed) == (2, 3)
    assert [f.name for f in some.files] == ["viral.1.1.genomic.fna.gz", "viral.2.1.genomic.fna.gz"]
    with pytest.raises(ConfigError, match="max_bytes is too small"):
        list_wanted(FetchConfig(sources=VIRAL.sources, max_bytes=3), web)


def test_two_releases_are_not_mixed(server: ArchiveServer, tmp_path: Path) -> None:
    fetch(VIRAL, tmp_path, web=web_of(server))
    server.files = refseq_release({"viral": {"viral.1.1.genomic.fna": b">NC_2.1\nAAA\n"}}, release=232)
    with pytest.raises(ConfigError, match="holds release 231 of refseq, the archive is at 232"):
        fetch(VIRAL, tmp_path, web=web_of(server))
    with pytest.raises(ConfigError, match="holds release 231"):
        fetch(FetchConfig(sources=VIRAL.sources, what="genomic.fna", limit=1), tmp_path, web=web_of(server))
    fetch(FetchConfig(sources=VIRAL.sources, overwrite=True), tmp_path, web=web_of(server))
    assert names_in(tmp_path) == [MANIFEST, "viral.1.1.genomic.fna.gz"]
    assert_whole(server, tmp_path)


def test_a_stranger_s_file_is_never_overwritten(server: ArchiveServer, tmp_path: Path) -> None:
    mine = tmp_path / "viral.2.1.genomic.fna.gz"
    mine.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="is there already and is not the file of refseq:viral"):
        fetch(VIRAL, tmp_path, web=web_of(server))
    assert mine.read_bytes() == b"mine"
    mine.write_bytes(server.files[FIRST.replace("viral.1.1", "viral.2.1")])
    result = fetch(VIRAL, tmp_path, web=web_of(server))
    assert (result["downloaded"], result["present"]) == (2, 1)
    assert_whole(server, tmp_path)


def test_an_unfinished_fetch_is_not_forgotten(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[FIRST.replace("viral.1.1", "viral.2.1")] = [Status(404)]
    with pytest.raises(FetchError, match="404"):
        fetch(VIRAL, tmp_path, web=web_of(server))
    assert list(read_entries(tmp_path)) == ["viral.1.1.genomic.fna.gz"]
    with pytest.raises(ConfigError, match=r"unfinished fetch of refseq:viral genomic.fna"):
        fetch(FetchConfig(sources=("refseq:archaea",)), tmp_path, web=web_of(server))
    with open(tmp_path / WORK / "journal.jsonl", "a") as journal:
        journal.write('{"name": "half a li')
    result = fetch(VIRAL, tmp_path, web=web_of(server))
    assert (result["downloaded"], result["present"]) == (2, 1)
    assert_whole(server, tmp_path)


def test_a_list_that_cannot_be_had_leaves_a_whole_folder_whole(server: ArchiveServer, tmp_path: Path) -> None:
    fetch(VIRAL, tmp_path, web=web_of(server))
    server.faults[f"{FIRST.split('viral/')[0]}RELEASE_NUMBER"] = [Status(404)]
    with pytest.raises(FetchError, match="404"):
        fetch(VIRAL, tmp_path, web=web_of(server))
    assert_whole(server, tmp_path)


def test_a_damaged_or_edited_record_is_one_line(server: ArchiveServer, tmp_path: Path) -> None:
    """Also for a build of files that lie anywhere below it."""
    fetch(VIRAL, tmp_path, web=web_of(server))
    whole = json.loads((tmp_path / MANIFEST).read_text())
    outside = json.loads(json.dumps(whole))
    outside["sources"][0]["files"][0]["name"] = "../mine.fa"
    short = json.loads(json.dumps(whole))
    del short["sources"][0]["licence"]
    version = whole["seqloom_version"]
    for record, words in ((outside, r"'\.\./mine\.fa' is not safe"), (short, "is damaged .*licence"),
                          ({"seqloom_version": version}, "format None"),
                          (whole | {"sources": [3]}, "is damaged"),
                          (whole | {"sources": None}, "is damaged")):  # fmt: skip
        (tmp_path / MANIFEST).write_text(json.dumps(record))
        for read in (lambda: fetch(VIRAL, tmp_path, web=web_of(server)),
                     lambda: Origins().of(tmp_path / "viral.1.1.genomic.fna.gz", sha256="")):  # fmt: skip
            with pytest.raises(DataError, match=words) as caught:
                read()
            assert "\n" not in str(caught.value)
    (tmp_path / MANIFEST).unlink()
    (tmp_path / WORK).mkdir(exist_ok=True)
    (tmp_path / WORK / "journal.jsonl").write_text('{"name": \n')
    with pytest.raises(DataError, match="the journal is damaged"):
        fetch(VIRAL, tmp_path, web=web_of(server))


def test_no_room(server: ArchiveServer, tmp_path: Path, monkeypatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("biodata.fetch.fetch.shutil.disk_usage", lambda path: usage)
    with pytest.raises(FetchError, match="has room for 10 bytes"):
        fetch(VIRAL, tmp_path, web=web_of(server))


@pytest.mark.parametrize(
    ("name", "url"),
    [("../x.gz", "https://a.org/x"), ("/etc/passwd", "https://a.org/x"), ("a/../../x", "https://a.org/x"),
     (".bashrc", "https://a.org/x"), ("a\\b", "https://a.org/x"), ("", "https://a.org/x"),
     ("x" * 300, "https://a.org/x"), ("x", "file:///etc/passwd"), ("x", "https://a.org/x y")],
)  # fmt: skip
def test_names_from_the_network_are_not_trusted(name: str, url: str) -> None:
    with pytest.raises(DataError):
        RemoteFile(name=name, url=url)


def test_a_list_names_each_file_once() -> None:
    file = RemoteFile(url="https://a.org/x", name="x")
    with pytest.raises(DataError, match="'x' more than once"):
        Listing(files=(file, file))
    with pytest.raises(DataError, match="no file"):
        Listing(files=())


@pytest.mark.parametrize(
    ("text", "words"),
    [("refsek:viral", "did you mean 'refseq'"), ("refseq", "no part ''"), ("uniref:51", "known: 100, 50, 90"),
     ("refseq:viral:genomic.fa", "did you mean 'genomic.fna'")],
)  # fmt: skip
def test_wrong_names_are_told(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_name(text)


def test_source_names_and_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_source_name("refseq:viral") and is_source_name("refsek:viral")
    (tmp_path / "refseq:viral").write_text(">a\nA\n")
    assert not is_source_name("refseq:viral") and not is_source_name("refseq:viral.fa.gz/x")


def test_selections_may_have_commas() -> None:
    config = FetchConfig(sources=("zinc",), select=("tranche=AAAB", "BB", "a=b=c"))
    assert config.select == ("tranche=AAAB,BB", "a=b=c")
    for wrong in ("tranche", "=x", "x="):
        with pytest.raises(ConfigError, match="allowed: NAME=VALUE"):
            FetchConfig(sources=("zinc",), select=(wrong,))


def test_mirrors(monkeypatch) -> None:
    monkeypatch.setenv("SEQLOOM_MIRRORS", "https://a.org=http://b.org/a https://c.org=https://d.org")
    assert mirrors_from(("https://c.org/=http://e.org",)) == {
        "https://a.org/": "http://b.org/a/", "https://c.org/": "http://e.org/"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="OLD=NEW"):
        mirrors_from(("b.org",))


def test_command_line(server: ArchiveServer, tmp_path: Path) -> None:
    plan = seqloom(server, "fetch", "refseq:viral", "--out", str(tmp_path / "d"), "--dry-run", "--json")
    assert plan.returncode == 0, plan.stderr
    found = json.loads(plan.stdout)
    assert found["files"] == 3 and found["sources"][0]["licence"] and not (tmp_path / "d").exists()
    wrong = seqloom(server, "fetch", "refseq:viral", "--what", "cds")
    assert wrong.returncode == 2 and "refseq has no kind 'cds' (known: genomic.fna" in wrong.stderr
    part = seqloom(server, "fetch", "refseq:viral", "--limit", "1")
    assert part.returncode == 2 and "name the folder, the cache is for whole sources" in part.stderr
    done = seqloom(server, "fetch", "refseq:archaea", "--json", SEQLOOM_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["path"] == str(tmp_path / "cache" / "archives" / "refseq-archaea-genomic.fna")
    assert_whole(server, Path(found["path"]))
