"""What `transformers` reads from our folders, offline."""

from pathlib import Path

import pytest

from biodata.tokenizers import Tokenizer
from biodata.tokenizers.bpe import train_bpe
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import aa, nuc, nuc16
from biodata.tokenizers.selfies import SelfiesTokenizer
from biodata.tokenizers.sentencepiece import train_sentencepiece
from biodata.tokenizers.unigram import train_unigram
from biodata.tokenizers.wordpiece import train_wordpiece

ROWS = ["ATGGCCTAA", "AUGgccNNNaaaTTGCA", "", "A", "ATG<mask>GCC", "ATGéGCC"]
JOINT = ["<text>A kinase é</text><dna>ACGu<mask>N-R</dna>", "<protein>MK*1</protein> x", "<dna>AC<unk>GT"]
SELFIES = ["[C][=O].[N]", "[C]<mask>[Xe]C"]
PIECES = ["ATGATGGCCGCC", "GCCATGATG"]


def bpe() -> Tokenizer:
    return train_bpe(PIECES, alphabet="dna", vocab_size=20)


def wordpiece() -> Tokenizer:
    return train_wordpiece(PIECES, alphabet="dna", vocab_size=20)


def unigram() -> Tokenizer:
    return train_unigram(PIECES * 9, alphabet="dna", vocab_size=14)


def sentencepiece() -> Tokenizer:
    return train_sentencepiece(PIECES, alphabet="dna", vocab_size=20)


def selfies() -> Tokenizer:
    return SelfiesTokenizer((".", "[=O]", "[C]", "[N]"))


def joint() -> Tokenizer:
    return train_joint(["a kinase of escherichia"] * 3, vocab_size=380)


KINDS = [codon, six_mer, nuc, nuc16, aa, bpe, wordpiece, unigram, sentencepiece, selfies, joint]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.mark.parametrize("build", KINDS)
@pytest.mark.parametrize("model", [None, "GPT2Config", "BertConfig"])
def test_auto_tokenizer_gives_our_ids(build, model: str | None, tmp_path: Path) -> None:
    import transformers

    tokenizer = build()
    tokenizer.save(tmp_path)
    if model:
        config = getattr(transformers, model)(vocab_size=70, bos_token_id=1, eos_token_id=2)
        config.save_pretrained(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    rows = [*ROWS, *JOINT, *SELFIES]
    assert auto(rows)["input_ids"] == [tokenizer.encode(row) for row in rows]
    assert len(auto) == auto.vocab_size == tokenizer.vocab_size
    for row in rows:
        ids = tokenizer.encode(row)
        assert auto.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids)


def test_auto_tokenizer_knows_the_special_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    codon().save(tmp_path)
    auto = AutoTokenizer.from_pretrained(tmp_path)
    ids = [auto.pad_token_id, auto.bos_token_id, auto.eos_token_id, auto.unk_token_id, auto.mask_token_id]
    assert [*ids, auto.sep_token_id, auto.cls_token_id] == [0, 1, 2, 3, 4, 5, 1]
    assert (auto.padding_side, auto.model_max_length) == ("right", 10**30)
    batch = auto(["ATGGCC", "ATG"], padding=True)
    assert list(batch) == ["input_ids", "attention_mask"]
    assert batch["input_ids"][1] == [*codon().encode("ATG"), 0]
    assert auto.decode(auto("ATGGCC")["input_ids"]) == "<bos>ATGGCC<eos>"


@pytest.mark.parametrize("build", KINDS)
def test_saved_again_by_transformers_it_stays_the_same(build, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = build()
    tokenizer.save(tmp_path / "ours")
    AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    rows = [*ROWS, *JOINT, *SELFIES]
    assert again(rows)["input_ids"] == [tokenizer.encode(row) for row in rows]


@pytest.mark.parametrize(("k", "overlap"), [(6, 5), (6, 4), (3, 2)])
def test_overlapping_kmers_by_the_python_file_in_the_folder(k: int, overlap: int, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = KmerTokenizer("kmer", k, overlap=overlap)
    tokenizer.save(tmp_path / "tok")
    assert "trust_remote_code=True" in (tmp_path / "tok" / "README.md").read_text()
    auto = AutoTokenizer.from_pretrained(tmp_path / "tok", trust_remote_code=True)
    rows = [*ROWS, "ACGTACGTACGTTGCA"]
    assert auto(rows)["input_ids"] == [tokenizer.encode(row) for row in rows]
    assert auto(rows[-1])["input_ids"] == auto.encode(rows[-1]) == tokenizer.encode(rows[-1])
    for row in rows:
        ids = tokenizer.encode(row)
        assert auto.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids)


def test_overlapping_kmers_without_the_python_file(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = KmerTokenizer("kmer", 3, overlap=2)
    tokenizer.save(tmp_path)
    auto = AutoTokenizer.from_pretrained(tmp_path)
    assert auto("ACG CGT GTA <unk>")["input_ids"] == [*tokenizer.encode("ACGTA")[:-1], 3, 2]
    with pytest.raises(Exception, match=r"Missing .UNK. token"):
        auto("ACGTA")
