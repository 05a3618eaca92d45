"""Lanes: the gradient of a batch, whatever the number of parts computed side by side."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from biotrain.lanes import Lanes, Losses, lanes_for

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(5, 3), nn.Linear(5, 3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p))

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x).square().sum()


def shares(model: Small, pieces: int) -> list[partial[Losses]]:
    def one(x: Tensor) -> Losses:
        loss = model(x) / len(X)
        return Losses(loss, torch.stack((loss, loss)))

    return [partial(one, x) for x in X.chunk(pieces)]


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 4, 6])
def test_gradients_are_those_of_the_whole_batch(lanes: int, pieces: int) -> None:
    model, whole = Small(), Small()
    (whole(X) / len(X)).backward()
    values = Lanes(lanes).backward(model, shares(model, pieces))
    assert len(values) == pieces and not any(v.requires_grad for v in values)
    torch.testing.assert_close(torch.stack(values).sum(0)[0], whole(X) / len(X))
    torch.testing.assert_close(model.used.weight.grad, whole.used.weight.grad)
    assert model.unused.weight.grad is None


def test_gradients_add_up_in_order_and_repeat_bit_for_bit() -> None:
    found = []
    for _ in range(5):
        model = Small()
        lanes = Lanes(3)
        for _ in range(2):
            lanes.backward(model, shares(model, 6))
        found.append(model.used.weight.grad)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_an_error_in_a_lane_is_the_caller_s() -> None:
    def broken() -> Losses:
        raise FloatingPointError("no number")

    with pytest.raises(FloatingPointError, match="no number"):
        Lanes(2).backward(Small(), [broken, broken])


def test_the_caller_keeps_its_threads_and_a_lane_has_one() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []

    def look() -> Losses:
        seen.append(torch.get_num_threads())
        loss = model(X)
        return Losses(loss, loss)

    try:
        model = Small()
        Lanes(2).backward(model, [look, look])
        assert (seen, torch.get_num_threads()) == ([1, 1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "count"),
    [({}, 2), ({"threads": 1}, 1), ({"dropout": 0.1}, 1), ({"width": 16}, 1), ({"rows": 1}, 1)],
)
def test_lanes_are_used_where_they_pay(change: dict[str, float], count: int) -> None:
    settings = {"threads": 2, "rows": 16, "tokens": 256, "width": 256, "dropout": 0.0} | change
    assert lanes_for(**settings).count == count  # pyright: ignore[reportArgumentType]
