import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.alphabet import reverse_complement
from biodata.similarity.pairwise import alignment_identity, best_identity, short_pairs
from biodata.splits.exact import ExactSettings, exact_check


def infix_identity(short: str, long: str) -> float:
    """Fewest edits of `short` inside `long` by plain dynamic programming, as 1 - edits / len(short)."""
    row = [0] * (len(long) + 1)
    for i, letter in enumerate(short, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(long, 1):
            diagonal = before + (letter != other)
            before, row[j] = row[j], min(diagonal, row[j] + 1, row[j - 1] + 1)
    return 1 - min(row) / len(short)


def related(seed: int, letters: str, *, count: int, longest: int, both: bool) -> list[str]:
    """Random ancestors and copies of them with substitutions and gaps."""
    rng = random.Random(seed)
    base = ["".join(rng.choices(letters, k=rng.randint(12, longest))) for _ in range(count // 5)]
    texts = list(base)
    while len(texts) < count:
        text = list(rng.choice(base))
        for _ in range(rng.randint(0, 6)):
            at, kind = rng.randrange(len(text)), rng.random()
            if kind < 0.6:
                text[at] = rng.choice(letters)
            elif kind < 0.8:
                del text[at]
            else:
                text.insert(at, rng.choice(letters))
        copy = "".join(text)
        texts.append(reverse_complement(copy) if both and rng.random() < 0.3 else copy)
    return texts


@given(st.text("ACGT", min_size=8, max_size=20), st.text("ACGT", min_size=20, max_size=24))
@settings(deadline=None, max_examples=50)
def test_substitutions_only_agree_with_dynamic_programming(short: str, long: str) -> None:
    value = alignment_identity(short, long, identity=0.5, coverage=0.1)
    expected = infix_identity(short, long)
    if expected >= 0.5:
        assert value >= expected - 1e-9 or value == 0  # gaps add columns, so the column identity is not lower
    if value:
        assert value <= 1 and expected >= 1 - (1 - value) / value - 1e-9


def test_identity_of_known_pairs() -> None:
    text = "ACGTTGCATGCCATGGATCA"
    assert alignment_identity(text, text, identity=0.9, coverage=0.8) == 1
    assert alignment_identity(text, text[:18], identity=0.9, coverage=0.8) == 1
    assert alignment_identity(text, text[:15], identity=0.9, coverage=0.8) == 0  # covers 75 %
    deleted = text[:10] + text[11:]
    assert alignment_identity(text, deleted, identity=0.9, coverage=0.8) == 19 / 20
    assert best_identity(text, reverse_complement(text), identity=0.9, coverage=0.8, both_strands=True) == 1
    assert best_identity(text, reverse_complement(text), identity=0.9, coverage=0.8, both_strands=False) == 0


def every_pair(texts: list[str], *, both: bool) -> set[tuple[int, int]]:
    return {
        (i, j)
        for j in range(len(texts))
        for i in range(j)
        if best_identity(texts[i], texts[j], identity=0.85, coverage=0.8, both_strands=both)
    }


def test_short_pairs_and_exact_check_lose_nothing() -> None:
    for letters, both, q in (("ACGT", True, 6), ("ACDEFGHIKLMNPQRSTVWY", False, 3)):
        texts = related(4, letters, count=200, longest=60, both=both)
        expected = every_pair(texts, both=both)
        assert len(expected) > 100
        found = short_pairs(texts, below=1000, identity=0.85, coverage=0.8, both_strands=both)
        assert set(zip(found.query.tolist(), found.target.tolist())) == expected

        split = np.array([random.Random(i).choice([0, 0, 0, 1, 2, -1]) for i in range(len(texts))])
        result = exact_check(texts, split, ExactSettings(identity=0.85, coverage=0.8, both_strands=both, q=q))
        crossing = {(a, b) for a, b in expected
                    if split[a] != split[b] and min(split[a], split[b]) >= 0}  # fmt: skip
        pairs = zip(result.hits.query.tolist(), result.hits.target.tolist())
        assert {(min(p), max(p)) for p in pairs} == crossing
        assert result.complete and len(result.queries) == (split > 0).sum()


def test_exact_check_samples_a_seeded_part_when_effort_is_short() -> None:
    texts = related(5, "ACGT", count=400, longest=60, both=False)
    split = np.arange(len(texts)) % 2
    how = ExactSettings(identity=0.9, coverage=0.8, both_strands=False, q=6, effort=1e-6, seed=3)
    first, again = exact_check(texts, split, how), exact_check(texts, split, how)
    assert not first.complete and 0 < len(first.queries) < split.sum()
    assert np.array_equal(first.queries, again.queries) and np.array_equal(first.hits.query, again.hits.query)


def test_copies_are_paired_with_everything_their_twin_is() -> None:
    found = short_pairs(["ACGTACGTAC", "ACGTACGTAG", "ACGTACGTAC"], below=20, identity=0.9, coverage=0.8)
    assert set(zip(found.query.tolist(), found.target.tolist())) == {(0, 1), (0, 2), (1, 2)}


def test_planted_hamming_1_neighbours_of_cdr3_length_are_all_found() -> None:
    rng = random.Random(6)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    base = ["CAS" + "".join(rng.choices(letters, k=rng.randint(7, 11))) + "F" for _ in range(2000)]
    copies = []
    for text in base[:100]:
        at = rng.randrange(len(text))
        copies.append(text[:at] + rng.choice([x for x in letters if x != text[at]]) + text[at + 1 :])
    found = short_pairs(base + copies, below=32, identity=0.9, coverage=0.8)
    pairs = set(zip(found.query.tolist(), found.target.tolist()))
    assert all((at, 2000 + at) in pairs for at in range(100))
