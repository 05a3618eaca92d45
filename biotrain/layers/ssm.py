"""The layers of Mamba (arXiv:2312.00752): a selective core between two projections, a block around them.

Shapes: B sequences, T tokens, D width, C = expand x D channels, N states of a channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.feed_forward import build_feed_forward
from biotrain.layers.kernels import linear
from biotrain.layers.mixer_block import make_norm
from biotrain.layers.scene import Scene
from biotrain.layers.ssm_flow import Flow, causal_conv, flow_of, full
from biotrain.layers.ssm_scan import Selective, selective_scan
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import SsmConfig, ssm_of

SHORTEST, LONGEST, FLOOR = 1e-3, 0.1, 1e-4
"""Step lengths at the start are drawn between these, log-uniformly, and are at least the last."""


class SelectiveCore(nn.Module):
    """Convolution, selective scan and gate: what one direction of a Mamba layer is made of."""

    undecayed = frozenset({"A_log"})

    def __init__(self, width: int, ssm: SsmConfig) -> None:
        super().__init__()
        channels = ssm.expand * width
        self.sizes = (ssm.dt_rank, ssm.state_size, ssm.state_size)
        self.conv_weight = nn.Parameter(torch.empty(channels, 1, ssm.conv_taps))
        self.conv_bias = nn.Parameter(torch.empty(channels))
        self.x_proj = nn.Linear(channels, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(ssm.dt_rank, channels)
        self.A_log = nn.Parameter(torch.empty(channels, ssm.state_size))
        self.D = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, gate: Tensor, flow: Flow) -> Tensor:
        """x and gate [B, T, C] to [B, T, C]."""
        u = F.silu(causal_conv(x, self.conv_weight, self.conv_bias, flow))
        rank, b, c = linear(u, self.x_proj).split(self.sizes, -1)
        dt = F.linear(rank, self.dt_proj.weight)
        with torch.autocast(x.device.type, enabled=False):
            dt = F.softplus(full(dt) + full(self.dt_proj.bias))
            if flow.real is not None:
                dt = dt * flow.real
            drive = Selective(full(u), dt, -full(self.A_log).exp(), full(b), full(c))
            y = self._scan(drive, flow) + drive.u * self.D
            return (y * F.silu(full(gate))).to(gate.dtype)

    def _scan(self, drive: Selective, flow: Flow) -> Tensor:
        if flow.memory is None:
            return selective_scan(drive, starts=flow.starts)[0]
        state = flow.memory.get("state")
        if state is None:
            state = drive.u.new_zeros(len(drive.u), *drive.a.shape[::-1])
        y, last = selective_scan(drive, state=state)
        assert last is not None
        flow.memory["state"] = last
        return y

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """The paper's start: A = -(1, 2, .. N), D 1, step lengths log-uniform from 0.001 to 0.1."""
        channels, states = self.A_log.shape
        draw_uniform(self.conv_weight, 1 / math.sqrt(self.conv_weight.shape[2]), generator)
        self.conv_bias.zero_()
        draw_uniform(self.x_proj.weight, 1 / math.sqrt(channels), generator)
        draw_uniform(self.dt_proj.weight, 1 / math.sqrt(self.sizes[0]), generator)
        self.dt_proj.bias.copy_(draw_steps(channels, generator))
        self.A_log.copy_(torch.arange(1.0, states + 1).log().expand(channels, -1))
        self.D.fill_(1)


class MambaMixer(nn.Module):
    """out(core(in(x))): the layer of Mamba-1."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        ssm = ssm_of(config)
        channels = ssm.expand * config.width
        self.layers = config.layers * (2 if config.ffn else 1)
        self.in_proj = nn.Linear(config.width, 2 * channels, bias=False)
        self.core = SelectiveCore(config.width, ssm)
        self.out = nn.Linear(channels, config.width, bias=False)

    def forward(self, x: Tensor, flow: Flow) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        inner, gate = linear(x, self.in_proj).chunk(2, -1)
        return linear(self.core(inner, gate, flow), self.out)

    def init_weights(self, generator: torch.Generator) -> None:
        """Uniform within 1 / sqrt(inputs); `out` smaller by the root of the number of layers added up."""
        draw_projections(self.in_proj, self.out, self.layers, generator)
        self.core.init_weights(generator)


class TwoWayMixer(nn.Module):
    """out(core(in(x)) + another core(in(x)) read from the end): Caduceus's layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        ssm = ssm_of(config)
        channels = ssm.expand * config.width
        self.layers = config.layers * (2 if config.ffn else 1)
        self.in_proj = nn.Linear(config.width, 2 * channels, bias=False)
        self.ahead = SelectiveCore(config.width, ssm)
        self.back = SelectiveCore(config.width, ssm)
        self.out = nn.Linear(channels, config.width, bias=False)

    def forward(self, x: Tensor, flow: Flow) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        inner, gate = linear(x, self.in_proj).chunk(2, -1)
        turned = self.back(inner.flip(1), gate.flip(1), flow.turned()).flip(1)
        return linear(self.ahead(inner, gate, flow) + turned, self.out)

    def init_weights(self, generator: torch.Generator) -> None:
        """As `MambaMixer`."""
        draw_projections(self.in_proj, self.out, self.layers, generator)
        self.ahead.init_weights(generator)
        self.back.init_weights(generator)


class SsmBlock(nn.Module):
    """x + mixer(norm(x)); then x + feed-forward(norm(x)) where the model has one (HELM)."""

    def __init__(self, config: ModelConfig, mixer: nn.Module) -> None:
        super().__init__()
        style = config.architecture.style
        assert style is not None
        self.norm1 = make_norm(config, style)
        self.mixer = mixer
        if config.ffn:
            self.norm2 = make_norm(config, style)
            self.mlp = build_feed_forward(config)
        self.has_mlp, self.dropout = bool(config.ffn), config.dropout

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        x, last = self.parts(x, scene, flow_of(scene, layer))
        return x + last

    def parts(self, x: Tensor, scene: Scene, flow: Flow) -> tuple[Tensor, Tensor]:
        """The two parts of the result.

        Args:
            x: [B, T, D].
            scene: of the forward pass.
            flow: of the direction it is read in.

        Returns:
            The stream, and what the block's last layer adds to it.
        """
        added = self._drop(self.mixer(self.norm1(x), flow))
        if not self.has_mlp:
            return x, added
        x = x + added
        return x, self._drop(self.mlp(self.norm2(x), scene))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


def draw_uniform(weight: Tensor, limit: float, generator: torch.Generator) -> None:
    """Uniform numbers in place.

    Args:
        weight: to write.
        limit: largest absolute value.
        generator: of the numbers.
    """
    with torch.no_grad():
        weight.uniform_(-limit, limit, generator=generator)


def draw_projections(first: nn.Linear, last: nn.Linear, layers: int, generator: torch.Generator) -> None:
    """Start of the projections around a core: uniform within 1 / sqrt(inputs).

    Args:
        first: into the core.
        last: out of it, smaller by the root of `layers`.
        layers: that are added up in the residual stream.
        generator: of the numbers.
    """
    draw_uniform(first.weight, 1 / math.sqrt(first.in_features), generator)
    draw_uniform(last.weight, 1 / math.sqrt(last.in_features * layers), generator)


def draw_steps(count: int, generator: torch.Generator) -> Tensor:
    """[count] biases whose softplus is log-uniform from 0.001 to 0.1."""
    low, high = math.log(SHORTEST), math.log(LONGEST)
    steps = (torch.rand(count, generator=generator) * (high - low) + low).exp().clamp_min(FLOOR)
    return steps + (-torch.expm1(-steps)).log()
