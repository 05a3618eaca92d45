import argparse

from benchmarks.data_bpe import NAMES, in_own_process, table


def test_all_learn_and_ours_has_the_merges_of_tokenizers() -> None:
    options = argparse.Namespace(letters=20_000, piece=500, fasta=None)
    runs = [in_own_process(name, 60, options) for name in NAMES]
    assert runs[0]["merges"] == runs[1]["merges"] and runs[0]["letters"] == 20_000
    assert "| tokenizers | 60 |" in table(runs)
