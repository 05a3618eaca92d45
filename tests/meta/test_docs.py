"""The README keeps its promises: every command it names exists, every file it links to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SEQLOOM = str(Path(sys.executable).with_name("seqloom"))
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/benchmarks.md", "docs/archives.md",
         "docs/data.md", "docs/curation.md", "docs/scale.md", "docs/tokenizers.md", "docs/training.md",
         "docs/evaluation.md", "docs/metrics.md", "docs/tasks.md", "docs/probes.md")  # fmt: skip


def blocks(page: Path) -> list[str]:
    return re.findall(r"```(?:bash|console|sh)\n(.*?)```", page.read_text(), re.S)


def commands(page: Path) -> list[list[str]]:
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    words = [line.split("#")[0].split() for line in lines]
    return [w for w in words if w and w[0] == "seqloom"]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str, project: Path):
    page = project / name
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_their_options_exist(name: str, project: Path):
    help_of: dict[tuple[str, ...], str] = {}
    for words in commands(project / name):
        names = tuple(w for w in words[1:3] if re.fullmatch(r"[a-z]+", w))
        names = (
            names[:1] if names[:1] in {("train",), ("run",), ("demo",), ("doctor",), ("generate",)} else names
        )
        if names not in help_of:
            run = subprocess.run([SEQLOOM, *names, "--help"], capture_output=True, text=True, timeout=60,
                                 env={"COLUMNS": "200", "PATH": "/usr/bin"})  # fmt: skip
            assert run.returncode == 0, f"{name}: {' '.join(words)}: {run.stderr}"
            help_of[names] = run.stdout
        for option in (w.split("=")[0] for w in words if w.startswith("--")):
            assert option in help_of[names], f"{name}: {' '.join(words)}: no {option}"


@pytest.mark.parametrize("name", ["data", "archives", "curation", "tokenizers", "scale"])
def test_options_in_the_text_of_the_data_pages_exist(name: str, project: Path):
    """Also those that stand in tables and sentences; the command line is generated from these classes."""
    from typer.main import get_command

    from seqloom_cli.main import app

    root = get_command(app)
    given = {option for group in ("data", "tokenizer") for command in root.commands[group].commands.values()
             for parameter in command.params for option in parameter.opts}  # fmt: skip
    of_others = {"--data-path", "--set", "--help", "--config"}  # Megatron's; those of every command
    text = (project / "docs" / f"{name}.md").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", text))
    assert len(named) >= 4 and named <= given | of_others, named - given - of_others


def test_the_recipe_of_the_curation_page_is_one(project: Path):
    import yaml

    from biodata.build import BuildConfig
    from biodata.configs import from_dict

    (example,) = re.findall(r"```yaml\n(.*?)```", (project / "docs" / "curation.md").read_text(), re.S)
    config = from_dict(BuildConfig, yaml.safe_load(example)["data"])
    assert config.curate.sample_by == "lineage:2" and config.read.exclusion.deny_taxa == (
        "632",
        "Variola virus",
    )


def test_make_targets_named_in_the_readme_exist(project: Path):
    makefile = (project / "Makefile").read_text()
    named = re.findall(r"^make ([a-z]+)", "\n".join(blocks(project / "README.md")), re.M)
    assert {"demo", "test"} <= set(named)
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_changelog_names_the_version(project: Path):
    from biodata import __version__

    assert f"## {__version__}" in (project / "CHANGELOG.md").read_text()


def test_every_pinned_version_is_what_is_installed(project: Path):
    from importlib.metadata import distributions

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [x for x in (project / "constraints.txt").read_text().splitlines() if x and x[0] != "#"]
    pins = [Requirement(line) for line in lines]
    active = {canonicalize_name(r.name): r for r in pins if r.marker is None or r.marker.evaluate()}
    assert str(active["torch"].specifier) == "==2.13.0"
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in distributions()}
    wrong = {n: installed[n] for n, r in active.items() if n in installed
             and not r.specifier.contains(installed[n], prereleases=True)}  # fmt: skip
    assert not wrong


def test_the_table_of_tasks_is_that_of_the_task_files(project: Path):
    from bioeval.tasks import describe_tasks

    page = (project / "docs" / "tasks.md").read_text()
    tasks = {row["name"].split(":")[0]: row for row in describe_tasks()}
    lines = {}
    for line in page.splitlines():
        if found := re.match(r"\| `([a-z0-9-]+)(?::NAME)?` \|", line):
            lines[found[1]] = line
    assert set(tasks) <= set(lines)
    for name, row in tasks.items():
        for value in (row["kind"], row["unit"], row["metric"], row["note"], row["licence"].split(";")[0]):
            assert f"{value}" in lines[name], (name, value)
        assert ("✓" in lines[name]) == row["checked"], name


def test_the_task_of_one_s_own_works(project: Path, tmp_path: Path):
    from bioeval.tasks import load_task

    (example,) = re.findall(r"```yaml\n(.*?)```", (project / "docs" / "tasks.md").read_text(), re.S)
    (tmp_path / "titre.yaml").write_text(example)
    rows = [f"ATG{'GCATTC' * n}TAA,{n / 10},p{n // 2}" for n in range(1, 41)]
    (tmp_path / "titre.csv").write_text("VHVL_DNA,titre,parent\n" + "\n".join(rows) + "\n")
    task = load_task(tmp_path / "titre.yaml")
    assert task.table.num_rows == 40 and task.groups("test") and len(example.splitlines()) <= 15


def test_the_task_of_the_docs_works(project: Path, tmp_path: Path):
    from bioeval.tasks import load_task

    (example,) = re.findall(r"```yaml\n(.*?)```", (project / "docs" / "evaluation.md").read_text(), re.S)
    (tmp_path / "stability.yaml").write_text(example)
    rows = [f"ATG{'GCA' * n}TAA,{n / 10},{split}" for n, split in enumerate(["train", "val", "test"] * 4, 1)]
    (tmp_path / "stability.csv").write_text("cds,half_life,split\n" + "\n".join(rows) + "\n")
    task = load_task(tmp_path / "stability.yaml")
    assert (task.name, task.table.num_rows) == ("stability", 12)
    assert len(example.splitlines()) <= 15
