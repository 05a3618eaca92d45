"""What a recurrent layer has to know of a forward pass in either direction; the convolution before a scan.

Shapes: B sequences, T tokens, C channels, K taps of the convolution.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

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

    def near(self, lag: int) -> Tensor | None:
        """[B, T, 1], 1 where the token `lag` places before is of the same document; `None` = everywhere."""
        if self.starts is None or lag == 0:
            return None
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

    Added up tap by tap: a fifth of the cost of `conv1d` with groups on the CPU, and nothing is transposed.

    Args:
        x: [B, T, C].
        weight: [C, 1, K], the last tap being the token's own.
        bias: [C].
        flow: its memory's `conv` holds the last K - 1 inputs.

    Returns:
        [B, T, C] of the weight's type.
    """
    x = x.to(weight.dtype)
    if flow.real is not None:
        x = x * flow.real.to(x.dtype)
    taps, tokens = weight.shape[2], x.shape[1]
    if flow.memory is None:
        padded = F.pad(x, (0, 0, taps - 1, 0))
    else:
        before = flow.memory.get("conv")
        before = x.new_zeros(len(x), taps - 1, x.shape[2]) if before is None else before
        padded = torch.cat((before, x), 1)
        flow.memory["conv"] = padded[:, tokens:]
    y = bias
    for tap in range(taps):
        part, near = padded[:, tap : tap + tokens], flow.near(taps - 1 - tap)
        y = torch.addcmul(y, part if near is None else part * near, weight[:, 0, tap])
    return y


def full(x: Tensor) -> Tensor:
    """In float32, or float64 where it is: states are added up over a whole sequence."""
    return x if x.dtype == torch.float64 else x.float()
