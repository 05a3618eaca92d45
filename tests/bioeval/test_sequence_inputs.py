"""`eval sequences` and `eval distances` read whatever `data build` reads, alike from every form."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord

from biodata.errors import ConfigError, DataError
from bioeval.distances.windows import parse_group, read_groups
from bioeval.metrics.sequence_set import CHARACTERS, NUCLEOTIDES, RESIDUES
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences
from bioeval.sequences.inputs import Reading, input_fingerprint, letters_of, read_set

RNG = np.random.default_rng(5)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), length)) for length in RNG.integers(60, 150, 12)]
IDS = [f"r{i}" for i in range(12)]
QUICK = {"resamples": 20, "persistence_resamples": 20, "metrics": ("kmer",), "kmers": (1, 2)}


def written(format: str) -> str:
    """The sequences as Biopython writes them."""
    records = [SeqRecord(Seq(s), id=i, name=i, description="", annotations={"molecule_type": "DNA"})
               for i, s in zip(IDS, SEQUENCES)]  # fmt: skip
    for record in records:
        record.letter_annotations["phred_quality"] = [30] * len(record)
    handle = StringIO()
    SeqIO.write(records, handle, format)
    return handle.getvalue()


def table(separator: str, *, column: str = "sequence") -> str:
    rows = [f"{i}{separator}{s}{separator}7" for i, s in zip(IDS, SEQUENCES)]
    return "\n".join([separator.join(("id", column, "label")), *rows]) + "\n"


PLAIN: dict[str, Callable[[], str]] = {
    "a.fa": lambda: written("fasta"),
    "a.gbff": lambda: written("genbank"),
    "a.embl": lambda: written("embl"),
    "a.fastq": lambda: written("fastq"),
    "a.csv": lambda: table(","),
    "a.tsv": lambda: table("\t", column="cds"),
}
PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}


def read(path: Path, **more: object) -> list[str]:
    settings = {"split": "test", "limit": 0, "seed": 0, **more}
    return read_set(path, **settings).sequences.strings()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("ending", PACKED)
def test_every_format_gives_the_same_sequences(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / (name + ending)
    path.write_bytes(PACKED[ending](PLAIN[name]().encode()))
    found = read_set(path, split="test", limit=0, seed=0)
    assert found.sequences.strings() == SEQUENCES and list(found.sequences.ids) == IDS and found.found == 12
    assert letters_of(path, "test", "auto") == NUCLEOTIDES
    assert set(input_fingerprint(path)) == {"name", "sha256"}


def test_parquet_of_any_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"seq": SEQUENCES, "mine": SEQUENCES[::-1]}), path)
    assert read(path) == SEQUENCES
    assert read(path, reading=Reading(column="mine")) == SEQUENCES[::-1]
    pq.write_table(pa.table({"sequence": SEQUENCES, "mine": SEQUENCES[::-1], "cluster": [3] * 12}), path)
    own = read_set(path, split="test", limit=0, seed=0)
    assert own.families is not None and own.families.tolist() == [3] * 12
    assert read(path, reading=Reading(column="mine")) == SEQUENCES[::-1]


def test_a_pattern_is_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a1.gbff.gz").write_bytes(gzip.compress(written("genbank").encode()))
    (tmp_path / "deep" / "a2.csv").write_text(table(","))
    (tmp_path / "other.txt").write_text("nothing of the kind\n")
    assert read(tmp_path / "a*") == SEQUENCES
    assert read(tmp_path / "**" / "a*.*") == SEQUENCES * 2
    drawn = read_set(tmp_path / "**" / "a*.*", split="test", limit=5, seed=1)
    assert drawn.found == 24 and len(drawn.sequences) == 5
    again = read_set(tmp_path / "**" / "a*.*", split="test", limit=5, seed=1)
    assert drawn.sequences.strings() == again.sequences.strings()
    found = input_fingerprint(tmp_path / "a*")
    assert found["name"] == "a*" and found != input_fingerprint(tmp_path / "**" / "a*.*")


def test_the_format_says_what_molecules_are(tmp_path: Path) -> None:
    uniref, smiles = tmp_path / "u.fasta", tmp_path / "m.smi.gz"
    uniref.write_text(">UniRef50_P1 Kinase n=2 Tax=Homo sapiens TaxID=9606 RepID=P1_HUMAN\nMEEPQSDPSV\n" * 4)
    smiles.write_bytes(gzip.compress(b"CCO ethanol\nCC(=O)O acid\nc1ccccc1 benzene\n"))
    assert (letters_of(uniref, "test", "auto"), letters_of(smiles, "test", "auto")) == (RESIDUES, CHARACTERS)
    assert read(smiles, reading=Reading(CHARACTERS)) == ["CCO", "CC(=O)O", "c1ccccc1"]
    made = evaluate_sequences(
        SequencesConfig(generated=uniref, reference=uniref, out=tmp_path / "out", **{**QUICK, "kmers": (1,)})
    )
    assert made["metrics"]["kmer_kl_k1"]["value"] == 0


def test_results_do_not_depend_on_the_form(tmp_path: Path) -> None:
    for name in ("a.fa", "a.gbff", "a.csv"):
        (tmp_path / name).write_text(PLAIN[name]())
    found = []
    for n, (generated, reference) in enumerate((("a.fa", "a.fa"), ("a.csv", "a.gbff"), ("a.c*", "a.g*f"))):
        config = SequencesConfig(
            generated=tmp_path / generated, reference=tmp_path / reference, train=tmp_path / reference,
            canaries=tmp_path / reference, out=tmp_path / str(n), max_sequences=9, **QUICK,
        )  # fmt: skip
        made = evaluate_sequences(config)
        assert str(tmp_path) not in str(made)
        found.append({k: v for k, v in made.items() if k != "inputs"})
    assert found[0] == found[1] == found[2]


def test_distances_take_them_too(tmp_path: Path) -> None:
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "one.gbff").write_text(written("genbank"))
    (folder / "two.csv").write_text(table(",", column="mine"))
    (tmp_path / "b.tsv").write_text(table("\t", column="mine"))
    groups = [parse_group(text) for text in (f"a={folder}", f"b={tmp_path / 'b.tsv'}")]
    _, (a, b) = read_groups(groups, window=50, windows=8, seed=0, column="mine")
    assert (a.sequences, b.sequences) == (24, 12) and a.letters == 2 * b.letters == 2 * len(
        "".join(SEQUENCES)
    )
    assert parse_group("x/plasmids.gbff.gz").full == "plasmids"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", b"name,value\nx,1\ny,2\n", "no column of sequences in 'name,value'"),
        ("a.txt", b"hello world\nhow are you\n", "not a known format"),
        ("a.csv.gz", gzip.compress(table(",").encode())[:-20], "cannot be decompressed"),
        ("a.csv", b"id,sequence\nx,MEEPQ\n", "record 'x' has 'E', .*alphabet = protein"),
        ("a.fastq", written("fastq").encode()[:-40], "quality|letters|cut"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, text: bytes, message: str) -> None:
    good, bad = tmp_path / "good.fa", tmp_path / name
    good.write_text(written("fasta"))
    bad.write_bytes(text)
    for settings in ({"generated": bad, "reference": good}, {"generated": good, "reference": bad}):
        with pytest.raises(DataError, match=message) as error:
            evaluate_sequences(SequencesConfig(out=tmp_path / "out", **settings, **QUICK))
        assert str(bad) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_wrong_names_are_one_line(tmp_path: Path) -> None:
    good = tmp_path / "good.fa"
    good.write_text(written("fasta"))
    with pytest.raises(ConfigError, match="no such file, folder or pattern"):
        evaluate_sequences(
            SequencesConfig(generated=tmp_path / "*.gbff", reference=good, out=tmp_path / "out", **QUICK)
        )
    with pytest.raises(ConfigError, match="sequence_column = 'mine' does nothing: none of the inputs is a t"):
        evaluate_sequences(
            SequencesConfig(generated=good, reference=good, sequence_column="mine", out=tmp_path / "out")
        )
    (tmp_path / "a.csv").write_text(table(","))
    with pytest.raises(DataError, match="mine"):
        evaluate_sequences(
            SequencesConfig(
                generated=tmp_path / "a.csv", reference=good, sequence_column="mine", out=tmp_path / "out"
            )
        )


def test_records_that_cannot_be_read_are_told_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text(table(",") + "empty,,3\n")
    (tmp_path / "a.gbff").write_text(written("genbank")[:-100])
    config = SequencesConfig(
        generated=tmp_path / "a.csv", reference=tmp_path / "a.gbff", out=tmp_path / "out", **QUICK
    )
    made, said = evaluate_sequences(config), capsys.readouterr().err
    assert "no-sequence 1" in said and "truncated-record 1; first: a.gbff:147 16 letters" in said
    assert made["dropped"] == {"generated": {"no-sequence": 1}, "reference": {"truncated-record": 1}}
    assert made["found"] == {"generated": 12, "reference": 11}


def test_no_record_of_the_alphabet_says_why(tmp_path: Path) -> None:
    protein = StringIO()
    record = SeqRecord(Seq("MEEPQSDPSV"), id="P1", name="P1", annotations={"molecule_type": "protein"})
    SeqIO.write([record] * 5, protein, "genbank")
    (tmp_path / "a.gp").write_text(protein.getvalue())
    with pytest.raises(DataError, match=r"a\.gp: no records \(left out: [a-z-]+ 5\)"):
        read(tmp_path / "a.gp")
    assert read(tmp_path / "a.gp", reading=Reading(RESIDUES)) == ["MEEPQSDPSV"] * 5
