"""The same recipe on real files: coding sequences of species, and GenBank records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .walk import run_whole_way

TASK = ("evaluate.tasks=mrfp", "evaluate.resamples=100")  # a real property of mRNA


@pytest.mark.parametrize(
    ("inputs", "least_rows", "excluded"),
    [
        (["cds/calm_validation_ecoli.fasta.gz", "cds/calm_validation_hvolcanii.fasta.gz"], 150, 0),
        # influenza A infects animals: excluded from what generative models learn
        (["genbank/NC_000932.gb.gz", "genbank/NC_005816.gb", "genbank/influA_*.gbff"], 85, 1),
    ],
    ids=["species-cds", "genbank"],
)
def test_quickstart_on_real_files(
    inputs: list[str],
    least_rows: int,
    excluded: int,
    real_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    files = ",".join(str(real_data / name) for name in inputs)
    result = run_whole_way(tmp_path / "out", f"data.read.inputs=[{files}]", *TASK)
    data = result["stages"]["data"]["result"]
    assert data["rows"] >= least_rows
    assert data["audit"]["leaking_rows"] == 0
    manifest = json.loads((tmp_path / "out" / "dataset" / "manifest.json").read_text())
    assert sum(manifest["exclusion"]["excluded"].values()) >= excluded
    assert sum(data["splits"].values()) == data["rows"]
    assert result["stages"]["sequences"]["result"]["n_generated"] == 24
    (scored,) = result["stages"]["evaluate"]["result"]["results"]
    assert scored["task"] == "mrfp" and scored["lo"] <= scored["value"] <= scored["hi"]
    assert {"codon-freq", "one-hot"} < set(scored["baselines"]) and "random-init" in str(scored["baselines"])
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("<svg") + html.count("data:image/png") >= 4
    assert "http://" not in html.replace("http://www.w3.org", "")
    log = [json.loads(x) for x in (tmp_path / "out" / "run" / "training_log.jsonl").read_text().splitlines()]
    assert any("val_loss" in line for line in log)
