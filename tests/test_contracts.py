"""Runs the contract of its kind on every entry of every catalog; a new entry is picked up by itself."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.catalog import Catalog
from biodata.codon import CODONS
from biodata.fetch.remote import Request
from biodata.io import READERS
from biodata.schema import BioSequence, table_from_records
from biodata.sources import SOURCES
from biodata.splits.ways import SPLITTERS
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.special import SPECIAL_TOKENS
from bioeval.baselines import BASELINES
from bioeval.metrics import METRICS
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.probes import PROBES
from bioeval.tasks import load_task, task_names
from bioeval.tasks.loader import read_task
from biotrain.losses import LOSSES, LossConfig, build_loss
from biotrain.models import MODELS
from biotrain.objectives import OBJECTIVES, ObjectiveConfig, build_objective
from biotrain.optim import OPTIMIZERS

from .archive_layouts import (
    REFSEQ_FILES,
    oas_units,
    pubchem_extras,
    refseq_release,
    tcrdb_folder,
    uniref_release,
    vdjdb_commit,
    zinc_tranches,
)
from .biodata.test_uniref import xml_of
from .contracts import (
    check_export,
    check_loss,
    check_metric,
    check_model,
    check_objective,
    check_optimizer,
    check_probe,
    check_reader,
    check_source,
    check_splitter,
    check_task,
    check_task_file,
)

_GENBANK = b"""LOCUS       ONE                       12 bp    DNA     linear   UNK 01-JAN-2025
DEFINITION  first.
ACCESSION   ONE
FEATURES             Location/Qualifiers
     CDS             1..12
                     /product="p"
ORIGIN
        1 atggccgcat aa
//
"""
_EMBL = b"""ID   ONE; SV 1; linear; genomic DNA; STD; UNC; 12 BP.
XX
DE   first
XX
SQ   Sequence 12 BP; 5 A; 3 C; 3 G; 1 T; 0 other;
     atggccgcat aa                                                            12
//
"""


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


EXAMPLES = {
    "fasta": b">one first\nATGGCC\nGCATAA\n>two\nATGTAA\n",
    "genbank": _GENBANK + _GENBANK.replace(b"ONE", b"TWO"),
    "embl": _EMBL + _EMBL.replace(b"ONE", b"TWO"),
    "fastq": b"@one first\nATGGCC\n+\nIIIIII\n@two\nATG\n+\n!!!\n",
    "airr": b"sequence_id\tsequence\trev_comp\tproductive\tv_call\none\tATG\tF\tT\t\ntwo\tACC\tF\tT\tIGHV1\n",
    "oas": b'"{""Run"": ""R1"", ""Unique sequences"": 2}"\nsequence,locus,productive\nATG,H,T\nACC,H,T\n',
    "parquet": _parquet(pa.table({"id": ["one", "two"], "sequence": ["ATG", "ACC"]})),
    "seqloom": _parquet(
        table_from_records([BioSequence(id=i, sequence="ATG", alphabet="dna") for i in ("one", "two")])
    ),
    "smiles": b"CCO one\nC=O two\n",
    "table": b"id,sequence\none,ATG\ntwo,ACC\n",
    "tcrdb": b"RunId\tAASeq\tVregion\nR1\tCASSF\tTRBV1\nR1\tCASF\tUnknown\n",
    "uniref": b">UniRef50_A a n=2 Tax=Homo TaxID=9605 RepID=A\nMKV\n>UniRef50_B b n=1 Tax=x RepID=B\nMK\n",
    "uniref-xml": xml_of(2).encode(),
    "vdjdb": b"cdr3.alpha\tcdr3.beta\tantigen.epitope\nCAVF\tCASSF\tGILGFVFTL\n",
}
"""Two records of every format; a new reader needs one here."""

ARCHIVES = {
    "oas": (
        oas_units(
            {"A_2017/csv/S1_Heavy.csv.gz": {"Chain": "Heavy"}, "A_2017/csv/S2.csv.gz": {"Chain": "Light"}}
        ),
        [Request(part=part, what="csv") for part in ("heavy", "light", "unpaired")],
    ),
    "pubchem": (pubchem_extras(b"1\tCCO\n"), [Request(part="", what="smiles")]),
    "tcrdb": (tcrdb_folder({"PRJNA1": b"AASeq\n"}), [Request(part="", what="tsv")]),
    "vdjdb": (vdjdb_commit({"PMID_1.txt": b"cdr3.beta\n"}), [Request(part="", what="chunks")]),
    "zinc": (zinc_tranches({"AAAA": b"smiles zinc_id\n", "BAAA": b"x"}), [Request(part="", what="2d")]),
    "refseq": (
        refseq_release({"viral": {f"viral.{n}.{k}": b">NC_1.1" for n in (1, 2) for k in REFSEQ_FILES}}),
        [Request(part="viral", what=kind) for kind in SOURCES.load("refseq").kinds],
    ),
    "uniref": (
        uniref_release(50, {"uniref50.fasta": b">A\nM\n", "uniref50.xml": b"<UniRef/>"}),
        [Request(part="50", what="fasta"), Request(part="50", what="xml")],
    ),
}
"""A played archive and requests to it for every source; a new source needs one here."""


@pytest.mark.parametrize(
    ("name", "bidirectional"),
    [(n, b) for n in MODELS if "image" not in MODELS.load(n).takes for b in MODELS.load(n).directions],
)
def test_model(name: str, bidirectional: bool):
    check_model(name, bidirectional=bidirectional)


@pytest.mark.parametrize(
    ("name", "bidirectional"), [(n, b) for n in MODELS for b in MODELS.load(n).directions]
)
def test_export(name: str, bidirectional: bool, tmp_path: Path):
    check_export(name, tmp_path, bidirectional=bidirectional)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str):
    tokens = (*SPECIAL_TOKENS, *(CODONS if name != "topological" else "ACGT"))
    check_loss(build_loss(LossConfig(name=name), tokens=tokens), vocab_size=len(tokens))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "image_diffusion"])
def test_objective(name: str):
    tokens = train_joint(["a"], vocab_size=400).tokens[:40]
    check_objective(build_objective(ObjectiveConfig(name=name), vocab_size=40, tokens=tokens))


@pytest.mark.parametrize("name", READERS)
def test_reader(name: str, tmp_path: Path):
    check_reader(READERS.load(name), EXAMPLES[name], tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_source(name: str, tmp_path: Path):
    check_source(SOURCES.load(name), *ARCHIVES[name], tmp_path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str):
    check_optimizer(name)


@pytest.mark.parametrize("name", METRICS)
def test_metric(name: str):
    needs_training_set = {"train": SequenceSet.from_strings(["ATGGCAAAAGATTAA" * 6])}
    found = METRICS.load(name)
    check_metric(found(**needs_training_set) if name in ("nearest", "longest-match") else found())


@pytest.mark.parametrize("name", PROBES)
def test_probe(name: str):
    check_probe(PROBES.load(name)())


@pytest.mark.parametrize("name", task_names())
def test_task_file(name: str):
    check_task_file(name)


@pytest.mark.parametrize("name", sorted({name.split(":")[0]: name for name in task_names()}.values()))
def test_task(name: str, tmp_path: Path):
    check_task(name, tmp_path)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline(name: str, tmp_path: Path):
    protein = name == "aa-composition"
    first, alphabet, unit = ("MA", "protein", "residue") if protein else ("ATGGCA", "dna", "codon")
    rows = [f"{first}{'GCA' * n},{n},{s}" for n, s in enumerate(["train", "validation", "test"] * 4, 1)]
    (tmp_path / "t.csv").write_text("sequence,value,split\n" + "\n".join(rows) + "\n")
    lines = ("name: t", "title: t", "data: {file: t.csv}", f"alphabet: {alphabet}", f"unit: {unit}",
             "columns: {sequence: sequence, value: value, split: split}", "metric: spearman")  # fmt: skip
    (tmp_path / "t.yaml").write_text("\n".join(lines) + "\n")
    embedder = BASELINES.load(name)(load_task(tmp_path / "t.yaml"))
    found = embedder.embed([first, first.replace("T", "U"), f"{first}GCATAA"])
    assert found.shape[0] == 3 and found.dtype == np.float32 and np.isfinite(found).all()
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_task_names_are_unique_and_found_by_name():
    assert task_names() and len({read_task(name)[0].name for name in task_names()}) == len(task_names())


@pytest.mark.parametrize("name", sorted(SPLITTERS))
def test_splitter(name: str):
    check_splitter(name)


def test_every_catalog_has_a_contract():
    """A new kind of thing needs a contract here; tokenizers have theirs in tests/biodata/tokenizers."""
    checked = {"model", "optimizer", "loss", "objective", "format", "metric", "probe", "baseline",
               "tokenizer kind", "source", "split"}  # fmt: skip
    other = {"schedule", "backend", "export", "log", "task format"}
    packages = [importlib.import_module(name) for name in ("biodata", "biotrain", "bioeval")]
    names = [m.name for p in packages for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    kinds = {v.kind for m in modules for v in vars(m).values() if isinstance(v, Catalog)}
    assert checked <= kinds and kinds - checked <= other, kinds - checked - other


def test_the_architecture_page_names_real_tables(project: Path):
    page = (project / "docs" / "architecture.md").read_text()
    named = re.findall(r"`([A-Z]+)` in `([\w/]+\.py)`", page)
    assert len(named) >= 7
    for table, path in named:
        module = importlib.import_module(path[:-3].removesuffix("/__init__").replace("/", "."))
        found = getattr(module, table)
        assert isinstance(found, Catalog), f"{table} in {path}"
        assert all(callable(found.load(name)) or found.load(name) is not None for name in found)


def test_the_architecture_page_names_files_that_exist(project: Path):
    page = (project / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:biodata|biotrain|bioeval|tests|recipes|cli)/[^`\s]*)`", page)
    assert len(named) >= 20
    for path in named:
        assert list(project.glob(path.replace("NAME", "*"))), f"docs/architecture.md names {path}"
