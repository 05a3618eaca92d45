"""Options of `data build` that would do nothing are refused in one line that says what they need."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biodata.build import BuildConfig
from biodata.read_config import ReadConfig
from biodata.splits.split import SplitConfig
from seqloom_cli.main import app
from seqloom_cli.needless import _RULES, refuse_needless


@pytest.mark.parametrize(
    ("option", "value", "needs"),
    [
        ("--tanimoto", "0.5", "--alphabet selfies"),
        ("--deny-identity", "0.5", "--deny-sequences"),
        ("--near-duplicate-keep", "longest", "--near-duplicates"),
        ("--cluster-cap-identity", "0.7", "--cluster-cap"),
        ("--text-fields", "gene,note", "--text-level"),
        ("--undated", "train", "--by time"),
        ("--max-low-complexity", "0.2", "--low-complexity drop"),
        ("--unknown-organism", "keep", "--exclude"),
        ("--molecules", "selfies", "--alphabet selfies"),
        ("--partial-codon", "trim", "--take cds"),
        ("--letters-inner-stop", "keep", "--alphabet protein"),
        ("--feature-types", "tRNA", "--take features"),
        ("--transl-table", "11", "--take cds"),
    ],
)
def test_an_option_without_use(option: str, value: str, needs: str, tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    command = ["data", "build", str(tmp_path / "x.fa"), "--out", str(tmp_path / "out"), option, value]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 2 and len(said.stderr.splitlines()) == 1, said.stderr
    assert option[2:].split("-")[-1] in said.stderr and f"does nothing without {needs}" in said.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_used_is_taken_and_every_name_is_a_field() -> None:
    read = ReadConfig(inputs=("x.fa",), take="cds", transl_table=11)
    refuse_needless(BuildConfig(read=read, split=SplitConfig(by="time", undated="train")))
    for group, names, _, _ in _RULES:
        part: Any = BuildConfig(read=ReadConfig(inputs=("x.fa",)))
        for name in group.split("."):
            part = getattr(part, name)
        assert set(names.split()) <= {field.name for field in fields(part)}
