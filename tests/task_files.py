"""Small hand-made files in the layout that a task file asks for: no row of them is anyone's data."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bioeval.tasks.config import TaskConfig
from bioeval.tasks.find import pieces_of
from bioeval.tasks.formats import format_of

N = 48
"""Rows of every file."""
_REGIONS = {"fwr1": 6, "cdr1": 3, "fwr2": 5, "cdr2": 3, "fwr3": 9, "cdr3": 5, "fwr4": 4}
_SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "C1CCCCC1", "c1ccncc1", "CCN", "C1CCNCC1", "CC#N", "c1ccoc1", "CS")


def task(folder: Path, text: str, **files: str) -> Path:
    """A task file named `t`, and files beside it; `__` in a name stands for a dot."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    path = folder / "t.yaml"
    path.write_text("name: t\n" + text)
    return path


def table(head: str, *rows: str) -> str:
    """A table of text from its lines."""
    return "\n".join([head, *rows]) + "\n"


def make_files(config: TaskConfig, folder: Path) -> None:
    """Writes the files of a task into a folder, `N` rows each."""
    rng = np.random.default_rng(len(config.name))
    for piece in pieces_of(config):
        path = folder / piece.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if "{class}" in str(config.data.file) and not path.suffix:
            _texts(path, config, rng)
            continue
        kind = format_of(path, config)
        rows = _rows(config, rng)
        if kind == "fasta":
            _fasta(path, config, rows)
        elif kind == "parquet":
            lists = [list(v) if config.kind == "token" else v for v in rows[config.columns.value]]
            pq.write_table(pa.table(rows | {config.columns.value: lists}), path)
        elif kind == "coordinates":
            _coordinates(path, config)
        else:
            _put(path, config.data.member, _table(_airr(rng) if kind == "airr" else rows, path))


def random_sequence(alphabet: str, rng: np.random.Generator, *, units: int = 12) -> str:
    """A sequence without ambiguity codes; of nucleotides whole codons, of selfies SMILES."""
    if alphabet == "selfies":
        return str(rng.choice(_SMILES)) + "C" * int(rng.integers(1, 9))
    letters = {"dna": "ACGT", "rna": "ACGU"}.get(alphabet, "ACDEFGHIKLMNPQRSTVWY")
    return "".join(rng.choice(list(letters), units * (1 if alphabet == "protein" else 3)))


def _rows(config: TaskConfig, rng: np.random.Generator) -> dict[str, list]:
    c = config.columns
    sequences = [random_sequence(config.alphabet, rng) for _ in range(N)]
    rows: dict[str, list] = {c.sequence: sequences}
    if config.kind == "multi-label":
        rows |= {name: rng.choice(["0", "1", ""], N).tolist() for name in c.values}
    elif not config.negatives:
        rows[c.value] = _values(config, sequences, rng)
    if c.split:
        fourth = "train" if c.validation or config.validation else "val"
        rows[c.split] = (["train"] * 3 + [fourth] + ["test"] * 2) * (N // 6)
    if c.validation:
        rows[c.validation] = (["", "", "", "True", "", ""]) * (N // 6)
    if c.second:
        rows[c.second] = [random_sequence(config.second_alphabet or config.alphabet, rng) for _ in range(N)]
    if c.mutant:
        rows[c.mutant] = [f"A3{s[2]}" if s[2] != "A" else "C3A" for s in sequences]
    rows |= {name: [value] * N for name, _, value in (text.partition("=") for text in config.only)}
    for name in (c.group, c.id):
        if name:
            rows.setdefault(name, [f"{name}{n // 2 if name == c.group else n}" for n in range(N)])
    return rows


def _values(config: TaskConfig, sequences: list[str], rng: np.random.Generator) -> list[str]:
    if config.kind == "contacts":
        brackets = config.contacts is not None and config.contacts.notation == "dot-bracket"
        return ["((((" + "." * (len(s) - 8) + "))))" if brackets else "0-8 1-9 2-11" for s in sequences]
    if config.kind == "token":
        symbols = config.classes or ("1", "2", "3")
        return ["".join(rng.choice(symbols, len(s))) for s in sequences]
    if not config.by_class:
        return [f"{value:.4f}" for value in rng.uniform(0, 5, len(sequences))]
    if config.extract:
        return [f"x{n} a.{n % 4}.1 d" for n in range(len(sequences))]
    names = config.classes or ("0", "1")
    # every class as often as the task wants it
    return [names[n % len(names)] for n in range(len(sequences))]


def _table(rows: dict[str, list], path: Path) -> str:
    text = io.StringIO()
    tabs = path.suffix in (".tsv", ".txt")
    writer = csv.writer(text, delimiter="\t" if tabs else ",", lineterminator="\n")
    writer.writerow(rows)
    writer.writerows(zip(*rows.values()))
    return text.getvalue()


def _put(path: Path, member: str | None, text: str) -> None:
    if member is None:
        path.write_text(text)
        return
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, text)


def _fasta(path: Path, config: TaskConfig, rows: dict[str, list]) -> None:
    source, c = config.data, config.columns
    sequences = rows[c.sequence]
    headers = [f"s{n}" for n in range(N)]
    if source.labels is not None:
        splits = [f"s{n} SET={'train' if n % 3 else 'test'} VALIDATION={n % 6 == 1}" for n in range(N)]
        _put(path, source.labels, _records(splits, rows[c.value]))
        if source.mask is not None:
            _put(path, source.mask, _records(headers, ["0" + "1" * (len(s) - 1) for s in sequences]))
    elif c.value in rows and "{class}" not in str(source.file):
        headers = rows[c.value]
    _put(path, source.member, _records(headers, sequences))


def _records(headers: list[str], texts: list[str]) -> str:
    return "".join(f">{header}\n{text}\n" for header, text in zip(headers, texts))


def _texts(path: Path, config: TaskConfig, rng: np.random.Generator) -> None:
    path.mkdir(parents=True)
    for n in range(N):
        (path / f"{n}.txt").write_text(random_sequence(config.alphabet, rng))


def _coordinates(path: Path, config: TaskConfig) -> None:
    rng = np.random.default_rng(7)
    genome = path.parent / str(config.data.genome)
    genome.write_text(
        _records(["1 of a genome", "X"], ["".join(rng.choice(list("acgtACGT"), 400)) for _ in "12"])
    )
    rows = {"id": range(N), "region": ["chr1", "chrX"] * (N // 2), "start": range(5, 5 + N),
            "end": range(35, 35 + N), "strand": ["+", "-", "-", "+"] * (N // 4)}  # fmt: skip
    path.write_text(_table({name: list(column) for name, column in rows.items()}, path))


def _airr(rng: np.random.Generator) -> dict[str, list]:
    """Heavy chains without stop codons, their regions as texts."""
    codons = [
        a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in ("TAA", "TAG", "TGA")
    ]
    parts = [{name: "".join(rng.choice(codons, n)) for name, n in _REGIONS.items()} for _ in range(N)]
    rows = {name: [part[name] for part in parts] for name in _REGIONS}
    whole = ["".join(part.values()) for part in parts]
    ends = [sum(len(part[name]) for name in list(_REGIONS)[:5]) for part in parts]
    junction = [text[end - 3 : end + 18] for text, end in zip(whole, ends)]
    return rows | {
        "sequence_id": [f"r{n}" for n in range(N)], "sequence": whole, "sequence_alignment": whole,
        "productive": ["T"] * N, "vj_in_frame": ["T"] * N, "stop_codon": ["F"] * N, "rev_comp": ["F"] * N,
        "locus": ["IGH"] * N, "v_call": ["IGHV1-1*01"] * N, "d_call": [""] * N, "j_call": ["IGHJ1*01"] * N,
        "c_call": ["IGHM", "IGHG", "IGHA", "IGHD"] * (N // 4), "junction": junction,
        "junction_aa": [f"CAR{n}" for n in range(N)], "v_sequence_start": ["1"] * N,
        "v_sequence_end": [str(end) for end in ends],
    }  # fmt: skip
