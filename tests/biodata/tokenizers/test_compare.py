"""biodata.tokenizers.compare: figures derived by hand, or by definition on small data."""

from __future__ import annotations

from collections import Counter
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from scipy.stats import linregress

from biodata.errors import ConfigError
from biodata.tokenizers import Tokenizer
from biodata.tokenizers.bpe import train_bpe
from biodata.tokenizers.compare import RENYI_ORDER, compare_tokenizers
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.kmer import KmerTokenizer, codon
from biodata.tokenizers.letters import nuc
from biodata.tokenizers.sentencepiece import train_sentencepiece


def compared(tokenizer: Tokenizer, rows: list[str], folder: Path) -> dict:
    tokenizer.save(folder / "tok")
    (folder / "x.fasta").write_text("".join(f">s{i}\n{row}\n" for i, row in enumerate(rows)))
    return compare_tokenizers([folder / "tok"], folder / "x.fasta")["tokenizers"][0]


def random_rows(count: int, length: int, letters: str = "ACGT") -> list[str]:
    drawn = np.random.default_rng(0).choice(list(letters), (count, length))
    return ["".join(row) for row in drawn]


def test_codons_keep_the_frame(tmp_path: Path) -> None:
    found = compared(codon(), ["ATGGCCTAA", "ATGTAA"], tmp_path)
    assert (found["codon_boundaries"], found["codons_bounded"]) == (1.0, 1.0)
    # 2 boundaries in a row with 2 of 8 places in frame, 1 in a row with 1 of 5
    assert found["codon_boundaries_by_chance"] == pytest.approx((2 * 2 / 8 + 1 / 5) / 3)
    assert found["vocabulary_used"] == 3 / 64 and found["round_trip"] == found["information_kept"] == 1


def test_letters_are_at_chance_and_bound_every_codon(tmp_path: Path) -> None:
    found = compared(nuc(), ["ATGGCCTAA", "ATGTAA"], tmp_path)
    assert found["codon_boundaries"] == pytest.approx(3 / 13) == found["codon_boundaries_by_chance"]
    assert found["codons_bounded"] == 1
    assert found["token_bits"] == found["letter_bits"] == pytest.approx(found["bits_per_letter"])


@pytest.mark.parametrize("train", [train_bpe, train_sentencepiece])
def test_learnt_pieces_of_random_letters_are_at_chance(train, tmp_path: Path) -> None:
    rows = random_rows(200, 300)
    found = compared(train(rows, alphabet="dna", vocab_size=100), rows, tmp_path)
    assert found["codon_boundaries"] == pytest.approx(found["codon_boundaries_by_chance"], abs=0.01)
    assert found["codon_boundaries_by_chance"] == pytest.approx(99 / 299)
    # by definition, one row at a time
    tokenizer = train(rows, alphabet="dna", vocab_size=100)
    ends = [
        np.cumsum([len(tokenizer.tokens[i]) for i in tokenizer.encode(r, add_special_tokens=False)])
        for r in rows
    ]
    inner = np.concatenate([e[:-1] for e in ends])
    assert found["codon_boundaries"] == (inner % 3 == 0).mean()
    assert found["codons_bounded"] == (inner % 3 == 0).sum() / (200 * 99)


def test_after_an_unknown_place_no_boundary_is_counted(tmp_path: Path) -> None:
    pieces = train_bpe(["AT"], alphabet="dna", vocab_size=10)
    found = compared(pieces, ["ACGTTNNNACGT"], tmp_path)
    assert found["codon_boundaries"] == 1 / 5 and found["codons_bounded"] == 1
    assert found["round_trip"] == 0


def test_entropies_and_zipf_agree_with_scipy(tmp_path: Path) -> None:
    rows = random_rows(50, 90, "AACGT")
    found = compared(codon(), rows, tmp_path)
    counts = Counter(row[i : i + 3] for row in rows for i in range(0, 90, 3))
    ranked = np.array(sorted(counts.values(), reverse=True))
    assert found["token_bits"] == pytest.approx(scipy_entropy(ranked, base=2))
    assert found["bits_per_letter"] == pytest.approx(scipy_entropy(ranked, base=2) / 3)
    letters = Counter("".join(rows))
    assert found["letter_bits"] == pytest.approx(scipy_entropy(list(letters.values()), base=2))
    slope = linregress(np.log(np.arange(1, len(ranked) + 1)), np.log(ranked)).slope
    assert found["zipf_exponent"] == pytest.approx(-slope)
    share = ranked / ranked.sum()
    renyi = log(sum(share**RENYI_ORDER)) / (1 - RENYI_ORDER) / log(70)
    assert found["renyi_efficiency"] == pytest.approx(renyi)


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_information_kept_is_that_of_the_letters_decoded(overlap: int, tmp_path: Path) -> None:
    rows = random_rows(40, 50, "AAACCGTTN")
    tokenizer = KmerTokenizer("kmer", 3, overlap=overlap)
    found = compared(tokenizer, rows, tmp_path)
    whole = Counter("".join(rows))
    cost = {letter: -log2(n / whole.total()) for letter, n in whole.items()}
    kept = Counter("".join(tokenizer.decode(tokenizer.encode(row)) for row in rows))
    expected = sum(cost[c] * n for c, n in kept.items()) / sum(cost[c] * n for c, n in whole.items())
    assert found["information_kept"] == pytest.approx(expected) and 0 < expected < 1
    assert (found["codon_boundaries"] is None) == (overlap > 0)


def test_case_and_u_are_no_loss(tmp_path: Path) -> None:
    found = compared(codon(), ["atgGCU", "augtaa"], tmp_path)
    assert found["round_trip"] == found["information_kept"] == 1


def test_text_has_no_frame(tmp_path: Path) -> None:
    found = compared(train_joint(["a cat"], vocab_size=400), ["ACGT", "NNN"], tmp_path)
    assert (
        found["codon_boundaries"] is None and found["information_kept"] is None and found["round_trip"] == 1
    )


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_the_plot_is_drawn_and_the_same_each_time(ending: str, tmp_path: Path) -> None:
    compared(codon(), random_rows(5, 90), tmp_path)
    written = []
    for name in ("a", "b"):
        plot = tmp_path / f"{name}{ending}"
        assert compare_tokenizers([tmp_path / "tok"], tmp_path / "x.fasta", plot=plot)["plot"] == str(plot)
        written.append(plot.read_bytes())
    assert written[0] == written[1] and written[0].startswith((b"<?xml", b"\x89PNG"))
    with pytest.raises(ConfigError, match=r"ends in \.svg or \.png"):
        compare_tokenizers([tmp_path / "tok"], tmp_path / "x.fasta", plot=tmp_path / "a.gif")
