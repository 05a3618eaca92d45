"""The layer of Mamba-2 (arXiv:2405.21060): heads with one decay each, matrices B and C beside the input.

Shapes: B sequences, T tokens, D width, C = expand x D channels in H heads, N states of a channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.kernels import linear
from biotrain.layers.ssm import draw_projections, draw_steps, draw_uniform
from biotrain.layers.ssm_chunks import Chunked, chunked_scan
from biotrain.layers.ssm_flow import Flow, causal_conv, full
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import ssm_of

LEAST, MOST = 1.0, 16.0
"""-A of the heads at the start is uniform between these."""


class Mamba2Mixer(nn.Module):
    """out(norm(scan(conv(x, B, C)) silu(gate))); `in_proj` gives gate, x, B, C and step lengths."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        ssm = ssm_of(config)
        channels = ssm.expand * config.width
        self.heads, self.states = channels // ssm.head_channels, ssm.state_size
        self.sizes = (channels, channels + 2 * ssm.state_size, self.heads)
        self.layers = config.layers * (2 if config.ffn else 1)
        self.in_proj = nn.Linear(config.width, sum(self.sizes), bias=False)
        self.conv_weight = nn.Parameter(torch.empty(self.sizes[1], 1, ssm.conv_taps))
        self.conv_bias = nn.Parameter(torch.empty(self.sizes[1]))
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.empty(self.heads))
        self.norm = nn.RMSNorm(channels, eps=config.norm_eps)
        self.out = nn.Linear(channels, config.width, bias=False)

    def forward(self, x: Tensor, flow: Flow) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        gate, inner, dt = linear(x, self.in_proj).split(self.sizes, -1)
        inner = F.silu(causal_conv(inner, self.conv_weight, self.conv_bias, flow))
        with torch.autocast(x.device.type, enabled=False):
            dt = F.softplus(full(dt) + full(self.dt_bias))
            if flow.real is not None:
                dt = dt * flow.real
            u, b, c = full(inner).split((self.sizes[0], self.states, self.states), -1)
            heads = u.unflatten(-1, (self.heads, -1))
            y = self._scan(Chunked(heads, dt, -full(self.A_log).exp(), b, c), flow)
            y = (y + heads * self.D[:, None]).flatten(2) * F.silu(full(gate))
            y = F.rms_norm(y, y.shape[-1:], full(self.norm.weight), self.norm.eps).to(gate.dtype)
        return linear(y, self.out)

    def _scan(self, drive: Chunked, flow: Flow) -> Tensor:
        if flow.memory is None:
            return chunked_scan(drive, starts=flow.starts)[0]
        state = flow.memory.get("state")
        if state is None:
            state = drive.u.new_zeros(len(drive.u), *drive.u.shape[2:], self.states)
        y, last = chunked_scan(drive, state=state)
        assert last is not None
        flow.memory["state"] = last
        return y

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """As mamba-ssm: -A uniform from 1 to 16, D 1, step lengths log-uniform from 0.001 to 0.1."""
        draw_projections(self.in_proj, self.out, self.layers, generator)
        draw_uniform(self.conv_weight, 1 / math.sqrt(self.conv_weight.shape[2]), generator)
        self.conv_bias.zero_()
        self.dt_bias.copy_(draw_steps(self.heads, generator))
        self.A_log.uniform_(LEAST, MOST, generator=generator).log_()
        self.D.fill_(1)
        self.norm.weight.fill_(1)
