"""Probes that read whole rows (`textcnn`, `lora`, `full`) on single positions and on pairs of sequences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.backends import open_model
from bioeval.backends.units import covered_units
from bioeval.probes import PROBES
from bioeval.probes.torch_fit import Schedule, joined_sides
from bioeval.protocols import Inputs, Part
from bioeval.running.answers import probe_name
from bioeval.running.features import Reader, joined
from bioeval.running.items import items_of
from bioeval.running.toys import toy_tasks
from bioeval.scores import score
from tests.bioeval.conftest import write_gpt2

TASKS = {task.kind: task for task in toy_tasks("dna")}
CODONS = ("GCC", "AAA", "TGT", "CTC")
QUICK = Schedule(batch=8, epochs=25, patience=25)


def codon_rows(lengths: tuple[int, ...], *, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, len(CODONS), n) for n in lengths]


def texts(rows: list[np.ndarray]) -> tuple[str, ...]:
    return tuple("".join(CODONS[c] for c in row) for row in rows)


def positions(rows: list[np.ndarray], *, seed: int = 1) -> Part:
    """Each codon's own class, asked for at a random half of the positions."""
    rng = np.random.default_rng(seed)
    marks = [rng.random(len(row)) < 0.5 for row in rows]
    for mark in marks:
        mark[0] = True
    return Part(
        sequences=texts(rows), lengths=np.array([len(row) for row in rows]), marked=np.concatenate(marks),
        y=np.concatenate([row[mark] for row, mark in zip(rows, marks)]), classes=len(CODONS),
    )  # fmt: skip


def tuned(model: Path, name: str, *, rate: float, width: int = 3, schedule: Schedule = QUICK) -> Any:
    probe = PROBES.load(name)().of(open_model(str(model)), width=width)
    return replace(probe, rates=(rate,), schedule=schedule)


LENGTHS = (5, 20, 45, 8, 13, 31) * 3
"""Codons of the rows; a window of the model holds 30."""


@pytest.mark.parametrize(("name", "rate"), [("full", 3e-3), ("lora", 1e-2)])
def test_positions_are_learned_and_stand_where_they_are_asked_for(gpt2: Path, name: str, rate: float) -> None:
    part = positions(codon_rows(LENGTHS))
    fitted = tuned(gpt2, name, rate=rate).fit(part, part, metric="accuracy", seed=0)
    predicted = fitted.predict(part)
    assert predicted.shape == (len(part.y), 4) and score("accuracy", part.y, predicted) > 0.95
    other = positions(codon_rows((7, 40, 3), seed=5), seed=6)
    assert score("accuracy", other.y, fitted.predict(other)) > 0.9  # places, not memory


def test_neither_padding_nor_other_rows_change_a_position(gpt2: Path) -> None:
    rows = codon_rows(LENGTHS)
    part = positions(rows)
    probe = tuned(gpt2, "lora", rate=1e-3, schedule=Schedule(epochs=1, batch=8))
    fitted = probe.fit(part, part, metric="accuracy", seed=0)
    whole, ends = fitted.predict(part), np.cumsum(LENGTHS)
    assert part.marked is not None
    marks = np.split(part.marked, ends[:-1])
    alone = [
        fitted.predict(Inputs(sequences=part.sequences[i : i + 1], lengths=np.array([n]), marked=marks[i]))
        for i, n in enumerate(LENGTHS)
    ]
    np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-5)
    # asked for all positions, those asked for before are the same
    full = fitted.predict(replace(part, marked=np.ones_like(part.marked)))
    np.testing.assert_allclose(full[part.marked], whole, atol=1e-5)


def paired(rows: int, *, seed: int = 0) -> tuple[Part, list[np.ndarray], list[np.ndarray]]:
    """Whether both sides are made mostly of the same of two codons: neither side alone says anything."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2, (2, rows))
    first, second = (
        [np.where(rng.random(n) < 0.9, kind, 1 - kind) for kind, n in zip(side, rng.integers(5, 40, rows))]
        for side in kinds
    )
    y = (kinds[0] == kinds[1]).astype(np.int64)
    return Part(sequences=(*texts(first), *texts(second)), pairs=True, y=y, classes=2), first, second


def test_pairs_are_learned_from_both_sides(gpt2: Path) -> None:
    train, new = paired(40)[0], paired(30, seed=9)[0]
    assert train.rows == 40
    fitted = tuned(gpt2, "full", rate=3e-3).fit(train, train, metric="accuracy", seed=0)
    assert score("accuracy", train.y, fitted.predict(train)) > 0.9
    assert score("accuracy", new.y, fitted.predict(new)) > 0.8
    mixed = replace(new, sequences=(*new.sequences[:30], *np.roll(new.sequences[30:], 1)))
    assert score("accuracy", new.y, fitted.predict(mixed)) < 0.75  # sides that do not belong together


def test_neither_padding_nor_other_pairs_change_a_pair(gpt2: Path) -> None:
    part, *_ = paired(11)
    probe = tuned(gpt2, "lora", rate=1e-3, schedule=Schedule(epochs=1, batch=4))
    fitted = probe.fit(part, part, metric="accuracy", seed=0)
    alone = [fitted.predict(Inputs(sequences=part.sequences[i::11], pairs=True)) for i in range(11)]
    np.testing.assert_allclose(fitted.predict(part), np.concatenate(alone), atol=1e-5)


def test_sides_are_joined_as_the_probes_on_vectors_join_them() -> None:
    import torch

    u, v = np.random.default_rng(0).normal(size=(2, 5, 3))
    found = joined_sides(torch.from_numpy(np.concatenate([u, v])))
    np.testing.assert_array_equal(found.numpy(), joined(u, v))


def one_hots(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.eye(4, dtype=np.float32)[np.concatenate(rows)], np.array([len(row) for row in rows])


def test_textcnn_sees_the_neighbours_of_a_position() -> None:
    """The label is what comes next; at the end of a sequence nothing does, whatever the batch."""
    rows = codon_rows(LENGTHS * 2)
    x, lengths = one_hots(rows)
    following = np.concatenate([[*row[1:], 4] for row in rows])
    marked = np.random.default_rng(0).random(len(x)) < 0.7
    part = Part(x=x, lengths=lengths, marked=marked, y=following[marked], classes=5)
    probe = replace(PROBES.load("textcnn")(), rates=(3e-3,), schedule=QUICK)
    fitted = probe.fit(part, part, metric="accuracy", seed=0)
    whole = fitted.predict(part)
    assert score("accuracy", part.y, whole) > 0.97
    ends = np.cumsum(lengths)
    alone = [
        fitted.predict(Inputs(x=x[e - n : e], lengths=np.array([n]), marked=marked[e - n : e]))
        for e, n in zip(ends, lengths)
        if marked[e - n : e].any()
    ]
    np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("name", ["textcnn", "light-attention"])
def test_pairs_of_token_matrices(name: str) -> None:
    part, first, second = paired(40)
    x, lengths = one_hots([*first, *second])
    part = Part(x=x, lengths=lengths, pairs=True, y=part.y, classes=2)
    assert part.rows == 40
    probe = replace(PROBES.load(name)(), rates=(3e-3,), schedule=QUICK)
    fitted = probe.fit(part, part, metric="accuracy", seed=0)
    assert score("accuracy", part.y, fitted.predict(part)) > 0.95
    ends = np.cumsum(lengths)
    pair = [x[ends[i] - lengths[i] : ends[i]] for i in (3, 43)]
    alone = fitted.predict(Inputs(x=np.concatenate(pair), lengths=lengths[[3, 43]], pairs=True))
    np.testing.assert_allclose(alone[0], fitted.predict(part)[3], atol=1e-5)


@pytest.mark.parametrize("kind", ["token", "pairs"])
@pytest.mark.parametrize("reads", ["tokens", "sequences"])
def test_a_task_is_read_as_its_items_are_scored(gpt2: Path, tmp_path: Path, kind: str, reads: str) -> None:
    task = TASKS[kind]
    reader = Reader(task=task, embedder=open_model(str(gpt2)), reads=reads, cache=None)
    part, items = reader.part("train"), items_of(task, "train")
    np.testing.assert_array_equal(part.y, items.y)
    found = list(reader.inputs("test"))
    if kind == "pairs":
        assert [inputs.rows for inputs in found] == [18] and part.pairs and part.rows == 36
        return
    asked = sum(int(inputs.marked.sum()) for inputs in found if inputs.marked is not None)
    assert asked == len(items_of(task, "test").y) and part.marked is not None
    assert not part.marked[0] and int(part.marked.sum()) == len(part.y)  # the first of each has no label


def test_tokens_that_are_no_units(tmp_path: Path) -> None:
    """Codon tokens on single letters: each letter has the token that covers it; on six letters: the mean."""
    model: Any = open_model(str(write_gpt2(tmp_path / "m", context=64)))
    (tokens, units), _ = covered_units(model.checkpoint, ["GCCAAATG", "TGT"], width=1)
    assert tokens.tolist() == [0, 0, 0, 1, 1, 1, 2, 2] and units.tolist() == list(range(8))
    ((tokens, units),) = covered_units(model.checkpoint, ["GCCAAATGT"], width=6)
    assert tokens.tolist() == [0, 1, 2] and units.tolist() == [0, 0, 1]
    part = Part(sequences=("GCCAAA",) * 4, lengths=np.array([2] * 4), marked=np.ones(8, bool),
                y=np.array([0, 1] * 4), classes=2)  # fmt: skip
    with pytest.raises(DataError, match="6 positions of a sequence with 2 targets"):
        tuned(tmp_path / "m", "full", rate=1e-3, width=1).fit(part, part, metric="accuracy")


def test_what_stays_refused_is_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"light-attention makes one vector of a sequence, but .* these can: full, knn, log"
    ):
        probe_name("light-attention", TASKS["token"])
    for name in ("full", "lora", "textcnn"):
        assert probe_name(name, TASKS["token"]) == name == probe_name(name, TASKS["pairs"])
    assert probe_name("light-attention", TASKS["pairs"]) == "light-attention"
