"""biotrain.packing and packed: every window once, and a step of packed rows is that of padded ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError
from biotrain.config import OptimConfig, TrainConfig
from biotrain.device import choose_hardware
from biotrain.loader import Rows, Samples
from biotrain.log import StepResult
from biotrain.loop import dry_run, train
from biotrain.losses import LossConfig
from biotrain.models import MODELS
from biotrain.objectives import IGNORE, ObjectiveConfig, Prepared
from biotrain.packed import packed
from biotrain.packing import PackedSamples, pack
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step, validate
from tests.biotrain.conftest import TINY
from tests.biotrain.test_loop import Tables

Make = Callable[..., TrainConfig]


def samples_of(lengths: list[int]) -> Samples:
    """Windows whose tokens are all different."""
    length = np.array(lengths)
    total = int(length.sum())
    return Samples(ids=np.arange(100, 100 + total).astype(np.uint32), start=np.cumsum(length) - length,
                   length=length, sequences=len(lengths), cut=0, unknown=0.0)  # fmt: skip


lengths = st.lists(st.integers(2, 12), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(0, 2), st.integers(0, 3))
def test_every_window_in_one_row_that_holds_it(sizes: list[int], room: int, seed: int) -> None:
    samples = pack(samples_of(sizes), context=14, room=room, seed=seed)
    assert sorted(samples.order.tolist()) == list(range(len(sizes)))
    counts = np.diff(samples.bounds)
    assert counts.min() >= 1 and (samples.length + counts * room <= 14).all()
    assert samples.length.sum() == sum(sizes) == samples.tokens and samples.windows == len(sizes)
    assert len(samples) <= len(sizes) and len(samples) >= -(-sum(sizes) // 14)
    again = pack(samples_of(sizes), context=14, room=room, seed=seed)
    assert (again.order == samples.order).all() and (again.bounds == samples.bounds).all()


def test_little_is_left_over() -> None:
    random = np.random.default_rng(0)
    sizes = random.integers(20, 400, 5000)
    samples = pack(samples_of(sizes.tolist()), context=512)
    assert sizes.sum() / (len(samples) * 512) > 0.99


@settings(deadline=None, max_examples=40)
@given(lengths, st.randoms(use_true_random=False))
def test_rows_hold_their_windows_one_after_the_other(sizes: list[int], random: Any) -> None:
    samples = pack(samples_of(sizes), context=14)
    index = np.array(random.sample(range(len(samples)), random.randint(1, len(samples))))
    rows = samples.rows(index)
    assert rows.counts is not None and rows.counts.sum() == len(rows.ids)
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    more = {"pair": torch.stack((ids, -ids), -1)}
    made, there = packed(Prepared(ids, ids.masked_fill(~mask, IGNORE), by_token=more), mask, rows.counts)
    assert made.documents is not None
    window = 0
    for row, count in enumerate(rows.counts):
        parts = [ids[window + i][mask[window + i]] for i in range(count)]
        width, window = int(there[row].sum()), window + count
        assert torch.equal(made.inputs[row, :width], torch.cat(parts)) and not there[row, width:].any()
        numbers = [number for number, part in enumerate(parts) for _ in part]
        assert made.documents[row, :width].tolist() == numbers
        assert (made.documents[row, width:] == count).all() and (made.inputs[row, width:] == 0).all()
        assert (made.targets[row, width:] == IGNORE).all()
    assert torch.equal(made.by_token["pair"][there][:, 1], -made.inputs[there])


def test_what_belongs_to_whole_sequences_is_refused() -> None:
    ids = torch.ones(2, 3, dtype=torch.int64)
    prepared = Prepared(ids, ids, by_row={"time": torch.zeros(2)})
    with pytest.raises(ConfigError, match="one 'time' for each sequence: it needs pack false"):
        packed(prepared, ids > 0, np.array([2]))


def parts_of(config: TrainConfig) -> Parts:
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    return build_parts(config, Tables(train=40), hardware)


def steps_of(config: TrainConfig) -> tuple[StepResult, StepResult, Parts]:
    """A step on packed rows, and one on the same windows each in a row, whose weights are left."""
    parts = parts_of(dataclasses.replace(config, pack=True))
    assert isinstance(parts.train, PackedSamples)
    rows = parts.train.rows(np.arange(4))
    one = train_step(parts, rows, 1)
    after = [p.detach().clone() for p in parts.model.parameters()]
    other = parts_of(config)
    two = train_step(other, Rows(rows.ids, rows.mask), 1)
    for p, q in zip(after, other.model.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    return one, two, other


@pytest.mark.parametrize("position", ["learned", "rope", "alibi"])
@pytest.mark.parametrize("objective", ["clm", "mlm"])
def test_a_packed_step_is_a_padded_one(tiny_config: Make, objective: str, position: Any) -> None:
    """Masks too: what an objective draws, it draws for windows, before they are packed."""
    name = "gpt2" if objective == "clm" else "bert"
    model = dataclasses.replace(TINY, name=name, bidirectional=None, position=position)
    config = tiny_config(
        model=model, objective=ObjectiveConfig(name=objective), loss=LossConfig(name="hxe"), batch_size=64,
        optim=OptimConfig(name="sgd", lr=0.1, momentum=0.0),
    )  # fmt: skip
    one, two, _ = steps_of(config)
    for name in ("loss", "xe", "grad_norm"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-5, atol=1e-6)
    assert (one.targets, one.tokens) == (two.targets, two.tokens)


def test_validation_of_packed_rows(tiny_config: Make) -> None:
    scores = [
        validate(parts_of(tiny_config(pack=pack)), batches=0, stopped=lambda: False) for pack in (True, False)
    ]
    assert scores[0] and scores[1] and scores[0]["val_tokens"] == scores[1]["val_tokens"]
    assert scores[0]["val_loss"] == pytest.approx(scores[1]["val_loss"], rel=1e-6)


def test_a_packed_run(tiny_config: Make) -> None:
    config = tiny_config(pack=True, max_steps=None, epochs=2, batch_size=4)
    result, plan = train(config), dry_run(config)
    assert result["step"] == plan["steps"] < 2 * 24  # 96 sequences, four a step, without packing
    assert result["tokens"] == 2 * parts_tokens(config)


def parts_tokens(config: TrainConfig) -> int:
    plan = dry_run(dataclasses.replace(config, epochs=1, batch_size=10_000))
    assert plan["steps"] == 1
    return plan["tokens_per_step"]


def test_a_model_that_cannot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = dataclasses.replace(TINY.architecture, packs=False)
    monkeypatch.setattr(MODELS, "load", lambda name: architecture)
    with pytest.raises(ConfigError, match="model 'gpt2' cannot tell packed sequences apart: pack false"):
        TrainConfig(pack=True)
