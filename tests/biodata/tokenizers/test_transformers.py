"""What `transformers` reads from our folders, offline."""

from pathlib import Path

import pytest

from biodata.tokenizers import Tokenizer
from biodata.tokenizers.bpe import train_bpe
from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import aa, nuc, nuc16

ROWS = ["ATGGCCTAA", "AUGgccNNNaaaTTGCA", "", "A", "ATG<mask>GCC", "ATGéGCC"]


def bpe() -> Tokenizer:
    return train_bpe(["ATGATGGCCGCC", "GCCATGATG"], alphabet="dna", vocab_size=20)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.mark.parametrize("build", [codon, six_mer, nuc, nuc16, aa, bpe])
@pytest.mark.parametrize("model", [None, "GPT2Config", "BertConfig"])
def test_auto_tokenizer_gives_our_ids(build, model: str | None, tmp_path: Path) -> None:
    import transformers

    tokenizer = build()
    tokenizer.save(tmp_path)
    if model:
        config = getattr(transformers, model)(vocab_size=70, bos_token_id=1, eos_token_id=2)
        config.save_pretrained(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert auto(ROWS)["input_ids"] == [tokenizer.encode(row) for row in ROWS]
    assert len(auto) == auto.vocab_size == tokenizer.vocab_size
    for row in ROWS:
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


def test_saved_again_by_transformers_it_stays_the_same(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    codon().save(tmp_path / "ours")
    AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert again(ROWS)["input_ids"] == [codon().encode(row) for row in ROWS]


@pytest.mark.parametrize(("k", "overlap"), [(6, 5), (6, 4), (3, 2)])
def test_overlapping_kmers_by_the_python_file_in_the_folder(k: int, overlap: int, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = KmerTokenizer("kmer", k, overlap=overlap)
    tokenizer.save(tmp_path / "tok")
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
