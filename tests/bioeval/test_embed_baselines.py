"""Baselines as models of `embed`: against counting by hand, and against what `eval run` gives a probe."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.schema import checksum
from bioeval.backends import open_model
from bioeval.backends.settings import Running
from bioeval.baselines import BASELINES
from bioeval.protocols import HasTokens
from bioeval.records import baseline as module
from bioeval.records.embedding import EmbedConfig, embed_file
from bioeval.records.embedding_files import read_embeddings
from bioeval.records.inputs import InputConfig
from bioeval.running.toys import toy_tasks
from bioeval.tasks import load_task

DNA = ["ATGGCCAAATAA", "AUGGCCNUAA", "atggct", "GC"]


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(DNA)))
    return path


def config(model: str, source: Path, *, alphabet: Any = "any", **changes: Any) -> EmbedConfig:
    read = InputConfig(inputs=(str(source),), alphabet=alphabet)
    return EmbedConfig(model=model, read=read, **{"out": source.parent / "out.parquet", **changes})


def embedded(settings: EmbedConfig) -> np.ndarray:
    embed_file(settings)
    return read_embeddings(settings.out).layers[0]


def counted(sequence: str, k: int, *, step: int = 1) -> list[float]:
    """Frequencies of the words of a sequence by slicing it."""
    plain = sequence.upper().replace("U", "T")
    found = Counter(plain[i : i + k] for i in range(0, len(plain) - k + 1, step))
    words = ["".join(word) for word in product("ACGT", repeat=k)]
    total = sum(found[word] for word in words)
    return [found[word] / max(1, total) for word in words]


@pytest.mark.parametrize(("name", "sizes", "step"), [("kmer", (1, 2, 3, 4), 1), ("codon-freq", (3,), 3)])
def test_frequencies_are_counts(name: str, sizes: tuple[int, ...], step: int, fasta: Path) -> None:
    found = embedded(config(name, fasta))
    for row, sequence in zip(found, DNA):
        expected = [share for k in sizes for share in counted(sequence, k, step=step)]
        assert row == pytest.approx([*expected, np.log1p(len(sequence))])


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
def test_one_hot_is_as_long_as_the_longest_or_as_asked(
    suffix: str, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CELLS", 100)  # two or so rows at once
    out = tmp_path / f"x{suffix}"
    found = embedded(config("one-hot", fasta, out=out)).reshape(4, 12, 4)
    for row, sequence in zip(found, DNA):
        letters = ["ACGT".index(s) if s in "ACGT" else None for s in sequence.upper().replace("U", "T")]
        expected = np.zeros((12, 4))
        expected[
            [i for i, s in enumerate(letters) if s is not None], [s for s in letters if s is not None]
        ] = 1
        assert np.array_equal(row, expected)
    said = embed_file(config("one-hot", fasta, out=out, positions=5))
    assert said["dimensions"] == 20 and said["long_sequences"].startswith("cut after 5 words")
    held = read_embeddings(out)
    assert np.array_equal(held.layers[0].reshape(4, 5, 4), found[:, :5])
    assert held.checksums == [checksum(s) for s in DNA] and held.about["positions"] == 5


def test_codons_of_one_hot(fasta: Path) -> None:
    said = embed_file(config("one-hot", fasta, unit=3))
    assert (said["dimensions"], said["word"], said["positions"], said["longest"]) == (4 * 64, 3, 4, 4)
    rows = pq.read_table(fasta.parent / "out.parquet")["embedding"].to_pylist()
    codons = ["".join(word) for word in product("ACGT", repeat=3)]
    assert np.flatnonzero(rows[1]).tolist() == [codons.index("ATG"), 64 + codons.index("GCC")]


@pytest.mark.parametrize("alphabet", ["dna", "rna", "protein", "selfies"])
def test_vectors_are_those_of_eval_run(alphabet: Any, tmp_path: Path) -> None:
    tasks = {task.kind: task for task in toy_tasks(alphabet)}
    source = tmp_path / "t.csv"
    for kind, names in (("clustering", ["kmer", "one-hot"]), ("token", ["kmer", "one-hot"])):
        task = tasks[kind]
        sequences = task.table.column("sequence").to_pylist()
        source.write_text("id,sequence\n" + "".join(f"{i},{s}\n" for i, s in enumerate(sequences)))
        many = kind == "token"
        for name in names:
            unit = task.width if many or name == "one-hot" else 0
            changes = {"pooling": "per-residue"} if many else {}
            asked = config(name, source, alphabet=alphabet, unit=0 if unit == 1 else unit, **changes)
            found = embedded(asked)
            made = BASELINES.load(name)(task)
            if many:
                assert isinstance(made, HasTokens)
                assert np.array_equal(found, np.concatenate(made.embed_tokens(sequences, width=task.width)))
                back = open_model(str(asked.out))
                assert isinstance(back, HasTokens)
                assert len(back.embed_tokens(sequences[:1], width=max(1, task.width))) == 1
            else:
                assert np.array_equal(found, made.embed(sequences))
                assert read_embeddings(asked.out).about["embedding_key"] == made.key


def test_a_dataset_says_its_alphabet(planted_task: Path, tmp_path: Path) -> None:
    task = load_task(planted_task)
    for name in ("codon-freq", "kmer"):
        read = InputConfig(inputs=(str(tmp_path / "set"),), split="test")
        settings = EmbedConfig(model=name, read=read, out=tmp_path / "x.npz")
        assert np.array_equal(embedded(settings), BASELINES.load(name)(task).embed(task.sequences("test")))
        assert embed_file(settings)["alphabet"] == "dna"
    protein = tmp_path / "u.fasta"
    protein.write_text(">UniRef50_A a n=2 Tax=Homo TaxID=9605 RepID=A\nMKVX*\n")
    assert embed_file(config("kmer", protein))["alphabet"] == "protein"
    both = InputConfig(inputs=(str(tmp_path / "set"), str(protein)))
    with pytest.raises(ConfigError, match="sequences of dna, protein: a baseline counts letters of one"):
        embed_file(EmbedConfig(model="kmer", read=both, out=tmp_path / "x.npy"))


def test_what_is_left_out_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nACG\n>b\nAC\n")
    table = tmp_path / "t.csv"
    table.write_text("id,sequence\na,ACG\nb,AC,1\nc,AC\n")
    plain, looked = (embed_file(config(name, table))["dropped"] for name in ("kmer", "one-hot"))
    assert plain == looked and sum(plain.values()) == 1
    assert embed_file(config("one-hot", path))["dropped"] == {}


@pytest.mark.parametrize(
    ("model", "changes", "text"),
    [
        ("kmer", {"positions": 3}, "positions = 3 does nothing for baseline 'kmer'"),
        ("run", {"positions": 3}, "positions = 3 does nothing for run, only for one-hot"),
        ("one-hot", {"positions": -1}, "positions = -1, allowed: 0 .as the longest record has. or more"),
        ("one-hot", {"positions": 2, "pooling": "per-residue"}, "does nothing for baseline 'one-hot' by the"),
        ("one-hot", {"layer": "1"}, "layer = '1' does nothing for baseline 'one-hot': it has no weights"),
        ("one-hot", {"running": Running(seed=1)}, "seed = 1 does nothing for baseline"),
        ("kmer", {"pooling": "max"}, "pooling = 'max' does nothing for baseline 'kmer'"),
        ("kmer", {"unit": 3}, "unit = 3, allowed: 0, or with pooling per-residue"),
        ("kmer", {"cache": Path("c")}, "cache = 'c' does nothing for baseline 'kmer': none is kept"),
        ("codon-freq", {"pooling": "per-residue"}, "'codon-freq' gives one vector a sequence"),
    ],
)
def test_what_does_nothing_is_refused(model: str, changes: dict[str, Any], text: str, fasta: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        config(model, fasta, **changes)


@pytest.mark.parametrize(
    ("model", "changes", "error", "text"),
    [
        ("codon-freq", {"alphabet": "protein"}, ConfigError,
         "'codon-freq' makes no sense for protein; possible: aa-composition, kmer, one-hot"),
        ("aa-composition", {"alphabet": "dna"}, ConfigError, "makes no sense for dna; possible: codon-freq"),
        ("one-hot", {"unit": 2}, ConfigError, "unit = 2 of baseline 'one-hot' and dna, allowed: 1 or 3"),
        ("one-hot", {"unit": 3, "alphabet": "protein"}, ConfigError, "and protein, allowed: 1$"),
        ("one-hot", {"positions": 1 << 30}, ConfigError, "positions = 1073741824, allowed: at most 4194304"),
        ("kmer", {"alphabet": "selfies"}, DataError, "record 's0' holds 'A', 'C', 'G', 'T', which selfies"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(
    model: str, changes: dict[str, Any], error: type[Exception], text: str, fasta: Path
) -> None:
    with pytest.raises(error, match=text) as found:
        embed_file(config(model, fasta, **changes))
    assert "\n" not in str(found.value) and not (fasta.parent / "out.parquet").exists()


@pytest.mark.parametrize("name", ["kmer", "one-hot", "codon-freq"])
def test_a_record_of_other_letters_is_named(name: str, fasta: Path) -> None:
    fasta.write_text(">good\nACGT\n>odd\nMKV-E\n")
    with pytest.raises(DataError, match=r"record 'odd' holds '-', 'E', which dna lacks .*--alphabet"):
        embed_file(config(name, fasta))
    assert not (fasta.parent / "out.parquet").exists()


def test_a_one_hot_that_does_not_fit_is_refused(fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CELLS", 4 * 12 * 4 - 1)
    with pytest.raises(ConfigError, match=r"4 records, the longest of 12 words, take 0\.0 GiB: say with"):
        embed_file(config("one-hot", fasta))
    assert embed_file(config("one-hot", fasta, positions=11))["n"] == 4


def test_molecules_are_read_token_by_token(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "selfies": ["[C][O][C]", "[C]"]}), path)
    found = embedded(config("kmer", path, alphabet="selfies"))
    assert found[0] == pytest.approx([2 / 3, 1 / 3, 0, 0.5, 0.5, 0, np.log1p(3)])
    about = json.loads(pq.read_schema(path.parent / "out.parquet").metadata[b"seqloom"])
    assert about["letters"] == ["[C]", "[O]"]
