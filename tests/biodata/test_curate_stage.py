"""Steps over all rows: what each drops, what the manifest says, that a killed build goes on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from biodata.build import BuildConfig, build_dataset
from biodata.configs import from_dict
from biodata.curate import stage
from biodata.curate.config import CurateConfig
from biodata.dataset import open_dataset
from biodata.errors import ConfigError, DataError
from biodata.schema import SPLITS
from biodata.splits.verify import verify_dataset


def mutated(text: str, edits: int, rng: random.Random) -> str:
    letters = list(text)
    for at in rng.sample(range(len(text)), edits):
        letters[at] = rng.choice("ACGT".replace(letters[at], ""))
    return "".join(letters)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """40 unrelated rows, 6 near copies of the first (one longer), one of the second on the other strand."""
    rng = random.Random(7)
    texts = ["".join(rng.choices("ACGT", k=300)) for _ in range(40)]
    texts += [mutated(texts[0], 15, rng) for _ in range(5)]
    texts.append(mutated(texts[0], 6, rng) + "ACGTACGTAA")
    texts.append(mutated(texts[1], 6, rng)[::-1].translate(str.maketrans("ACGT", "TGCA")))
    path = tmp_path / "x.fa"
    path.write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts)))
    return path


def build(
    source: Path, out: Path, curate: dict[str, Any], **read: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    config = from_dict(BuildConfig, {"read": {"inputs": [str(source)], **read}, "curate": curate,
                                     "split": {"threads": 1, "exact_effort": 1}})  # fmt: skip
    build_dataset(config, out)
    dropped = pq.read_table(out / "removed" / "dropped.parquet").to_pylist()
    return open_dataset(out).manifest, {row["id"]: row["detail"] for row in dropped}


def test_near_duplicates_leave_one(source: Path, tmp_path: Path) -> None:
    manifest, dropped = build(source, tmp_path / "out", {"near_duplicates": 0.9})
    assert manifest["dropped"]["near-duplicate"] == 7 and manifest["rows"] == 40
    assert set(dropped) == {f"s{i}" for i in range(40, 47)}
    assert dropped["s46"] == "at least 90% identical to 's1'"
    assert manifest["curate"]["config"]["near_duplicates"] == 0.9
    assert verify_dataset(tmp_path / "out", threads=1, effort=1)["ok"]
    manifest, dropped = build(
        source, tmp_path / "strict", {"near_duplicates": 0.97, "near_duplicate_keep": "longest"}
    )
    assert set(dropped) == {"s0", "s46"} and "'s45'" in dropped["s0"]


def test_caps_and_samples(source: Path, tmp_path: Path) -> None:
    manifest, dropped = build(source, tmp_path / "out", {"cluster_cap": 2, "sample_rows": 30})
    assert manifest["dropped"]["cluster-capped"] == 5 and manifest["dropped"]["not-sampled"] == 12
    assert manifest["rows"] + manifest["dropped"].get("similar-across-splits", 0) == 30
    assert len(dropped) == 17 and manifest["curate"]["cluster_cap"]["capped"] == 1
    assert manifest["curate"]["sample"]["largest_groups"] == [{"group": "all rows", "rows": 42, "kept": 30}]
    with pytest.raises(ConfigError, match="sample_by is 'host', which no row has"):
        build(source, tmp_path / "no", {"sample_rows": 5, "sample_by": "host"})


def test_denied_sequences_are_dropped_and_noted(source: Path, tmp_path: Path) -> None:
    denied = tmp_path / "denied.fa"
    denied.write_text(">bad\n" + source.read_text().split("\n")[1][20:280] + "\n")
    manifest, dropped = build(source, tmp_path / "out", {}, exclusion={"deny_sequences": str(denied)})
    assert {id for id, detail in dropped.items() if detail == "similar to denied 'bad'"} == {
        "s0", *(f"s{i}" for i in range(40, 46)),
    }  # fmt: skip
    entry = manifest["exclusion"]
    assert entry["excluded"] == {"excluded-similar": 7} and not entry["enabled"]
    assert len(entry["deny_list"]["sequences_sha256"]) == 64
    denied.write_text(source.read_text())
    with pytest.raises(DataError, match="no row is left after curation: excluded-similar 47"):
        build(source, tmp_path / "none", {}, exclusion={"deny_sequences": str(denied)})


def test_nothing_asked_nothing_copied(source: Path, tmp_path: Path) -> None:
    manifest, dropped = build(source, tmp_path / "out", {})
    assert not dropped and manifest["exclusion"]["excluded"] == {}
    assert manifest["curate"] == {"config": manifest["curate"]["config"]}


def test_killed_while_curating_it_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"near_duplicates": 0.9, "sample_rows": 35, "augment": "reverse-complement"}
    build(source, tmp_path / "whole", settings)

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_json", stop)
        with pytest.raises(Exception, match="run the same command again"):
            build(source, tmp_path / "cut", settings)
    build(source, tmp_path / "cut", settings)
    for name in SPLITS:
        assert [p.read_bytes() for p in open_dataset(tmp_path / "cut").files(name)] == [
            p.read_bytes() for p in open_dataset(tmp_path / "whole").files(name)
        ]


def test_windows_of_one_parent_stay_together(tmp_path: Path) -> None:
    rng = random.Random(9)
    path = tmp_path / "x.fa"
    path.write_text("".join(f">p{i}\n{''.join(rng.choices('ACGT', k=1500))}\n" for i in range(12)))
    manifest, _ = build(path, tmp_path / "out", {"augment": "reverse-complement"},
                        windows={"window": 400, "window_overlap": 40})  # fmt: skip
    dataset, home = open_dataset(tmp_path / "out"), {}
    for split in SPLITS:
        for row in dataset.table(split, ["parent", "start", "end", "strand"]).to_pylist():
            home.setdefault(row["parent"], set()).add(split)
            assert row["end"] - row["start"] == 400
    assert len(home) == 12 and all(len(splits) == 1 for splits in home.values())
    assert manifest["rows"] == 12 * 5 * 2 and manifest["changed"]["cut-into-windows"] == 12
    assert verify_dataset(tmp_path / "out", threads=1, effort=1)["ok"]


def test_phrases_of_a_build_are_capped(real_data: Path, tmp_path: Path) -> None:
    values = {
        "read": {"inputs": [str(real_data / "genbank" / "NC_005816.gb")], "windows": {"window": 700},
                 "texts": {"text_level": "window"}},
        "curate": {"phrase_cap": 1}, "split": {"threads": 1, "exact_effort": 0, "fractions": [1, 0, 0]},
    }  # fmt: skip
    build_dataset(from_dict(BuildConfig, values), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    texts = [text.split("\n") for text in dataset.table("train", ["text"])["text"].to_pylist()]
    phrases = [
        p for lines in texts for p in {x.rsplit(": ", 1)[1].lower() for x in lines if x.count(": ") == 2}
    ]
    assert len(phrases) == len(set(phrases)) > 5 and dataset.manifest["changed"]["phrase-capped"] > 3
    assert all(any(line.startswith("organism: ") for line in lines) for lines in texts)


def test_configurations_that_make_no_sense() -> None:
    wrong: list[dict[str, Any]] = [
        {"near_duplicates": 0.4},
        {"near_duplicate_keep": "last"},
        {"near_duplicate_coverage": 0},
        {"cluster_cap": -1},
        {"sample_temperature": 0.5},
        {"sample_temperature": 2},
        {"sample_by": "organism"},
        {"augment": "mirror"},
    ]
    for settings in wrong:
        with pytest.raises(ConfigError, match=next(iter(settings))):
            CurateConfig(**settings)
