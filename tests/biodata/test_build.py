import dataclasses
import gzip
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from biodata import build, rounds
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.dataset import open_dataset
from biodata.errors import ConfigError, DataError, InterruptedRunError, SeqloomError
from biodata.folders import locked
from biodata.splits.split import SplitConfig
from biodata.splits.verify import verify_dataset

# A build that kills itself with SIGKILL at its n-th opening, renaming or removing of a file or starting of a
# program; prints how many there were if it gets to the end.
KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.splits.split import SplitConfig
source, out, moment = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
count = 0
def hook(event, arguments):
    global count
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "subprocess.Popen"):
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
split = SplitConfig(threads=2, exact_effort=1, max_component=0.05)
build_dataset(BuildConfig(read=ReadConfig(inputs=(source,)), split=split), out)
print(count)
"""


def write_families(path: Path, *, seed: int = 1) -> Path:
    """Unrelated sequences, a family, and a chain of mutants that percolates."""
    rng = random.Random(seed)

    def mutant(text: str, edits: int) -> str:
        letters = list(text)
        for at in rng.sample(range(len(text)), edits):
            letters[at] = rng.choice("ACGT".replace(letters[at], ""))
        return "".join(letters)

    texts = ["".join(rng.choices("ACGT", k=300)) for _ in range(60)]
    texts += [mutant(texts[0], 10) for _ in range(2)]
    for _ in range(12):
        texts.append(mutant(texts[-1] if len(texts) > 62 else texts[1], 15))
    path.write_text("".join(f">s{at} description {at}\n{text}\n" for at, text in enumerate(texts)))
    return path


def config(source: Path, **split: Any) -> BuildConfig:
    settings: dict[str, Any] = {"threads": 2, "exact_effort": 1, "max_component": 0.05, **split}
    return BuildConfig(read=ReadConfig(inputs=(str(source),)), split=SplitConfig(**settings))


def content(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
    }


def test_a_build_is_verified_complete_and_explained(tmp_path: Path) -> None:
    source, out = write_families(tmp_path / "x.fa"), tmp_path / "out"
    result = build_dataset(config(source), out)
    assert result["path"] == str(out)
    assert set(result) >= {"rows", "splits", "clusters", "dropped", "audit", "fingerprint", "repair"}
    assert result["audit"]["leaking_pairs"] == result["audit"]["leaking_rows"] == 0
    assert result["repair"]["method"] == "purge"
    purged = sum(result["repair"]["rows_purged"].values())
    assert result["rows"] == sum(result["splits"].values()) == 74 - purged
    assert "were purged instead" in result["repair"]["explanation"]
    assert pq.read_metadata(out / "removed" / "purged.parquet").num_rows == purged > 0
    assert not (out / ".build").exists()

    manifest = open_dataset(out).manifest
    assert manifest["dropped"][build.PURGE_REASON] == purged
    assert manifest["sources"][0]["url"] is None  # not fetched
    assert manifest["sources"][0]["name"] == "x.fa" and len(manifest["sources"][0]["sha256"]) == 64
    assert manifest["clustering"]["version"] and "linclust" in manifest["clustering"]["command"]
    assert str(tmp_path) not in (out / "manifest.json").read_text()
    assert verify_dataset(out, threads=2)["ok"]


def test_the_same_again_is_instant_and_equal_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_families(tmp_path / "x.fa")
    result = build_dataset(config(source), tmp_path / "one")
    before = content(tmp_path / "one")
    other = tmp_path / "elsewhere"
    other.mkdir()
    moved = other / "x.fa"
    moved.write_bytes(source.read_bytes())
    assert build_dataset(config(moved, threads=1), tmp_path / "two")["fingerprint"] == result["fingerprint"]
    assert content(tmp_path / "two") == before
    monkeypatch.setattr(build, "ingest", None)  # nothing is read a second time
    assert build_dataset(config(source), tmp_path / "one") == result
    assert content(tmp_path / "one") == before
    assert build.build_key(config(source, seed=1)) != build.build_key(config(source))


def test_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: Path, project: Path) -> None:
    source = write_families(tmp_path / "x.fa")

    def run(out: Path, moment: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(source), str(out), str(moment)],
            capture_output=True, text=True, check=False, cwd=project,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    undisturbed = run(tmp_path / "whole", 0)
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected, steps = content(tmp_path / "whole"), int(undisturbed.stdout)
    rng, kills, folder, out = random.Random(5), 0, 0, tmp_path
    while kills < 10:
        out = tmp_path / f"killed-{folder}"
        done = run(out, rng.randint(1, steps))
        if done.returncode == 0:
            assert content(out) == expected
            folder += 1
            continue
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills += 1
    assert run(out, 0).returncode == 0
    assert content(out) == expected


def test_a_damaged_dataset_is_found_out(tmp_path: Path) -> None:
    source, out = write_families(tmp_path / "x.fa"), tmp_path / "out"
    build_dataset(config(source), out)
    path = open_dataset(out).files("test")[0]
    path.write_bytes(path.read_bytes().replace(b"s1", b"s2"))
    (out / "data" / "extra.parquet").write_bytes(b"")
    found = verify_dataset(out)
    assert not found["ok"] and found["audit"] is None
    assert found["problems"][0].startswith("data/test-00000-of-00001.parquet: its SHA-256 is not that")
    assert found["problems"][1] == "data/extra.parquet: not in the manifest"
    path.unlink()
    with pytest.raises(DataError, match="missing, though the manifest names it"):
        build_dataset(config(source), out)


def test_rows_that_contradict_their_columns_are_found_out(tmp_path: Path) -> None:
    source, out = write_families(tmp_path / "x.fa"), tmp_path / "out"
    build_dataset(config(source), out)
    opened = open_dataset(out)
    path, manifest = opened.files("test")[0], opened.manifest
    rows = opened.table("test").to_pylist()
    rows[0] |= {
        "sequence": opened.sequences("train")[0].as_py(),
        "cluster": opened.table("train")["cluster"][0].as_py(),
    }
    rows[1] |= {"id": rows[2]["id"], "split": "train"}
    pq.write_table(type(opened.table("test")).from_pylist(rows, schema=opened.table("test").schema), path)
    for entry in manifest["files"]:
        if entry["split"] == "test":
            entry["sha256"] = build.sha256_file(path)
    manifest["fingerprint"] = build.fingerprint([manifest["build_key"], manifest["files"]])
    (out / "manifest.json").write_text(json.dumps(manifest))
    problems = "\n".join(verify_dataset(out, threads=2)["problems"])
    for part in (
        "1 rows whose checksum is not that of the sequence",
        "1 rows whose split is not that of the file",
        "with an id that occurs before",
        "whose cluster is also in another split",
        "1 test rows have exactly the sequence of a train row",
        "at least 90% identical",
    ):
        assert part in problems


def test_folders_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    source, out = write_families(tmp_path / "x.fa"), tmp_path / "out"
    with pytest.raises(ConfigError, match=r"not empty \('x\.fa' is there\) and no seqloom dataset"):
        build_dataset(config(source), tmp_path)
    with pytest.raises(ConfigError, match="is a file: --out needs a folder"):
        build_dataset(config(source), source)
    inputs = dataclasses.replace(config(source), read=ReadConfig(inputs=(f"{tmp_path}/../{tmp_path.name}",)))
    with pytest.raises(ConfigError, match=r"holds .*out, where files are to be written"):
        build_dataset(inputs, out)
    assert not out.exists()
    build_dataset(config(source), out)
    with pytest.raises(ConfigError, match="holds another dataset"):
        build_dataset(config(source, seed=1), out)
    other = BuildConfig(read=config(source).read, split=config(source, seed=1).split, overwrite=True)
    build_dataset(other, out)
    assert open_dataset(out).manifest["split_config"]["seed"] == 1


def test_two_builds_in_one_folder_and_control_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_families(tmp_path / "x.fa"), tmp_path / "out"
    with locked(out), pytest.raises(SeqloomError, match="another build is running in"):
        build_dataset(config(source), out)

    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "split_rows", stop)
        with pytest.raises(InterruptedRunError, match="run the same command again to go on") as caught:
            build_dataset(config(source), out)
    assert caught.value.exit_code == 130
    assert build_dataset(config(source), out)["rows"] > 0


def test_too_few_clusters_say_so(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text("".join(f">{at}\n{'ACGTTGCA' * 30}{'C' * at}\n" for at in range(3)))
    with pytest.raises(DataError, match="3 rows form 1 clusters of similar sequences, too few for 3 splits"):
        build_dataset(config(path, repair="merge"), tmp_path / "out")


def test_fewer_rows_than_splits_say_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">a\n" + "ACGTTGCA" * 30 + "\n>b\n" + "GGATCCTA" * 30 + "\n")
    monkeypatch.setattr(rounds, "split_rows", None)  # not reached
    with pytest.raises(DataError, match="2 rows are left after reading and cleaning, too few for 3 splits"):
        build_dataset(config(path), tmp_path / "out")


@pytest.mark.parametrize(("name", "take"), [("ecoli_CP033092_genes", 350)])
def test_real_genes(real_data: Path, tmp_path: Path, name: str, take: int) -> None:
    with gzip.open(real_data / "cds" / f"{name}.fasta.gz", "rt") as handle:
        records = handle.read().removeprefix(">").split("\n>")
    (tmp_path / "x.fa").write_text(
        "".join(f">{record}\n" for record in random.Random(0).sample(records, take))
    )
    result = build_dataset(config(tmp_path / "x.fa", max_component=0.1, exact_effort=5), tmp_path / "out")
    assert result["audit"]["leaking_pairs"] == 0
    assert result["audit"]["search"]["planted_found"] >= 62
    assert result["rows"] + sum(result["dropped"].values()) == take
