from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError
from biodata.tokenizers import TOKENIZERS, TokenizerConfig, load_tokenizer, train_tokenizer
from tests.contract_tokenizer import check_tokenizer

SEQUENCES = {
    "dna": ["ATGGCCAAATTTGGGTAA" * 5, "ATGACGATCGATCAGGGCTAG" * 4],
    "protein": ["MKTAYIAKQRQISFVKSH" * 9],
    "selfies": ["[C][Branch1][N].[O]", "[C][=O]"],
}
TEXTS = ["a kinase of escherichia coli", "a protein kinase"]
ALPHABET = {"aa": "protein", "selfies": "selfies"}
SIZE = {"joint": 450}


def write_parquet(path: Path, alphabet: str) -> Path:
    rows = SEQUENCES[alphabet]
    columns = {"sequence": rows, "alphabet": [alphabet] * len(rows), "text": TEXTS[: len(rows)]}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_kind_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "x.parquet", ALPHABET.get(kind, "dna"))
    size = SIZE.get(kind)
    result = train_tokenizer(TokenizerConfig(kind=kind, data=data, out=tmp_path / "tok", vocab_size=size))
    assert result["kind"] == kind and result["unknown_rate"] == 0
    check_tokenizer(load_tokenizer(tmp_path / "tok"), tmp_path)


@pytest.mark.parametrize(("k", "overlap"), [(1, 0), (2, 1), (3, 1), (4, 0), (5, 2), (6, 5), (8, 7)])
def test_kmers_of_any_length_and_overlap_keep_the_contract(k: int, overlap: int, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "x.parquet", "dna")
    config = TokenizerConfig(kind="kmer", k=k, overlap=overlap, data=data, out=tmp_path / "tok")
    assert train_tokenizer(config)["vocab_size"] == 4**k + 6
    check_tokenizer(load_tokenizer(tmp_path / "tok"), tmp_path)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "sentencepiece"])
def test_learnt_protein_pieces_keep_the_contract(kind: str, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "x.parquet", "protein")
    train_tokenizer(TokenizerConfig(kind=kind, data=data, out=tmp_path / "tok", vocab_size=60))
    check_tokenizer(load_tokenizer(tmp_path / "tok"), tmp_path)


@pytest.mark.parametrize(("alias", "kind"), [("3mer", "codon"), ("wp", "wordpiece"), ("ug", "unigram")])
def test_short_names(alias: str, kind: str, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "x.parquet", "dna")
    assert train_tokenizer(TokenizerConfig(kind=alias, data=data, out=tmp_path / "t"))["kind"] == kind


def test_the_kinds_are_those_of_the_contract() -> None:
    assert sorted(TOKENIZERS) == ["6mer", "aa", "bpe", "codon", "joint", "kmer", "nuc", "nuc16", "selfies",
                                  "sentencepiece", "unigram", "wordpiece"]  # fmt: skip
    with pytest.raises(ConfigError, match="unknown tokenizer kind 'codn', did you mean 'codon'"):
        TOKENIZERS.load("codn")
