import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.codon import CODONS
from biodata.errors import ConfigError
from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import aa, nuc, nuc16

LETTERS = "ACGTACGTACGTacgtUuNnRYX- \n?é<"
PIECES = st.sampled_from([*LETTERS, *LETTERS, "<mask>", "<unk>", "<reserved_6>"])
TEXT = st.lists(PIECES, max_size=30).map("".join)
MESSY = st.lists(TEXT | st.text(max_size=8), max_size=12)
TOKENIZERS = [codon(), six_mer(), KmerTokenizer("kmer", 4), nuc(), nuc16(), aa()]


def portable_ids(tokenizer: KmerTokenizer, rows: list[str], special: bool) -> list[list[int]]:
    portable = tokenizers.Tokenizer.from_str(tokenizer.portable.to_str())
    return [e.ids for e in portable.encode_batch(rows, add_special_tokens=special)]


def column_ids(tokenizer: KmerTokenizer, rows: list[str], special: bool) -> list[list[int]]:
    encoded = tokenizer.encode_column(pa.array(rows, pa.large_string()), add_special_tokens=special)
    return [encoded.row(i).tolist() for i in range(len(rows))]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: f"{t.kind}")
@given(rows=MESSY, special=st.booleans())
@settings(deadline=None, max_examples=50)
def test_columns_equal_tokenizer_json_on_any_text(tokenizer, rows: list[str], special: bool) -> None:
    assert column_ids(tokenizer, rows, special) == portable_ids(tokenizer, rows, special)


@given(rows=st.lists(st.text("ACGTacgtuUN", max_size=40), max_size=12), special=st.booleans())
@settings(deadline=None, max_examples=50)
def test_codon_columns_equal_tokenizer_json_without_fallback(rows: list[str], special: bool) -> None:
    assert column_ids(codon(), rows, special) == portable_ids(codon(), rows, special)


def windows(text: str, k: int, stride: int) -> list[str]:
    """The policy in plain Python: whole windows, then what they leave over."""
    found = [text[i : i + k] for i in range(0, len(text) - k + 1, stride)]
    covered = (len(found) - 1) * stride + k if found else 0
    return found + ["?"] * (covered < len(text))


@given(
    rows=st.lists(st.text("ACGTacgtuUNé<", max_size=30), max_size=8),
    k=st.integers(1, 6),
    data=st.data(),
    special=st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_overlapping_kmers_equal_a_plain_loop(rows: list[str], k: int, data, special: bool) -> None:
    tokenizer = KmerTokenizer("kmer", k, overlap=data.draw(st.integers(0, k - 1)))
    index = {token: i for i, token in enumerate(tokenizer.tokens)}
    expected = []
    for row in rows:
        text = row.upper().replace("U", "T")
        ids = [index.get(w, 3) for w in windows(text, k, tokenizer.stride)]
        expected.append([1, *ids, 2] if special else ids)
    assert column_ids(tokenizer, rows, special) == expected


@given(text=st.text("ACGT", min_size=4, max_size=60), overlap=st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_decoding_gives_back_all_but_an_incomplete_end(text: str, overlap: int) -> None:
    tokenizer = KmerTokenizer("kmer", 4, overlap=overlap)
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert text.startswith(decoded) and len(text) - len(decoded) < tokenizer.stride


def test_codon_ids_are_alphabetical_from_six() -> None:
    tokenizer = codon()
    assert tokenizer.encode("".join(CODONS), add_special_tokens=False) == list(range(6, 70))
    assert tokenizer.vocab_size == 70


def test_incomplete_codon_is_one_unk() -> None:
    assert codon().encode("ATGAC") == [1, 6 + CODONS.index("ATG"), 3, 2]


def test_codon_with_n_is_one_unk_and_does_not_move_the_frame() -> None:
    atg, gcc = 6 + CODONS.index("ATG"), 6 + CODONS.index("GCC")
    assert codon().encode("ATGNNNGNCGCC") == [1, atg, 3, 3, gcc, 2]


def test_rna_and_lower_case_have_equal_ids() -> None:
    for tokenizer in (codon(), six_mer(), nuc(), nuc16()):
        assert tokenizer.encode("AUGGCU") == tokenizer.encode("ATGGCT") == tokenizer.encode("auggcu")


def test_broken_chain_of_overlapping_kmers_starts_anew() -> None:
    tokenizer = KmerTokenizer("kmer", 3, overlap=2)
    assert tokenizer.decode(tokenizer.encode("ACGTANACGTA")) == "ACGTAACGTA"


@pytest.mark.parametrize(("k", "overlap"), [(0, 0), (11, 0), (3, 3), (3, -1)])
def test_impossible_shapes_are_refused(k: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        KmerTokenizer("kmer", k, overlap=overlap)


def test_long_rows_and_many_chunks_equal_one_row_at_a_time() -> None:
    rows = ["ACGTTGCA" * 40_000 + "A", "", "ACG" * 7, *["ATGGCCTA"] * 5]
    whole = codon().encode_column(pa.chunked_array([pa.array(rows * 4, pa.string())]))
    alone = [codon().encode(row) for row in rows]
    assert [whole.row(i).tolist() for i in range(4 * len(rows))] == alone * 4
