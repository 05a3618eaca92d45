"""`eval sequences` on odd input, as a user would type it: a line or an honest table, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from biodata.files import read_json
from bioeval.metrics.discriminator import Discriminator
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.report.sections.metrics import STRIP
from seqloom_cli.main import app

RNG = np.random.default_rng(0)
QUICK = ["--resamples", "20", "--persistence-resamples", "20", "--persistence-points", "10"]


def some(number: int, length: int, letters: str = "ACGT") -> list[str]:
    return ["".join(RNG.choice(list(letters), length)) for _ in range(number)]


SETS = {
    "natural": some(24, 90), "other": some(12, 90), "two": some(2, 90), "letters": ["A", "C", "G", "T"] * 4,
    "half-known": [*some(6, 60), *["N" * 60] * 6], "copies": ["ACGTTGCA" * 12] * 12,
    "homopolymer": ["A" * 90] * 12, "gaps": ["ACG-T.A*" * 10] * 12, "empty-ones": [*some(10, 90), "", ""],
    "rna": some(12, 90, "ACGU"), "short": some(12, 12),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd")
    for name, texts in (SETS | {"unknown": ["N" * 60] * 12}).items():
        (path / f"{name}.fa").write_text("".join(f">{name}{i}\n{t}\n" for i, t in enumerate(texts)))
    return path


def run(folder: Path, out: Path, *words: str) -> Any:
    files = [str(folder / f"{word}.fa") if word in {*SETS, "unknown"} else word for word in words]
    return CliRunner().invoke(app, ["eval", "sequences", *files, "--out", str(out), *QUICK])


@pytest.mark.parametrize("generated", SETS)
@pytest.mark.parametrize("reference", ["natural", "letters", "copies", "homopolymer"])
def test_a_table_without_nan(folder: Path, tmp_path: Path, generated: str, reference: str) -> None:
    found = run(folder, tmp_path, generated, "--reference", reference, "--train", "other", "--kmers", "2")
    assert found.exit_code == 0, found.output
    page = (tmp_path / "report.html").read_text()
    assert "2-mer Jensen-Shannon" in page.split("More metrics")[0]  # the only k that was asked for
    assert not re.search(r"\bnan\b|\binf\b", found.stdout + page, re.IGNORECASE)
    assert "Warning" not in found.stderr
    metrics = read_json(tmp_path / "results.json")["metrics"]
    drawn = re.findall(r'<svg class="strip".*?</svg>', page)
    assert len(drawn) == sum(metric["within_null"] is not None for metric in metrics.values())
    places = [float(n) for n in re.findall(r'(?:cx="| x="|"M)([-\d.]+)', "".join(drawn))]
    assert all(0 < place < STRIP for place in places) and len(places) >= 3 * len(drawn)
    for name, metric in metrics.items():
        defined = None not in (metric["scale"]["generated"], metric["null_lo"], metric["null_hi"])
        assert defined == (metric["within_null"] is not None), name
        line = next(line for line in found.stdout.splitlines() if line.startswith(f"| {name} |"))
        assert defined != (" no value" in line or " no null" in line), line


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("unknown", "--reference", "natural"), 3, "0 generated sequences with letters"),
        (("natural", "--reference", "unknown"), 3, "0 reference sequences with letters"),
        (("natural", "--reference", "other", "--train", "unknown"), 3, "0 training sequences with letters"),
        (("natural", "--reference", "other", "--metrics", "cai,nearest"), 2,
         "none can be computed (cai: only of coding sequences"),
        (("natural", "--reference", "other", "--metrics", "kmer", "--kmers", "5", "--alphabet", "protein"), 2,
         "none can be computed (kmer: words of proteins and SMILES have at most 3 letters"),
    ],
)  # fmt: skip
def test_what_has_no_answer_is_one_line(
    folder: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    found = run(folder, tmp_path / "out", *words)
    assert found.exit_code == code and message in found.stderr and found.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_makes_values_weak_is_said(folder: Path, tmp_path: Path) -> None:
    words = ("half-known", "--reference", "natural", "--train", "natural", "--metrics", "composition")
    run(folder, tmp_path / "a", *words)
    warnings = read_json(tmp_path / "a" / "results.json")["warnings"]
    assert "6 of 12 generated sequences have no letter that counts" in warnings
    assert any(w.startswith("50% of the generated letters stand for no single one") for w in warnings)
    assert any("24 of 24 reference sequences stand in the training set" in w for w in warnings)
    run(folder, tmp_path / "b", "natural", "--reference", "natural", "--metrics", "composition")
    warnings = read_json(tmp_path / "b" / "results.json")["warnings"]
    assert "24 of 24 generated sequences stand in the reference as they are" in warnings
    run(
        folder,
        tmp_path / "c",
        "natural",
        "--reference",
        "other",
        "--train",
        "two",
        "--metrics",
        "composition",
    )
    assert len(read_json(tmp_path / "c" / "results.json")["warnings"]) == 1  # the coarse null alone


def test_a_classifier_needs_two_classes_in_every_fit() -> None:
    metric, every = Discriminator(resamples=1), np.ones((1, 12), bool)
    varied, same = (metric.features(SequenceSet.from_strings(SETS[n])) for n in ("other", "copies"))
    for first, second in ((varied, same), (same, varied), (same, same)):
        assert np.isnan(metric.compare(first, second, rows=every, others=every)).all()
    three = metric.features(SequenceSet.from_strings(SETS["other"][:3] * 4))
    assert np.isfinite(metric.compare(three, three[::-1], rows=every, others=every)).all()
    other = metric.features(SequenceSet.from_strings(some(3, 90, "AAAAT") * 4))
    assert metric.compare(other, varied, rows=every, others=every)[0, 0] == 1
