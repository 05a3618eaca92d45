"""Tasks of every kind, on real rows, through the whole evaluation with the baselines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioeval.evaluate import EvalConfig, evaluate
from bioeval.tasks.loader import read_task


def few(name: str, folder: Path, *lines: str) -> Path:
    """A copy of a shipped task file with further lines in place of those of the same key."""
    _, path = read_task(name)
    keys = tuple(line.split(":")[0] + ":" for line in lines)
    kept = [line for line in path.read_text().splitlines() if not line.startswith(keys)]
    copy = folder / path.name
    copy.write_text("\n".join([*kept, *lines]) + "\n")
    item = name.partition(":")[2]
    return Path(f"{copy}:{item}") if item else copy


@pytest.mark.parametrize(
    ("name", "lines", "models"),
    [
        ("flip-gb1:two_vs_rest", ["rows: 200"], ("kmer", "one-hot")),
        ("freesolv", ["rows: 100"], ("kmer",)),
        ("tox21", ["rows: 120", "columns: {sequence: smiles, values: [NR-AhR, SR-ARE]}"], ("kmer",)),
        ("tcr-davis", ["rows: 200", "least: 300"], ("kmer",)),
        ("tcr-pairs", ["rows: 80"], ("kmer",)),
        ("antibody-paratope", ["rows: 60"], ("one-hot",)),
        ("antibody-regions", ["rows: 20"], ("one-hot",)),
        ("cds-species-clusters", ["rows: 100"], ("codon-freq",)),
        ("scop-superfamily", ["rows: 300"], ("kmer",)),
    ],
)
def test_a_shipped_task_is_evaluated(
    name: str, lines: list[str], models: tuple[str, ...], tmp_path: Path, real_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    config = EvalConfig(models=models, tasks=(str(few(name, tmp_path, *lines)),), out=tmp_path / "out",
                        resamples=100, baselines=False)  # fmt: skip
    results = evaluate(config)["results"]
    assert [row["model"] for row in results] == list(models)
    for row in results:
        assert row["task"] == name and row["n"] > 0
        assert row["lo"] <= row["value"] <= row["hi"]
