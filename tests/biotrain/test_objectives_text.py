"""Fill in the middle, text to sequence: nothing is lost, the loss is where it should be, and both train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from biodata.configs import from_dict
from biodata.errors import ConfigError, DataError
from biodata.schema import BioSequence, table_from_records
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.special import BOS, EOS, MASK, PAD, SEP
from biotrain.config import OptimConfig, TrainConfig
from biotrain.device import choose_hardware
from biotrain.losses import LossConfig, build_loss
from biotrain.objectives import IGNORE, ObjectiveConfig, build_objective
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step, validate
from tests.biotrain.test_loop import parts_of

Make = Callable[..., TrainConfig]
TEXTS = {"even": "AC", "odd": "GT"}


def rows_of(count: int, length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole sequences, and windows without one end or both."""
    noise = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, 70, (count, length), generator=noise)
    lengths = torch.randint(3, length + 1, (count, 1), generator=noise)
    mask = torch.arange(length) < lengths
    ids[::2, 0] = BOS
    ids[::3] = torch.where(torch.arange(length) == lengths[::3] - 1, EOS, ids[::3])
    return ids.masked_fill(~mask, PAD), mask


def prepared(ids: torch.Tensor, mask: torch.Tensor, **settings: Any) -> Any:
    objective = build_objective(ObjectiveConfig(name="fim", **settings), vocab_size=70)
    return objective.prepare(ids, mask, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("spm", [0.0, 1.0])
def test_a_rearranged_sequence_can_be_put_together_again(spm: float) -> None:
    ids, mask = rows_of(200, 30)
    made = prepared(ids, mask, fim_rate=1.0, spm_share=spm)
    cuts = set()
    for row, real, old, old_real in zip(made.inputs, made.mask, ids, mask):
        content = [t for t in old[old_real].tolist() if t not in (BOS, EOS)]
        new = row[real].tolist()
        assert new[0] == BOS and new[-1] == EOS and (row[~real] == PAD).all()
        hole, turn = new.index(MASK), new.index(SEP)
        before, after, middle = new[1:hole], new[hole + 1 : turn], new[turn + 1 : -1]
        assert before + middle + after == content
        assert not (spm and before)
        cuts.add((len(before) > 0, len(after) > 0, len(middle) > 0))
    assert len(cuts) == (3 if spm else 7)  # every way but nothing at all
    assert made.inputs.shape[1] <= 30 + 4


def test_every_token_but_the_first_is_predicted() -> None:
    ids, mask = rows_of(50, 20)
    made = prepared(ids, mask)
    for row, real, targets in zip(made.inputs, made.mask, made.targets):
        length = int(real.sum())
        assert targets[: length - 1].tolist() == row[1:length].tolist()
        assert (targets[length - 1 :] == IGNORE).all()


def test_rates_and_untouched_rows() -> None:
    ids, mask = rows_of(4000, 8)
    for rate in (0.0, 0.3, 1.0):
        made = prepared(ids, mask, fim_rate=rate, spm_share=0.25)
        changed = (made.inputs == MASK).any(1)
        assert changed.double().mean().item() == pytest.approx(rate, abs=0.03)
        kept = made.inputs[~changed, :8]
        assert torch.equal(kept, ids[~changed]) and torch.equal(made.mask[~changed, :8], mask[~changed])
    content = (mask & (ids >= 6)).sum(1).double()
    empty_prefix = 1 - (content / (content + 1)) ** 2  # PSM without a prefix looks like SPM
    expected = (0.25 + 0.75 * empty_prefix).mean().item()
    found = (made.inputs[:, 1] == MASK).double().mean().item()
    assert found == pytest.approx(expected, abs=0.02)


def test_fim_trains_within_the_context(tiny_config: Make) -> None:
    config = tiny_config(objective=ObjectiveConfig(name="fim", fim_rate=1.0), optim=OptimConfig(lr=1e-2))
    parts = parts_of(config, train=4)
    assert parts.train.length.max() <= config.window - 4
    rows = parts.train.rows(np.arange(4))
    losses = [train_step(parts, rows, 1).loss.item() for _ in range(120)]
    assert losses[0] > 3.5 and losses[-1] < 1.0
    with pytest.raises(ConfigError, match="context must be 6 or more, got 5"):
        tiny_config(objective=ObjectiveConfig(name="fim"), context=5)


class Pairs:
    """Texts and sequences in memory."""

    def __init__(self, *, texts: bool = True) -> None:
        self.rows = {
            split: [
                BioSequence(id=f"{split}{i}", sequence=TEXTS[word] * (3 + i % 4), alphabet="dna", split=split,
                            text=word if texts else None)
                for i in range(16) for word in TEXTS
            ]
            for split in ("train", "validation")
        }  # fmt: skip

    def table(self, split: str, columns: Any = None) -> pa.Table:
        return table_from_records(self.rows[split]).select(list(columns or []))


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("joint")
    train_joint(["even", "odd"] * 4, vocab_size=400).save(folder)
    yield folder


def pair_parts(make: Make, joint: Path, *, texts: bool = True, **settings: Any) -> Parts:
    config = make(
        tokenizer=joint,
        objective=ObjectiveConfig(name="text_to_sequence", **settings),
        optim=OptimConfig(lr=1e-2, weight_decay=0.0),
    )
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    return build_parts(config, Pairs(texts=texts), hardware)


def test_only_the_sequence_is_predicted(tiny_config: Make, joint: Path) -> None:
    parts = pair_parts(tiny_config, joint)
    row = parts.train.rows(np.array([0]))
    ids, mask = torch.from_numpy(row.ids), torch.from_numpy(row.mask)
    made = parts.objective.prepare(ids, mask, torch.Generator())
    tokens = parts.tokenizer.tokens
    wanted = [tokens[i] for i in made.targets[made.targets != IGNORE].tolist()]
    opened = [tokens[i] for i in ids[0].tolist()].index("<dna>")
    assert wanted == [*("ᵈa", "ᵈc") * (len(wanted) // 2 - 1), "</dna>", "<eos>"]
    assert (made.targets[0, :opened] == IGNORE).all() and made.targets[0, opened] != IGNORE


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_loss_is_the_weighted_sum(tiny_config: Make, joint: Path, weight: float) -> None:
    parts = pair_parts(tiny_config, joint, text_weight=weight)
    rows = parts.train.rows(np.arange(6))
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    result = train_step(parts, rows, 1)
    fresh = pair_parts(tiny_config, joint, text_weight=weight).model
    with torch.no_grad():
        logits = fresh(ids, mask=mask)[:, :-1].double()
    targets = ids[:, 1:].masked_fill(~mask[:, 1:], IGNORE)
    single = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none")
    tokens = parts.tokenizer.tokens
    is_sequence = torch.tensor([t[0] == "ᵈ" or t in ("</dna>", "<eos>") for t in tokens])
    kind = is_sequence[targets.flatten().clamp(min=0)] & (targets.flatten() != IGNORE)
    text = ~is_sequence[targets.flatten().clamp(min=0)] & (targets.flatten() != IGNORE)
    count = int(kind.sum()) + (int(text.sum()) if weight else 0)
    expected = (single[kind].sum() + weight * single[text].sum()) / count
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert result.targets == count and result.more is not None
    assert result.more["sequence_xe"].item() == pytest.approx(single[kind].mean().item(), rel=1e-5)
    assert ("text_xe" in result.more) == bool(weight)


def test_the_text_decides_the_sequence(tiny_config: Make, joint: Path) -> None:
    parts = pair_parts(tiny_config, joint)
    rows = parts.train.rows(np.arange(16))
    for _ in range(60):
        train_step(parts, rows, 1)
    scores = validate(parts, batches=0, stopped=lambda: False)
    assert scores and scores["val_sequence_xe"] == pytest.approx(scores["val_loss"])
    encoded = [parts.tokenizer.encode(f"<text>{word}</text><dna>")[:-1] for word in TEXTS]
    found = [parts.model(torch.tensor([ids]))[0, -1].argmax().item() for ids in encoded]
    assert [parts.tokenizer.tokens[i] for i in found] == ["ᵈa", "ᵈg"]


def test_refusals(tiny_config: Make, joint: Path) -> None:
    with pytest.raises(ConfigError, match="this one has no <text>: make one of kind 'joint'"):
        parts_of(tiny_config(objective=ObjectiveConfig(name="text_to_sequence")))
    with pytest.raises(DataError, match="no row has '<text>'"):
        pair_parts(tiny_config, joint, texts=False)
    with pytest.raises(ConfigError, match="loss 'hxe' needs a codon tokenizer"):
        build_loss(LossConfig(name="hxe"), tokens=train_joint(["a"], vocab_size=400).tokens)
    for name, field in (("clm", "fim_rate"), ("fim", "text_weight"), ("mlm", "spm_share")):
        with pytest.raises(ConfigError, match=f"{name!r} does not use {field}, which belongs to"):
            from_dict(ObjectiveConfig, {"name": name, field: 0.7}, where="x.yaml")
