"""Leakage against brute force: every pair, no sieve."""

from __future__ import annotations

from pathlib import Path

import edlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from bioeval.leakage import find_leakage, leaking_rows
from bioeval.tasks import load_task


def brute_force(train: list[str], test: list[str], identity: float, coverage: float) -> list[bool]:
    def near(a: str, b: str) -> bool:
        short, long = sorted((a, b), key=len)
        if len(short) < coverage * len(long) - 1e-9:
            return False
        edits = edlib.align(short, long, mode="HW", task="distance")["editDistance"]
        return edits <= int((1 - identity) * len(short) + 1e-9)

    return [any(near(a, b) for a in train) for b in test]


def mutated(sequence: str, edits: int, rng: np.random.Generator, letters: str = "ACGT") -> str:
    out = list(sequence)
    for _ in range(edits):
        at = int(rng.integers(0, len(out)))
        kind = rng.integers(0, 3)
        if kind == 0:
            out[at] = str(rng.choice(list(letters)))
        elif kind == 1:
            out.insert(at, str(rng.choice(list(letters))))
        elif len(out) > 1:
            del out[at]
    return "".join(out)


@pytest.mark.parametrize("letters", ["ACGT", "ACDEFGHIKLMNPQRSTVWY"])
@pytest.mark.parametrize(("identity", "coverage"), [(0.9, 0.8), (0.7, 0.5), (0.99, 1.0)])
def test_the_sieve_loses_nothing(identity: float, coverage: float, letters: str) -> None:
    rng = np.random.default_rng(1)
    train = ["".join(rng.choice(list(letters), int(rng.integers(20, 400)))) for _ in range(60)]
    test = [mutated(train[i], int(len(train[i]) * rng.uniform(0, 0.4)), rng, letters) for i in range(60)]
    test += [s[: int(len(s) * rng.uniform(0.5, 1))] for s in train[:30]] + train[:3]
    test += ["".join(rng.choice(list(letters), 200)) for _ in range(10)]
    found = leaking_rows(train, test, identity=identity, coverage=coverage).tolist()
    assert found == brute_force(train, test, identity, coverage)
    assert 0 < sum(found) < len(test)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text("ACGT", min_size=1, max_size=30), min_size=1, max_size=6),
    st.lists(st.text("ACGT", min_size=1, max_size=30), min_size=1, max_size=6),
    st.sampled_from([0.6, 0.8, 0.9]),
)
def test_short_sequences_too(train: list[str], test: list[str], identity: float) -> None:
    assert leaking_rows(train, test, identity=identity, coverage=0.8).tolist() == brute_force(
        train, test, identity, 0.8
    )


def test_long_runs_of_one_letter() -> None:
    train = ["A" * 700, "A" * 200]
    assert leaking_rows(train, ["A" * 650, "C" * 650], identity=0.9, coverage=0.8).tolist() == [True, False]


def test_u_is_t_and_the_other_strand_counts_when_asked() -> None:
    rng = np.random.default_rng(2)
    train = ["".join(rng.choice(list("ACGT"), 90))]
    turned = [reverse_complement(train[0])]
    assert leaking_rows(train, [train[0].replace("T", "U")], identity=0.9, coverage=0.8).all()
    assert not leaking_rows(train, turned, identity=0.9, coverage=0.8).any()
    assert leaking_rows(train, turned, identity=0.9, coverage=0.8, both_strands=True).all()
    assert leaking_rows(train, turned, identity=1.0, coverage=1.0, both_strands=True).all()


def test_wrong_threshold() -> None:
    with pytest.raises(ConfigError, match="identity = 0, allowed: above 0, at most 1"):
        leaking_rows(["A"], ["A"], identity=0, coverage=0.8)


def test_sequences_in_several_splits_are_counted(tmp_path) -> None:
    rng = np.random.default_rng(4)
    sequences = ["".join(rng.choice(list("ACGU"), 60)) for _ in range(12)]
    sequences[9] = sequences[0]  # test row, also in train
    sequences[10] = mutated(sequences[1], 3, rng, "ACGU")
    splits = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    rows = [f"{s},{i},{p}" for i, (s, p) in enumerate(zip(sequences, splits))]
    (tmp_path / "x.csv").write_text("Sequence,Value,Split\n" + "\n".join(rows) + "\n")
    (tmp_path / "x.yaml").write_text("name: x\ndata: {file: x.csv}\nalphabet: rna\ncolumns: {split: Split}\n")
    found = find_leakage(load_task(tmp_path / "x.yaml"))
    assert found.as_dict() == {
        "train_test_rows": 2, "test_rows": 4, "exact_rows": 1, "sequences_in_several_splits": 1,
        "identity": 0.9, "coverage": 0.8, "method": "edlib, every pair of train and test",
    }  # fmt: skip
    assert found.leaking.tolist() == [False, True, True, False]
    assert found.sentence.startswith("2 of 4 test rows have a train row at identity >= 0.9")


def test_many_pairs_are_searched_by_mmseqs_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    sequences = ["".join(rng.choice(list("ACGU"), 200)) for _ in range(40)]
    sequences[30:35] = [mutated(s, 8, rng, "ACGU") for s in sequences[:5]]
    splits = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    rows = [f"{s},{i},{p}" for i, (s, p) in enumerate(zip(sequences, splits))]
    (tmp_path / "x.csv").write_text("Sequence,Value,Split\n" + "\n".join(rows) + "\n")
    (tmp_path / "x.yaml").write_text("name: x\ndata: {file: x.csv}\nalphabet: rna\ncolumns: {split: Split}\n")
    task = load_task(tmp_path / "x.yaml")
    every = find_leakage(task)
    monkeypatch.setattr("bioeval.leakage._MOST_PAIRS", 10)
    searched = find_leakage(task)
    assert searched.leaking.tolist() == every.leaking.tolist() == [True] * 5 + [False] * 5
    assert searched.method == "MMseqs2 search, may miss pairs"


def test_cov_leakage_is_near_the_independent_measurement(real_data, monkeypatch) -> None:
    """48 % of the test rows are at 90 % identity by another aligner (end-to-end, so slightly stricter)."""
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    found = find_leakage(load_task("cov-degradation"))
    assert found.leaking.mean() == pytest.approx(0.48, abs=0.05)
