"""What a recurrent layer has to know of a forward pass in either direction; the convolution before a scan.

Shapes: B sequences, T tokens, C channels, K taps of the convolution.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from biotrain.layers.scene import Scene


class Flow(NamedTuple):
    """Where a state is forgotten and what must not touch it.

    Attributes:
        real: [B, T, 1], 1 at real tokens and 0 at padding, which leaves every state as it is; `None` = all 1.
        starts: [B, T], True at the first token of each document of a packed row; `None` = one document.
        memory: of the layer, in generation.
    """

    real: Tensor | None
    starts: Tensor | None
    memory: dict[str, Tensor] | None

    def turned(self) -> Flow:
        """The same for the sequence read from its end."""
        starts = self.starts
        if starts is not None:
            starts = starts.roll(-1, 1).flip(
                1
            )  # a document's last token is the one before the next one's first
        return Flow(None if self.real is None else self.real.flip(1), starts, None)

    def near(self, lag: int) -> Tensor:
        """[B, T, 1], True where the token `lag` places before is of the same document of a packed row."""
        assert self.starts is not None
        index = torch.arange(self.starts.shape[1], device=self.starts.device)
        begun = index.masked_fill(~self.starts, 0).cummax(1).values
        return (index - begun >= lag)[..., None]


def flow_of(scene: Scene, layer: int) -> Flow:
    """The flow of a forward pass through block number `layer`."""
    starts = scene.places == 0 if scene.places.ndim == 2 else None
    real = None if scene.real is None else scene.real[..., None].float()
    return Flow(real, starts, None if scene.states is None else scene.states.of[layer])


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, flow: Flow) -> Tensor:
    """Each channel's own convolution over its token and the K - 1 before it.

    Args:
        x: [B, T, C].
        weight: [C, 1, K], the last tap being the token's own.
        bias: [C].
        flow: its memory's `conv` holds the last K - 1 inputs.

    Returns:
        [B, T, C] of the weight's type.
    """
    x, taps = x.to(weight.dtype), weight.shape[2]
    if flow.real is not None:
        x = x * flow.real.to(x.dtype)
    if flow.memory is None:
        near = None
        if flow.starts is not None and taps > 1:
            near = torch.stack([flow.near(lag) for lag in range(1, taps)])
        return _convolve(x, weight, bias, near)
    before = flow.memory.get("conv")
    x = torch.cat((x.new_zeros(len(x), taps - 1, x.shape[2]) if before is None else before, x), 1)
    flow.memory["conv"] = x[:, x.shape[1] - taps + 1 :]
    return _convolve(x, weight, bias, None)[:, taps - 1 :]


class _Taps(Function):
    """The convolution added up tap by tap, cheaper than `conv1d` with groups, nothing transposed or padded.
    `near` is [K - 1, B, T, 1], True where the token so many places before counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, near: Tensor | None) -> Tensor:
        taps = weight[:, 0].t().contiguous()
        y = torch.addcmul(bias, x, taps[-1])
        for lag in range(1, min(len(taps), x.shape[1])):
            y[:, lag:].addcmul_(_before(x, lag, near), taps[-1 - lag])
        ctx.save_for_backward(x, taps, near)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        (x, taps, near), grad = ctx.saved_tensors, grad_outputs[0]
        to_x, to_taps = grad * taps[-1], torch.zeros_like(taps)
        to_taps[-1] = (grad * x).sum((0, 1))
        for lag in range(1, min(len(taps), x.shape[1])):
            after = grad[:, lag:] if near is None else grad[:, lag:] * near[lag - 1][:, lag:]
            to_x[:, :-lag].addcmul_(after, taps[-1 - lag])
            to_taps[-1 - lag] = (after * x[:, :-lag]).sum((0, 1))
        return to_x, to_taps.t()[:, None], grad.sum((0, 1)), None


_convolve: Any = torch.compiler.disable(_Taps.apply)


def _before(x: Tensor, lag: int, near: Tensor | None) -> Tensor:
    """[B, T - lag, C] the tokens `lag` places before, 0 where they do not count."""
    return x[:, :-lag] if near is None else x[:, :-lag] * near[lag - 1][:, lag:]


def full(x: Tensor) -> Tensor:
    """In float32, or float64 where it is: states are added up over a whole sequence."""
    return x if x.dtype == torch.float64 else x.float()
