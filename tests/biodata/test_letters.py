"""Letters made valid by policy: against a plain model of the rules, and every rule by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.alphabet import get_alphabet
from biodata.curate import letters
from biodata.curate.letters import LetterPolicy, clean_letters
from biodata.curate.rules import RuleLog
from biodata.errors import ConfigError, DataError


def batch_of(sequences: list[str]) -> pa.RecordBatch:
    n = len(sequences)
    return pa.record_batch(
        {
            "id": [f"r{i}" for i in range(n)],
            "sequence": pa.array(sequences, pa.large_string()),
            "line": pa.array(range(1, n + 1), pa.int64()),
        }
    )


def cleaned(sequences: list[str], alphabet: str = "dna", **policy) -> tuple[dict[str, str], RuleLog]:
    log = RuleLog(file="x.fa")
    batch = clean_letters(batch_of(sequences), alphabet=alphabet, policy=LetterPolicy(**policy), log=log)
    batch.validate(full=True)
    return dict(zip(batch["id"].to_pylist(), batch["sequence"].to_pylist(), strict=True)), log


def test_clean_rows_are_handed_back_untouched():
    batch = batch_of(["ACGT", "GG"]).slice(1)
    log = RuleLog()
    assert clean_letters(batch, alphabet="dna", policy=LetterPolicy(), log=log) is batch
    assert log.as_dict() == {"dropped": {}, "changed": {}}
    empty = batch.slice(0, 0)
    assert clean_letters(empty, alphabet="dna", policy=LetterPolicy(), log=log).num_rows == 0


@pytest.mark.parametrize(
    ("alphabet", "given", "expected", "rules"),
    [
        ("dna", "acGT", "ACGT", {"upper-cased": 1}),
        ("dna", "ACGU", "ACGT", {"u-to-t": 1}),
        ("rna", "ACGt", "ACGU", {"t-to-u": 1, "upper-cased": 1}),
        ("dna", "ACNNr", "ACNNR", {"ambiguous-kept": 1, "upper-cased": 1}),
        ("dna", "A-C..G", "ACG", {"gaps-removed": 1}),
        ("dna", " 1 ACGT 61\tAC", "ACGTAC", {"blanks-removed": 1}),
        ("dna", "ACGT*", "ACGT", {"terminal-stop-removed": 1}),
        ("protein", "MKUO", "MKUO", {}),
        ("protein", "MK**\t", "MK", {"terminal-stop-removed": 1, "blanks-removed": 1}),
        ("protein", "mBZJX", "MBZJX", {"ambiguous-kept": 1, "upper-cased": 1}),
    ],
)
def test_changes_are_counted(alphabet: str, given: str, expected: str, rules: dict[str, int]):
    found, log = cleaned([given], alphabet)
    assert found == {"r0": expected}
    assert log.as_dict() == {"dropped": {}, "changed": rules}


@pytest.mark.parametrize(
    ("alphabet", "given", "policy", "reason", "detail"),
    [
        ("dna", "ACXG!X", {}, "invalid-letter", "'X' at 2, '!' at 4"),
        ("dna", "AC\u00b5\u03b2G", {}, "invalid-letter", "'\u00b5' at 2, '\u03b2' at 3"),
        ("dna", "ac-xuN 1", {}, "invalid-letter", "'x' at 3"),
        ("dna", "1EFIJLO", {}, "invalid-letter", "'E' at 1, 'F' at 2, 'I' at 3, 'J' at 4, 'L' at 5 and 1 more"),  # noqa: E501
        ("dna", "A*C", {}, "stop-in-dna", "'*' at 1"),
        ("protein", "M*K*", {}, "inner-stop", "'*' at 1"),
        ("dna", "", {}, "empty", ""),
        ("dna", "-.- 12*", {}, "empty", ""),
        ("dna", "ACgt", {"lower": "drop"}, "lower-case", "'g' at 2, 't' at 3"),
        ("dna", "ACGu", {"u_t": "drop"}, "u-in-dna", "'u' at 3"),
        ("rna", "ATG", {"u_t": "drop"}, "t-in-rna", "'T' at 1"),
        ("dna", "A-C", {"gaps": "drop"}, "gaps", "'-' at 1"),
        ("dna", "A C", {"blanks": "drop"}, "blanks", "' ' at 1"),
        ("dna", "ANnC", {"ambiguous": "drop"}, "ambiguous", "'N' at 1, 'n' at 2"),
    ],
)  # fmt: skip
def test_drops_are_listed_with_letters_and_positions(alphabet, given, policy, reason, detail):
    found, log = cleaned(["A", given], alphabet, **policy)
    assert found == {"r0": "A"}
    assert log.as_dict() == {"dropped": {reason: 1}, "changed": {}}
    row = log.table().to_pylist()[0]
    assert (row["id"], row["file"], row["line"], row["detail"]) == ("r1", "x.fa", 2, detail)


def test_inner_stops_can_be_kept():
    found, log = cleaned(["M*K*"], "protein", inner_stop="keep")
    assert found == {"r0": "M*K"}
    assert log.as_dict()["changed"] == {"inner-stop-kept": 1, "terminal-stop-removed": 1}


@pytest.mark.parametrize(
    ("policy", "given", "reason"),
    [("lower", "Aa", "lower-case"), ("u_t", "AU", "u-in-dna"), ("ambiguous", "AN", "ambiguous"),
     ("gaps", "A-", "gaps"), ("blanks", "A ", "blanks"), ("invalid", "A!", "invalid-letter")],
)  # fmt: skip
def test_error_policies_name_file_line_and_record(policy: str, given: str, reason: str):
    with pytest.raises(DataError, match=rf"^x\.fa:2: record 'r1' has {reason}: .* at 1 \("):
        cleaned(["AC", given], **{policy: "error"})


def test_wrong_policies_and_alphabets_are_refused():
    with pytest.raises(ConfigError, match="'maybe', allowed: drop, error"):
        LetterPolicy(invalid="maybe")  # pyright: ignore[reportArgumentType]
    for alphabet in ("selfies", "xna"):
        with pytest.raises(ConfigError, match=alphabet):
            cleaned(["A"], alphabet)


def model(sequence: str, alphabet: str) -> str | None:
    """The default policy, letter by letter."""
    kept = "".join(c for c in sequence.upper() if c not in "-. 0123456789").rstrip("*")
    if alphabet != "protein":
        kept = kept.translate(str.maketrans("UT", "TT" if alphabet == "dna" else "UU"))
    allowed = get_alphabet(alphabet).letters.replace("*", "")
    return kept if kept and set(kept) <= set(allowed) else None


@given(
    st.lists(st.text("ACGTacgtUuNRn-. 1*!\u00b5MK", max_size=12), max_size=12),
    st.sampled_from(["dna", "rna", "protein"]),
    st.integers(1, 9),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=50)
def test_default_policy_equals_the_model(sequences: list[str], alphabet: str, piece: int, skip: int):
    batch = batch_of(sequences).slice(skip)
    expected = {f"r{i}": model(s, alphabet) for i, s in enumerate(sequences) if i >= skip}
    log = RuleLog(file="x.fa")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "_PIECE", piece)
        table = clean_letters(
            pa.Table.from_batches([batch]), alphabet=alphabet, policy=LetterPolicy(), log=log
        )
    table.validate(full=True)
    found = dict(zip(table["id"].to_pylist(), table["sequence"].to_pylist(), strict=True))
    assert found == {id: s for id, s in expected.items() if s is not None}
    assert log.table("dropped").num_rows == len(expected) - len(found)
    assert all(get_alphabet(alphabet).is_valid(s) for s in found.values())
