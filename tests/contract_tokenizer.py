"""What every tokenizer of the catalog must do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers

from biodata.errors import DataError
from biodata.files import read_json
from biodata.tokenizers import SPECIAL_TOKENS, Tokenizer, load_tokenizer
from biodata.tokenizers.special import BOS, EOS

DNA_ROWS = ["", "A", "AC", "ATG", "ATGGCC", "ATGGCCA", "acgtu", "ATGNNNGCC", "AUGGCU", "ACRYKM", "A C G",
            "AT\nG", "ATG-GCC", "ACGTACGTACGTACGTACGTA", "é", "ATGéGCC", "NNNNNNN", "<", "a<b>c"]  # fmt: skip
PROTEIN_ROWS = ["", "M", "MKV", "mkvUO", "MK*", "BZJX", "M-K", "M K", "MKTAYIAKQRQISFVKSHFSRQ", "é", "<", "1"]

SELFIES_ROWS = [
    "",
    "[C]",
    "[C][=O].[O]",
    "[C][Branch1][N]",
    "[C] [O]",
    "C",
    "[C",
    "[]",
    "[[C]]",
    "é[C]",
    "[C]\n[O]",
]
JOINT_ROWS = [
    "",
    "a kinase",
    "<text>A Kinase</text><dna>ACGTNacgu</dna>",
    "<protein>MKVuoX*</protein>",
    "acgt",
    "<dna>AC-R GT</dna> then text",
    "<dna>AC",
    "<dna></dna>",
    "é Ω ᵈA ᵖM",
    "<dna>é</dna>",
    "<",
    "a<b>c",
    "<protein>M1K</protein><dna>A\nC</dna>",
    "</dna>ACGT",
    "<text>catgat</text>",
    "<dna>A<x>C</dna>",
]
ROWS = {"dna": DNA_ROWS, "protein": PROTEIN_ROWS, "selfies": SELFIES_ROWS, "joint": JOINT_ROWS}


def canonical(tokenizer: Tokenizer, row: str) -> str:
    """A row as decoding writes it: upper case, U as T in nucleotides; text in lower case."""
    if tokenizer.alphabet == "selfies":
        return row
    if tokenizer.alphabet == "joint":
        parts = re.split("(<dna>[^<]*|<protein>[^<]*)", row.replace("ᵈ", "d").replace("ᵖ", "p"))
        dna = [f"<dna>{p[5:].upper().replace('U', 'T')}" if p.startswith("<dna>") else p for p in parts]
        return "".join(
            f"<protein>{p[9:].upper()}"
            if p.startswith("<protein>")
            else p
            if p.startswith("<dna>")
            else p.lower()
            for p in dna
        )
    return row.upper().replace("U", "T") if tokenizer.alphabet == "dna" else row.upper()


def check_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Runs every check; `folder` is an empty place to save into."""
    rows = ROWS[tokenizer.alphabet]
    check_vocabulary(tokenizer)
    check_columns(tokenizer, rows)
    check_round_trip(tokenizer, rows)
    check_folder(tokenizer, rows, folder)


def check_vocabulary(tokenizer: Tokenizer) -> None:
    """Special ids, distinct tokens, one for each letter's reading."""
    assert tokenizer.tokens[: len(SPECIAL_TOKENS)] == SPECIAL_TOKENS
    assert len(set(tokenizer.tokens)) == len(tokenizer.tokens) == tokenizer.vocab_size


def check_columns(tokenizer: Tokenizer, rows: list[str]) -> None:
    """A column gives what its rows give, in every Arrow shape."""
    column = pa.array(rows, pa.large_string())
    for special in (True, False):
        expected = [tokenizer.encode(row, add_special_tokens=special) for row in rows]
        shapes = {
            "large": (column, expected),
            "small": (pa.array(rows, pa.string()), expected),
            "slice": (column.slice(2, 5), expected[2:7]),
            "chunked": (
                pa.chunked_array([column.slice(0, 3), column.slice(3, 0), column.slice(3)]),
                expected,
            ),
            "empty": (column.slice(0, 0), []),
        }
        for name, (shape, ids) in shapes.items():
            encoded = tokenizer.encode_column(shape, add_special_tokens=special)
            assert [encoded.row(i).tolist() for i in range(len(shape))] == ids, name
            assert encoded.offsets.dtype == np.int64 and encoded.offsets[-1] == len(encoded.ids)
            assert encoded.ids.dtype == np.min_scalar_type(tokenizer.vocab_size - 1)
        assert not special or all((ids[0], ids[-1]) == (BOS, EOS) for ids in expected)
    with pytest.raises(DataError, match=r"row 1 .* null"):
        tokenizer.encode_column(pa.array(["A", None], pa.string()))


def check_round_trip(tokenizer: Tokenizer, rows: list[str]) -> None:
    """What is read without `<unk>` comes back as `canonical` says."""
    for row in rows:
        ids = tokenizer.encode(row)
        upper = canonical(tokenizer, row)
        assert tokenizer.encode(upper) == ids or not row.isascii()
        if SPECIAL_TOKENS.index("<unk>") not in ids:
            assert tokenizer.decode(ids) == upper
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match=f"id {wrong} is not in this tokenizer"):
            tokenizer.decode([wrong])


def check_folder(tokenizer: Tokenizer, rows: list[str], folder: Path) -> None:
    """The saved folder is read back, is the same each time, and its `tokenizer.json` gives the same ids."""
    for name in ("one", "two"):
        tokenizer.save(folder / name)
    files = sorted(path.name for path in (folder / "one").iterdir())
    assert {"tokenizer.json", "tokenizer_config.json"} <= set(files)
    assert all((folder / "one" / f).read_bytes() == (folder / "two" / f).read_bytes() for f in files)
    loaded = load_tokenizer(folder / "one")
    assert (loaded.kind, loaded.tokens) == (tokenizer.kind, tokenizer.tokens)
    assert all(loaded.encode(row) == tokenizer.encode(row) for row in rows)
    config = read_json(folder / "one" / "tokenizer_config.json")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    if "auto_map" not in config:
        portable = tokenizers.Tokenizer.from_file(str(folder / "one" / "tokenizer.json"))
        rows = [*rows, "A<mask>C", "<pad><eos>AC<sep", "<dna>A<mask>C<unk><mask>G</dna>"]
        assert [e.ids for e in portable.encode_batch(rows)] == [tokenizer.encode(row) for row in rows]
