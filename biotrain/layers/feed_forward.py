"""The layer between attention layers: two matrices and an activation, SwiGLU, GeGLU, or SwiGLU experts.

Shapes: N tokens, D width, F inner width, E experts, k of them per token.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.kernels import expert_layers, feed_forward, linear, swiglu_layers
from biotrain.layers.scene import Scene
from biotrain.models.config import ModelConfig, MoEConfig

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "geglu": F.gelu,
}
"""Name to function, of `geglu` that of the gate."""


class Plain(nn.Module):
    """down(activation(up(x)))."""

    def __init__(self, config: ModelConfig, *, bias: bool, activation: str) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.ffn, bias=bias)
        self.down = nn.Linear(config.ffn, config.width, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if self.activation in ("gelu", "gelu_tanh"):
            return feed_forward(x, self.up, self.down, exact=self.activation == "gelu")
        return linear(ACTIVATIONS[self.activation](linear(x, self.up)), self.down)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)); `gate_up` holds both, the gate first."""

    def __init__(self, config: ModelConfig, *, bias: bool) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.ffn, bias=bias)
        self.down = nn.Linear(config.ffn, config.width, bias=bias)

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        return swiglu_layers(x, self.gate_up, self.down)


class GeGLU(nn.Module):
    """down(gelu(gate(x)) * up(x)); `gate_up` holds both, the gate first."""

    def __init__(self, config: ModelConfig, *, bias: bool) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.ffn, bias=False)
        self.down = nn.Linear(config.ffn, config.width, bias=bias)

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        gate, up = linear(x, self.gate_up).chunk(2, -1)
        return linear(F.gelu(gate) * up, self.down)


class Experts(nn.Module):
    """Each token goes through the k experts of its largest router logits; their outputs are added with the
    softmax over these k as weights. The router computes in float32 whatever the precision around it."""

    def __init__(self, config: ModelConfig, moe: MoEConfig) -> None:
        super().__init__()
        self.top_k = moe.top_k
        self.router = nn.Linear(config.width, moe.experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(moe.experts, 2 * config.ffn, config.width))
        self.down = nn.Parameter(torch.empty(moe.experts, config.width, config.ffn))

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        rows = x.flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(rows.float(), self.router.weight.float())
            largest, chosen = logits.topk(self.top_k, -1)
            weights = largest.softmax(-1)
        if scene.routing is not None:
            scene.routing.add(logits, chosen, None if scene.real is None else scene.real.flatten())
        return expert_layers(rows, chosen, weights, self.gate_up, self.down).view_as(x)


def build_feed_forward(config: ModelConfig) -> Plain | SwiGLU | GeGLU | Experts:
    """The layer of the architecture's style."""
    style = config.architecture.style
    assert style is not None
    if style.feed_forward == "experts":
        assert config.moe is not None
        return Experts(config, config.moe)
    if "geglu" in (style.feed_forward, config.activation):
        return GeGLU(config, bias=style.bias)
    if style.feed_forward == "swiglu":
        return SwiGLU(config, bias=style.bias)
    return Plain(config, bias=style.bias, activation=config.activation or style.feed_forward)
