"""A step of fine-tuning by rewards: draw, judge, learn. Several processes share out what they draw and learn.

Everything drawn is a function of (seed, step), and rewards are asked for in process 0 alone, so a step is the
same, up to rounding, whatever the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from biodata.errors import ConfigError, DataError
from biodata.tokenizers import Tokenizer
from biotrain.distributed import Team
from biotrain.ema import Ema
from biotrain.finetune_config import FinetuneConfig
from biotrain.generate import Sampler
from biotrain.grpo import Rollouts, advantages, log_probabilities, token_losses
from biotrain.lanes import Lanes, Losses
from biotrain.layers.transformer import Transformer
from biotrain.log import NonFiniteError
from biotrain.models import MoEConfig
from biotrain.optim.clip import clip_gradient
from biotrain.optim.groups import set_learning_rate
from biotrain.router_share import router_share, without_router

Reward = Callable[[Sequence[str]], "Sequence[float] | np.ndarray"]
"""Sequences as text to one number each; the higher, the better."""


class Judged(NamedTuple):
    """A step's sequences and their rewards [N]."""

    rollouts: Rollouts
    rewards: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What a step touches.

    Attributes:
        model: that learns.
        reference: that it started from.
        given: tokens at the beginning of every sequence that are not drawn.
    """

    config: FinetuneConfig
    model: Transformer
    reference: Transformer
    tokenizer: Tokenizer
    sampler: Sampler
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    lanes: Lanes
    team: Team
    given: int

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.model.tokens.weight.device

    def step(self, number: int, reward: Reward) -> dict[str, float]:
        """Draws, judges and learns; what is logged of it.

        Args:
            number: of the step, 1-based.
            reward: of sequences.

        Raises:
            DataError: rewards that are no finite numbers.
            NonFiniteError: the loss is no number any more.
        """
        config = self.config
        rollouts, rewards = self.draw(number, reward)
        worth = advantages(rewards.view(config.groups, -1)).flatten().float()
        parts = [_Part(self, rollouts.take(part), worth[part], len(worth)) for part in self._parts()]
        told = [self._update(parts) for _ in range(config.updates)]
        if not all(math.isfinite(value) for value in told[-1].values()):
            raise NonFiniteError(f"loss {told[-1]['loss']:g} at step {number}: try a smaller optim.lr")
        if self.ema is not None:
            self.ema.update(number)
        lengths = (rollouts.lengths - rollouts.given).double()
        return {
            "reward": rewards.mean().item(),
            "reward_std": rewards.std(correction=0).item(),
            "reward_best": rewards.max().item(),
            **told[-1],
            "length": lengths.mean().item(),
            "tokens": int(lengths.sum()),
            "lr": config.optim.lr,
        }

    def draw(self, number: int, reward: Reward) -> Judged:
        """New sequences for a step, the same for the same number, and their rewards."""
        config = self.config
        first, limit = (number - 1) * config.sequences, self.sampler.limit + 1
        drawn = torch.zeros(config.sequences, 1 + limit, dtype=torch.int64)  # a length, then ids
        self.model.eval()
        with torch.inference_mode():
            for part in self._parts()[self.team.rank :: self.team.size]:
                rows = self.sampler.rows(range(first + part.start, first + part.stop))
                for place, row in enumerate(rows, part.start):
                    drawn[place, : 1 + len(row)] = torch.tensor([len(row), *row])
        drawn = self.team.total(drawn)
        found = [row[1 : 1 + row[0]] for row in drawn.tolist()]
        rewards = self.team.from_first(lambda: self._judge(found, reward).tolist())
        rollouts = Rollouts.of(found, given=self.given, device=self.device)
        return Judged(rollouts, torch.tensor(rewards, dtype=torch.float64, device=self.device))

    def _judge(self, rows: list[list[int]], reward: Reward) -> np.ndarray:
        texts = [self.tokenizer.decode(row) for row in rows]
        found = np.asarray(reward(texts), dtype=np.float64)
        if found.shape != (len(texts),):
            shape = f"reward gave shape {found.shape} for {len(texts)} sequences"
            raise DataError(f"{shape}: it takes one number for each", where=self.config.reward)
        if not np.isfinite(found).all():
            at = int(np.flatnonzero(~np.isfinite(found))[0])
            raise DataError(f"reward gave {found[at]:g} for {texts[at][:40]!r}", where=self.config.reward)
        return found

    def _update(self, parts: list[_Part]) -> dict[str, float]:
        """One optimizer update on a step's sequences."""
        set_learning_rate(self.optimizer, self.config.optim.lr)
        self.optimizer.zero_grad(set_to_none=True)
        values = self.lanes.backward(self.model, (partial(part.losses) for part in parts))
        sums, router = without_router(self.model.config, torch.stack(values).sum(0))
        norm = clip_gradient(self.model, self.config.optim)
        self.optimizer.step()
        told = {"loss": sums[0], "kl": sums[1], "grad_norm": norm, **router}
        return {name: value.item() for name, value in told.items()}

    def _parts(self) -> list[slice]:
        """Sequences that pass the model at once: of a batch each process takes a share."""
        size, total = -(-self.config.batch_size // self.team.size), self.config.sequences
        return [slice(start, min(start + size, total)) for start in range(0, total, size)]


class _Part:
    """Some of a step's sequences; what the models said of them before the first update is asked for once.

    Args:
        learner: with the models.
        few: the sequences.
        worth: their advantages.
        total: sequences of the step.
    """

    def __init__(self, learner: Learner, few: Rollouts, worth: Tensor, total: int) -> None:
        self.learner, self.few, self.total = learner, few, total
        self.owner = few.drawn.nonzero()[:, 0]
        self.worth = worth[self.owner]
        self._before: tuple[Tensor, Tensor] | None = None

    def losses(self) -> Losses:
        """This part's share of the loss; logged are it, the divergence, and what the routers did."""
        config, model = self.learner.config, self.learner.model
        old, reference = self._before or self._ask()
        share = 1.0 / ((self.few.lengths - self.few.given)[self.owner] * self.total)
        routing = model.new_routing()
        log_p = log_probabilities(model, self.few, routing)
        found = token_losses(log_p, old, reference, self.worth, clip=config.clip, kl=config.kl)
        loss = (found.loss * share).sum()
        values = torch.stack((loss.detach(), (found.kl * share).sum())).double()
        if routing is None:
            return Losses(loss, values)
        weight = len(self.few.ids) / self.total
        added, notes = router_share(moe_of(model, config), self.learner.lanes, routing, share=weight)
        return Losses(loss + added, torch.cat((values, notes.double())))

    @torch.no_grad()
    def _ask(self) -> tuple[Tensor, Tensor]:
        learner = self.learner
        self._before = (
            log_probabilities(learner.model, self.few),
            log_probabilities(learner.reference, self.few),
        )
        return self._before


def moe_of(model: Transformer, config: FinetuneConfig) -> MoEConfig:
    """The coefficients of the routers' losses.

    Raises:
        ConfigError: some are given and the model has no experts.
    """
    moe = model.config.moe
    given = {
        name: value for name in ("balance_loss", "z_loss") if (value := getattr(config, name)) is not None
    }
    if moe is None:
        raise ConfigError(f"finetune {next(iter(given))} is for models with experts, {config.run} has none")
    return replace(moe, **given)
