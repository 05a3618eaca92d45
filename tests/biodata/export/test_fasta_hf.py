from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from Bio import SeqIO

from biodata.curate.interleave import InterleaveConfig
from biodata.dataset import Dataset
from biodata.errors import ConfigError, DataError
from biodata.export import EXPORTS, ExportConfig, export_dataset
from biodata.files import read_json
from biodata.schema import SPLITS
from biodata.splits.verify import verify_dataset
from biodata.tokenizers import load_tokenizer


def test_biopython_reads_the_fasta(dataset: Dataset, tmp_path: Path) -> None:
    result = export_dataset(ExportConfig(data=dataset.path, to="fasta", out=tmp_path / "x"))
    assert result["rows"] == dataset.splits
    for split in dataset.splits:
        path = tmp_path / f"x_{split}.fasta"
        rows = dataset.table(split).to_pylist()
        with open(path) as handle:
            found = [(r.id, str(r.seq), r.description) for r in SeqIO.parse(handle, "fasta")]
        assert found == [(r["id"], r["sequence"], f"{r['id']} {r['description']}") for r in rows]
        assert max(map(len, path.read_text().splitlines()[1::2])) <= 80


@pytest.mark.parametrize(("name", "value"), [("order", "text-first"), ("seed", 4), ("max_document", 9)])
def test_settings_of_documents_are_refused_elsewhere(name: str, value: object, tmp_path: Path) -> None:
    documents = InterleaveConfig(**{name: value})
    with pytest.raises(ConfigError, match=f"{name} = {value!r} is for --to documents, but this is fasta"):
        ExportConfig(data=tmp_path, to="fasta", out=tmp_path / "x", documents=documents)


@pytest.mark.parametrize("with_tokens", [False, True])
def test_datasets_reads_the_folder(dataset: Dataset, codons: Path, tmp_path: Path, with_tokens: bool) -> None:
    tokenizer = codons if with_tokens else None
    out = tmp_path / "hf"
    for _ in range(2):  # again over itself
        export_dataset(ExportConfig(data=dataset.path, to="hf", out=out, tokenizer=tokenizer))
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == dataset.splits
    assert loaded["train"]["sequence"][:] == dataset.sequences("train").to_pylist()
    assert ("input_ids" in loaded["train"].column_names) == with_tokens
    card = (out / "README.md").read_text()
    assert card.startswith("---\n") and "configs:" in card and ("## Token ids" in card) == with_tokens
    if with_tokens:
        codon = load_tokenizer(out / "tokenizer")
        expected = [codon.encode(s) for s in dataset.sequences("test").to_pylist()]
        assert loaded["test"]["input_ids"][:] == expected


def test_an_export_says_what_it_holds_and_is_verified(dataset: Dataset, codons: Path, tmp_path: Path) -> None:
    for name, splits, tokenizer in (("all", tuple(SPLITS), codons), ("two", ("train", "test"), None)):
        out = tmp_path / name
        made = export_dataset(
            ExportConfig(data=dataset.path, to="hf", out=out, splits=splits, tokenizer=tokenizer)
        )
        files = sorted(str(path) for path in out.rglob("*") if path.is_file())
        assert sorted(made["files"]) == files
        found = verify_dataset(out, threads=1, effort=1)
        assert found["ok"], found["problems"]
        manifest, rows = read_json(out / "manifest.json"), sum(made["rows"].values())
        assert manifest["rows"] == rows and sum(manifest["splits"].values()) == rows
        assert manifest["exported_from"]["fingerprint"] == dataset.manifest["fingerprint"]
        card = (out / "README.md").read_text()
        assert f"# {rows} dna sequences" in card and "removed/" not in card
        assert f"`{dataset.manifest['fingerprint'][:16]}` of 60 rows" in card
    assert "| validation | 0 |" in card


def test_folders_of_others_are_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.parquet").write_text("")
    with pytest.raises(ConfigError, match=r"is not empty \('data' is there\)"):
        export_dataset(ExportConfig(data=dataset.path, to="hf", out=tmp_path))
    with pytest.raises(ConfigError, match="is not empty"):
        export_dataset(ExportConfig(data=dataset.path, to="hf", out=dataset.path))
    assert (tmp_path / "data" / "mine.parquet").exists() and (dataset.path / "manifest.json").exists()


@pytest.mark.parametrize("form", EXPORTS)
def test_every_form_refuses_what_is_no_dataset_and_wrong_splits(
    form: str, codons: Path, tmp_path: Path
) -> None:
    tokenizer = codons if form == "megatron" else None
    with pytest.raises(DataError, match="no such folder"):
        export_dataset(ExportConfig(data=tmp_path / "no", to=form, out=tmp_path / "x", tokenizer=tokenizer))
    for splits, message in ((("tain",), "allowed: train, validation, test"), ((), "splits = 'none'"),
                            (("train", "train"), "each once")):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            ExportConfig(data=tmp_path, to=form, out=tmp_path / "x", tokenizer=tokenizer, splits=splits)
    with pytest.raises(ConfigError, match="FASTA holds letters"):
        ExportConfig(data=tmp_path, to="fasta", out=tmp_path / "x", tokenizer=codons)
