import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers

from biodata.alphabet import PROTEIN
from biodata.errors import ConfigError, DataError
from biodata.files import read_json, write_json
from biodata.tokenizers import TokenizerConfig, load_tokenizer, train_tokenizer
from biodata.tokenizers.bpe import _by_trainer, train_bpe
from biodata.tokenizers.merges import learn_merges

PROGRAM = """
import sys, numpy as np
from pathlib import Path
from biodata.tokenizers.bpe import _by_trainer, train_bpe
from biodata.tokenizers.merges import learn_merges
letters = np.random.default_rng(1).choice(list("ACGT"), (300, 200))
train_bpe(["".join(row) for row in letters], alphabet="dna", vocab_size=300).save(Path(sys.argv[1]))
"""


def test_merges_do_not_depend_on_threads(tmp_path: Path, project: Path) -> None:
    for threads in ("1", "4"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(project)}
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / threads)], check=True, env=environment)
    assert (tmp_path / "1/tokenizer.json").read_bytes() == (tmp_path / "4/tokenizer.json").read_bytes()


@given(
    letters=st.sampled_from(["A", "AC", "ACGT", "".join(sorted(PROTEIN.letters))]),
    merges=st.integers(1, 120),
    repeats=st.integers(1, 3),
    data=st.data(),
)
@settings(deadline=None, max_examples=150)
def test_merges_are_those_of_the_trainer_of_tokenizers(letters, merges, repeats, data) -> None:
    rows = data.draw(st.lists(st.text(letters, max_size=60).map(lambda row: row * repeats), max_size=12))
    learner = Tokenizer(models.BPE())
    size = len(letters) + merges
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(letters), show_progress=False)
    learner.train_from_iterator(rows, trainer)
    expected = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    assert learn_merges(rows, letters=letters, merges=merges) == expected


def test_merges_of_much_text_are_those_of_the_trainer_too() -> None:
    rows = [
        "".join(r) for r in np.random.default_rng(2).choice(list("ACGT"), (400, 500), p=[0.4, 0.1, 0.2, 0.3])
    ]
    ours = train_bpe(rows, alphabet="dna", vocab_size=3000)
    theirs = _by_trainer(rows, "dna", 3000)
    assert ours.tokens == theirs.tokens and ours.portable.to_str() == theirs.portable.to_str()


def test_a_foreign_letter_is_an_error() -> None:
    with pytest.raises(DataError, match="letter 'N' to learn from, allowed: ACGT"):
        learn_merges(["ACGN"], letters="ACGT", merges=3)


def test_alphabet_is_complete_even_if_the_data_is_not() -> None:
    assert train_bpe(["AAAA"], alphabet="dna", vocab_size=12).tokens[6:10] == ("A", "C", "G", "T")
    assert set("ACDEFGHIKLMNPQRSTVWYUOBZJX*") <= set(
        train_bpe(["MK"], alphabet="protein", vocab_size=40).tokens
    )


@given(text=st.text("ACGTacgtuU", max_size=80))
@settings(deadline=None, max_examples=50)
def test_decoding_gives_the_text_back(text: str) -> None:
    tokenizer = train_bpe(["ATGATGGCC", "GCCGCCATG"], alphabet="dna", vocab_size=20)
    assert tokenizer.decode(tokenizer.encode(text)) == text.upper().replace("U", "T")


def test_each_unknown_letter_is_one_unk() -> None:
    tokenizer = train_bpe(["ATGATG"], alphabet="dna", vocab_size=12)
    assert tokenizer.encode("ATGNNATG").count(3) == 2


def test_n_and_lower_case_do_not_become_tokens(tmp_path: Path) -> None:
    data = tmp_path / "x.parquet"
    write(data, ["atgNNNatgaugRatg" * 20] * 3, "dna")
    result = train_tokenizer(TokenizerConfig(kind="bpe", data=data, out=tmp_path / "t", vocab_size=20))
    tokens = load_tokenizer(tmp_path / "t").tokens[6:]
    assert set("".join(tokens)) == set("ACGT") and 0.2 < result["unknown_rate"] < 0.9


def test_a_sample_is_drawn_by_seed_from_all_over_the_data(tmp_path: Path) -> None:
    rows = ["".join(r) for r in np.random.default_rng(0).choice(list("ACGT"), (50, 2000))]
    write(tmp_path / "x.parquet", rows, "dna")
    tokens = []
    for number, seed in enumerate((1, 1, 2)):
        config = TokenizerConfig(
            kind="bpe",
            data=tmp_path / "x.parquet",
            out=tmp_path / str(number),
            vocab_size=100,
            sample_letters=5000,
            piece_letters=100,
            seed=seed,
        )
        assert train_tokenizer(config)["letters"] == 5000
        tokens.append((tmp_path / str(number) / "tokenizer.json").read_bytes())
    assert tokens[0] == tokens[1] != tokens[2]


def test_fewer_tokens_than_asked_for_are_said(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", ["ATGATG"], "dna")
    result = train_tokenizer(TokenizerConfig(kind="bpe", data=tmp_path / "x.parquet", out=tmp_path / "t"))
    assert result["vocab_size"] < 20 and "not the" not in str(result["warnings"])
    config = TokenizerConfig(kind="bpe", data=tmp_path / "x.parquet", out=tmp_path / "t", vocab_size=50)
    assert "not the 50 asked for" in train_tokenizer(config)["warnings"][0]


def test_alphabet_is_never_guessed(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", ["ATGATG"], None)
    config = TokenizerConfig(kind="bpe", data=tmp_path / "x.parquet", out=tmp_path / "t")
    with pytest.raises(ConfigError, match="does not say its alphabet: give alphabet = dna or protein"):
        train_tokenizer(config)


def test_vocabulary_smaller_than_the_alphabet_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocab_size = 9, allowed: 10 or more"):
        train_bpe(["A"], alphabet="dna", vocab_size=9)


def test_changed_alphabet_field_is_refused(tmp_path: Path) -> None:
    train_bpe(["ATG"], alphabet="dna", vocab_size=12).save(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"alphabet": "dna"', '"alphabet": "rna"'))
    with pytest.raises(DataError, match="alphabet 'rna'"):
        load_tokenizer(tmp_path)


def test_broken_merges_are_refused(tmp_path: Path) -> None:
    train_bpe(["ATG"], alphabet="dna", vocab_size=12).save(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = read_json(file)
    for merges, message in ([["A", "X"]], "needs 'AX'"), ([["A"]], "is no pair"), (None, "no merges"):
        content["model"]["merges"] = merges
        write_json(file, content)
        with pytest.raises(DataError, match=message):
            load_tokenizer(tmp_path)


def write(path: Path, rows: list[str], alphabet: str | None) -> None:
    import pyarrow.parquet as pq

    columns = (
        {"sequence": rows} if alphabet is None else {"sequence": rows, "alphabet": [alphabet] * len(rows)}
    )
    pq.write_table(pa.table(columns), path)
