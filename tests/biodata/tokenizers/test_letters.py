from biodata.tokenizers.letters import aa, nuc, nuc16


def test_nuc_ids() -> None:
    assert nuc().encode("ACGTN", add_special_tokens=False) == [6, 7, 8, 9, 10]
    assert nuc().vocab_size == 11


def test_nuc16_ids_are_those_of_the_contract() -> None:
    tokenizer = nuc16()
    assert tokenizer.encode("ATCGUNR", add_special_tokens=False) == [7, 8, 9, 10, 8, 11, 3]
    assert tokenizer.vocab_size == 16
    assert tokenizer.decode([1, 6, 7, 12, 8, 15, 2]) == "AT"


def test_aa_knows_every_residue_and_reads_u_as_selenocysteine() -> None:
    tokenizer = aa()
    assert tokenizer.encode("ACDEFGHIKLMNPQRSTVWY", add_special_tokens=False) == list(range(6, 26))
    assert tokenizer.decode(tokenizer.encode("MUO*bzjx")) == "MUO*BZJX"
    assert tokenizer.encode("M-1", add_special_tokens=False)[1:] == [3, 3]
