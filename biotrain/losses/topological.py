"""Cross-entropy plus the distance between the shapes of two chaos-game clouds.

Of every sequence of a batch two clouds of points are made: the chaos game of the tokens to predict, and that
of the predicted distributions (`biotrain.losses.topology.soft_chaos_game`). With D0, D1 the persistence
diagrams of components and loops of their alpha complexes and SW the sliced Wasserstein distance

    L = XE + weight x mean over tokens of ( SW(D0(model), D0(target)) + SW(D1(model), D1(target)) )

A small distance says that the k-mer geometry is alike and nothing more; complementing every letter cannot be
seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.chaos_game import JEFFREY
from biodata.errors import ConfigError, require
from biotrain.losses.config import LossConfig
from biotrain.losses.topology import Diagrams, alpha_diagrams, sliced_wasserstein, soft_chaos_game

FEWEST = 4
"""Points of a cloud, below which it has no shape."""


class Topological(nn.Module):
    """Cross-entropy and the weighted topological distance, mean over the rows.

    A target that is none of the four letters (`<eos>`, N) gives no point, and the game starts anew after it.
    A sequence is judged in clouds of at most `points` points; a cloud counts by its points. So the value of a
    batch is the mean of its parts' values by their targets, however it is cut between sequences.

    Args:
        letters: ids of A, C, G, T.
        weight: of the distance, 0 or more.
        points: most points of a cloud.
    """

    letters: Tensor
    by_sequence = True

    def __init__(self, letters: Sequence[int], *, weight: float, points: int) -> None:
        super().__init__()
        self.register_buffer("letters", torch.tensor(letters), persistent=False)
        self.weight, self.points = weight, points

    def forward(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] of all sequences in reading order, `counts` [B] of each; a scalar."""
        xe = F.cross_entropy(logits, targets)
        sizes = counts.tolist()
        distances = [
            self._distance(part, wanted) for part, wanted in zip(logits.split(sizes), targets.split(sizes))
        ]
        return xe + self.weight * torch.stack(distances).sum().to(xe) / max(1, len(targets))

    def _distance(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of one sequence, the sum over its points."""
        hits = targets[:, None] == self.letters
        known = hits.any(1)
        runs = (~known).cumsum(0)[known].unique_consecutive(return_counts=True)[1].tolist()
        soft = _games(logits[known][:, self.letters].double().softmax(1), runs)
        hard = _games(hits[known].double(), runs)
        total = soft.new_zeros(())
        for cloud, wanted in zip(soft.split(self.points), hard.split(self.points)):
            if len(cloud) >= FEWEST:
                total = total + len(cloud) * _apart(alpha_diagrams(cloud), alpha_diagrams(wanted))
        return total


def _games(letters: Tensor, runs: list[int]) -> Tensor:
    """Points [n, 2] of letters [n, 4], the game starting anew with each run."""
    return torch.cat([soft_chaos_game(run) for run in letters.split(runs)]) if runs else letters[:, :2]


def _apart(one: Diagrams, other: Diagrams) -> Tensor:
    return sliced_wasserstein(one.components, other.components) + sliced_wasserstein(one.loops, other.loops)


def build(config: LossConfig, tokens: Sequence[str]) -> Topological:
    """The loss for a vocabulary of single nucleotides.

    Raises:
        ConfigError: another vocabulary.
        MissingExtraError: gudhi is not installed.
    """
    others = [t for t in tokens if not t.startswith("<") and t not in (*JEFFREY, "N")]
    lost = [letter for letter in JEFFREY if letter not in tokens]
    if others or lost:
        wrong = f"token {others[0]!r} is no nucleotide" if others else f"it lacks {lost[0]!r}"
        raise ConfigError(
            f"loss 'topological' needs a tokenizer of single nucleotides: {wrong} "
            "(take tokenizer 'nuc' or loss 'xe')"
        )
    require("gudhi", extra="eval")  # now, and not in the first step
    letters = [tokens.index(letter) for letter in JEFFREY]
    return Topological(letters, weight=config.topology_weight, points=config.topology_points)
