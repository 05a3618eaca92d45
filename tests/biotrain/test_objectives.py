"""Objectives: what is predicted, what the model reads, and that only the generator decides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.errors import ConfigError
from biodata.tokenizers.special import BOS, EOS, MASK, PAD
from biotrain.models import MODELS, ModelConfig
from biotrain.objectives import IGNORE, OBJECTIVES, ObjectiveConfig, build_objective, check_compatible
from biotrain.objectives.config import BIDIRECTIONAL, SPECIAL
from biotrain.objectives.rtd_config import RtdConfig

VOCAB = 70


def batch(rows: int = 64, length: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """`<bos>`, codons, `<eos>`, padding."""
    noise = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, VOCAB, (rows, length), generator=noise)
    lengths = torch.randint(2, length + 1, (rows, 1), generator=noise)
    places = torch.arange(length)
    ids[:, 0] = BOS
    ids[places.expand(rows, -1) == lengths - 1] = EOS
    mask = places < lengths
    return ids.masked_fill(~mask, PAD), mask


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_clm_predicts_every_token_but_the_first_and_no_padding() -> None:
    ids, mask = batch()
    inputs, targets = build_objective(ObjectiveConfig(), vocab_size=VOCAB).prepare(ids, mask, generator(0))[
        :2
    ]
    assert torch.equal(inputs, ids) and targets.shape == ids.shape
    for row, length in enumerate(mask.sum(1).tolist()):
        assert targets[row, : length - 1].tolist() == ids[row, 1:length].tolist()
        assert targets[row, length - 2] == EOS and (targets[row, length - 1 :] == IGNORE).all()


@settings(deadline=None, max_examples=25)
@given(rate=st.floats(0.01, 1), masked=st.floats(0, 1), seed=st.integers(0, 99), rows=st.integers(1, 5))
def test_mlm_predicts_only_codons_and_at_least_one(rate: float, masked: float, seed: int, rows: int) -> None:
    ids, mask = batch(rows, 30, seed)
    config = ObjectiveConfig(name="mlm", mask_rate=rate, masked_share=masked, random_share=1 - masked)
    inputs, targets = build_objective(config, vocab_size=VOCAB).prepare(ids, mask, generator(seed))[:2]
    chosen = targets != IGNORE
    assert torch.equal(targets[chosen], ids[chosen]) and (ids[chosen] > 5).all() and mask[chosen].all()
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert ((inputs[chosen] == MASK) | (inputs[chosen] > 5)).all()
    assert torch.equal(chosen.any(1), (ids > 5).any(1))


def test_mlm_keeps_its_rates() -> None:
    ids, mask = batch(400)
    config = ObjectiveConfig(name="mlm", mask_rate=0.15, masked_share=0.8, random_share=0.1)
    inputs, targets = build_objective(config, vocab_size=VOCAB).prepare(ids, mask, generator(1))[:2]
    chosen = targets != IGNORE
    assert chosen.sum().item() / (ids > 5).sum().item() == pytest.approx(0.15, abs=0.006)
    read, true = inputs[chosen], ids[chosen]
    assert (read == MASK).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert ((read != MASK) & (read != true)).float().mean().item() == pytest.approx(0.1 * 63 / 64, abs=0.015)


@pytest.mark.parametrize(
    ("strategy", "settings", "mean"), [("double", {}, 2.0), ("span", {"span_length": 4.0}, 4.0)]
)
def test_blocks_hit_the_rate_and_have_their_length(strategy: Any, settings: dict, mean: float) -> None:
    noise = torch.Generator().manual_seed(0)
    ids = torch.randint(6, VOCAB, (300, 400), generator=noise)
    config = ObjectiveConfig(name="mlm", mask_rate=0.15, masking_strategy=strategy, **settings)
    objective = build_objective(config, vocab_size=VOCAB)
    chosen = objective.prepare(ids, torch.ones_like(ids, dtype=torch.bool), generator(3))[1] != IGNORE
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.006)
    assert chosen.float().mean(0).std().item() < 0.03  # every place has the same chance
    runs = (chosen[:, 1:] & ~chosen[:, :-1]).sum() + chosen[:, 0].sum()
    # blocks that are neighbours join: a run is 1 / (1 - rate) blocks long
    assert (chosen.sum() / runs).item() == pytest.approx(mean / 0.85, rel=0.05)


def test_blocks_leave_specials_and_padding_alone() -> None:
    ids, mask = batch()
    for strategy in ("double", "span"):
        config = ObjectiveConfig(name="mlm", mask_rate=0.5, masking_strategy=strategy)
        targets = build_objective(config, vocab_size=VOCAB).prepare(ids, mask, generator(0))[1]
        chosen = targets != IGNORE
        assert (ids[chosen] > 5).all() and mask[chosen].all()
        assert torch.equal(chosen.any(1), (ids > 5).any(1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "clm", "mask_rate": 0.2}, "objective 'clm' does not use mask_rate"),
        ({"name": "clm", "rtd": RtdConfig(generator_weight=2)}, "does not use rtd.generator_weight, which"),
        ({"name": "mlm", "masking_strategy": "film"}, "allowed: single, double, span"),
        ({"name": "mlm", "span_length": 5.0}, "span_length is of masking_strategy 'span' only"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ObjectiveConfig(**fields)


def test_mlm_masks_always_by_default_and_follows_its_generator() -> None:
    ids, mask = batch()
    objective = build_objective(ObjectiveConfig(name="mlm"), vocab_size=VOCAB)
    state = torch.random.get_rng_state()
    a, b, c = (objective.prepare(ids, mask, generator(seed))[:2] for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[1], c[1])
    assert (a[0][a[1] != IGNORE] == MASK).all()


def test_each_objective_has_its_direction() -> None:
    assert set(BIDIRECTIONAL) == set(OBJECTIVES)
    general = [name for name in MODELS if not MODELS.load(name).objectives]
    for objective, both in BIDIRECTIONAL.items():
        for name in general if objective not in SPECIAL else ():
            if both in MODELS.load(name).directions:
                check_compatible(ModelConfig(name=name, bidirectional=both), objective)
            if (not both) not in MODELS.load(name).directions:
                continue
            with pytest.raises(ConfigError, match=f"objective '{objective}' needs .* bidirectional"):
                check_compatible(ModelConfig(name=name, bidirectional=not both), objective)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "clmm"}, "unknown objective 'clmm', did you mean 'clm'"),
        ({"name": "mlm", "mask_rate": 0}, "objective mask_rate must be from 1e-06 to 1, got 0"),
        ({"name": "mlm", "masked_share": 0.8, "random_share": 0.3}, r"must be at most 1, got 0\.8 \+ 0\.3"),
    ],
)
def test_bad_settings_are_one_line(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ObjectiveConfig(**fields)
