import pyarrow as pa
import pytest

from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import aa, nuc
from biodata.tokenizers.measure import measure, warnings_of


def read(tokenizer, rows: list[str]):
    return measure(tokenizer, [pa.array(rows, pa.large_string())])


def test_counts_by_hand() -> None:
    found = read(codon(), ["ATGGCC", "ATGNNNA", ""])
    assert (found.rows, found.letters, found.tokens, found.unknown, found.incomplete) == (3, 13, 5, 2, 1)
    assert found.symbols_per_token == 13 / 5 and found.unknown_rate == 2 / 5


def test_columns_add_up() -> None:
    column = pa.array(["ATGGCC", "ATGNNNA", "GG"], pa.large_string())
    whole, parts = measure(nuc(), [column]), measure(nuc(), [column[:1], column[1:]])
    assert (whole.tokens, whole.letters, whole.counts.tolist()) == (
        parts.tokens,
        parts.letters,
        parts.counts.tolist(),
    )


def test_nothing_read_is_no_division_by_zero() -> None:
    assert (read(codon(), []).symbols_per_token, read(codon(), []).unknown_rate) == (0, 0)


@pytest.mark.parametrize(
    ("tokenizer", "rows", "cause"),
    [
        (codon(), ["ATG GCC AAA TTT GGG"] * 3, "spaces inside the sequences"),
        (codon(), ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"] * 3, "amino acids in a nucleotide tokenizer"),
        (codon(), ["ATGGC"] * 9, "9 of 9 sequences end in an incomplete 3-mer"),
        (six_mer(), ["ATGGCCAAA"] * 9, "9 of 9 sequences end in an incomplete 6-mer"),
        (KmerTokenizer("kmer", 3, overlap=1), ["ATGC"] * 9, "end in an incomplete 3-mer"),
        (codon(), ["ATG" + "NNN" * 5 + "GCC"] * 3, "N and other IUPAC codes ('N' 71.43% of letters)"),
        (nuc(), ["ATG--GCC.."] * 3, "symbols that are no nucleotides ('-' 20.00% of letters, '.' 20.00%"),
        (aa(), ["MKV--AY"] * 3, "symbols that are no amino acids ('-'"),
        (nuc(), ["ATGé"] * 3, "symbols that are no nucleotides ('non-ASCII'"),
    ],
)
def test_the_likely_cause_is_named(tokenizer, rows: list[str], cause: str) -> None:
    (warning,) = warnings_of(tokenizer, read(tokenizer, rows))
    assert cause in warning and "<unk>" in warning and "\n" not in warning


def test_one_percent_is_not_warned_about() -> None:
    assert warnings_of(nuc(), read(nuc(), ["A" * 99 + "-"])) == []
    assert warnings_of(nuc(), read(nuc(), ["A" * 98 + "--"]))


def test_nucleotides_in_a_protein_tokenizer_have_no_unknowns_but_are_noticed() -> None:
    (warning,) = warnings_of(aa(), read(aa(), ["ATGGCCAAATTTGGG" * 10]))
    assert warning.startswith("wrong alphabet: 100.0% of the letters are nucleotides")
    assert warnings_of(aa(), read(aa(), ["MKTAYIAKQRQISFVKSHFSRQ"])) == []
