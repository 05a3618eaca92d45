import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError, DataError
from biodata.tokenizers.joint import BOUNDARIES, JointTokenizer, train_joint
from biodata.tokenizers.rows import strings_of
from biodata.tokenizers.selfies import train_selfies


@pytest.fixture(scope="module")
def joint() -> JointTokenizer:
    return train_joint(["a kinase", "a cat and a gat", "acgt tag"] * 5, vocab_size=420)


def column(rows: list[str]) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def test_symbols_are_those_of_the_data() -> None:
    tokenizer = train_selfies([column(["[C][=O][C]", "[N].[C]"])])
    assert tokenizer.tokens[6:] == (".", "[=O]", "[C]", "[N]")
    assert train_selfies([column(["[C][=O][C]", "[N].[C]"])], vocab_size=7).tokens[6:] == ("[C]",)
    with pytest.raises(DataError, match="no symbols in brackets"):
        train_selfies([column(["CCO"])])
    with pytest.raises(ConfigError, match="vocab_size = 6, allowed: 7 or more"):
        train_selfies([column(["[C]"])], vocab_size=6)


@given(st.lists(st.sampled_from(["[C]", "[=O]", "[Branch1]", ".", "[N+1]"])))
def test_each_symbol_is_one_token(symbols: list[str]) -> None:
    tokenizer = train_selfies([column(["[C][=O][Branch1].[N+1]"])])
    ids = tokenizer.encode("".join(symbols), add_special_tokens=False)
    assert [tokenizer.tokens[i] for i in ids] == symbols


def test_boundaries_have_fixed_ids_and_are_kept(joint: JointTokenizer) -> None:
    assert joint.tokens[6:12] == BOUNDARIES
    row = "<text>a cat</text><dna>CAT</dna><protein>CAT</protein>"
    assert joint.decode(joint.encode(row)) == row


@settings(deadline=None, max_examples=60)
@given(st.text("ACGTNacgtnu", max_size=30), st.text("abcdgt é<>ᵈ", max_size=20))
def test_sequences_never_share_tokens_with_text(joint: JointTokenizer, dna: str, text: str) -> None:
    inside = joint.encode(f"<dna>{dna}</dna>", add_special_tokens=False)
    assert [inside[0], inside[-1]] == [8, 9] and len(inside) == len(dna) + 2
    upper = dna.upper().replace("U", "T")
    assert [joint.tokens[i] for i in inside[1:-1]] == [f"ᵈ{c.lower()}" for c in upper]
    outside = joint.encode(text, add_special_tokens=False)
    assert not any(joint.tokens[i][0] in "ᵈᵖ" for i in outside) and 3 not in outside
    both = joint.encode(f"<text>{text}</text><dna>{dna}</dna>", add_special_tokens=False)
    assert (
        both == [6, *joint.encode(f"{text}", add_special_tokens=False), 7, *inside]
        or "<" in text
        or ">" in text
    )


def test_masks_do_not_end_a_sequence(joint: JointTokenizer) -> None:
    ids = joint.encode("<dna>A<mask>C<mask><mask>-G", add_special_tokens=False)
    assert [joint.tokens[i] for i in ids] == [
        "<dna>",
        "ᵈa",
        "<mask>",
        "ᵈc",
        "<mask>",
        "<mask>",
        "<unk>",
        "ᵈg",
    ]


def test_rows_become_strings() -> None:
    table = pa.table({"sequence": ["AC", "GU", "MK"], "alphabet": ["dna", "rna", "protein"]})
    assert strings_of("joint", table).to_pylist() == [
        "<dna>AC</dna>",
        "<dna>GU</dna>",
        "<protein>MK</protein>",
    ]
    assert strings_of("codon", table).to_pylist() == ["AC", "GU", "MK"]
    with pytest.raises(DataError, match="alphabet 'selfies' for a joint tokenizer"):
        strings_of("joint", pa.table({"sequence": ["[C]"], "alphabet": ["selfies"]}))


def test_a_small_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocab_size = 300, allowed: "):
        train_joint(["a"], vocab_size=300)
