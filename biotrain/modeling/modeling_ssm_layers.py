"""Layers of the models of `modeling_ssm.py`. The scans are plain loops over time: right, not fast.

Shapes: B sequences, T tokens, P channels, N states of a channel.
"""

import torch
from torch import nn
from torch.nn import functional as F


def causal_conv(x, weight, bias, memory):
    taps, tokens = weight.shape[2], x.shape[1]
    before = x.new_zeros(len(x), taps - 1, x.shape[2]) if memory is None else memory.get("conv")
    before = x.new_zeros(len(x), taps - 1, x.shape[2]) if before is None else before
    padded = torch.cat((before, x), 1)
    if memory is not None:
        memory["conv"] = padded[:, tokens:]
    y = bias
    for tap in range(taps):
        y = torch.addcmul(y, padded[:, tap : tap + tokens], weight[:, 0, tap])
    return y


def run_scan(fall, inner, b, c, memory):
    """h = exp(fall) h + inner b, y = h c over time; inner [B, T, .., P], b [B, T, .., N], c [B, T, N]."""
    state, out = None if memory is None else memory.get("state"), []
    for step, x, row, column in zip(*(t.unbind(1) for t in (fall, inner, b, c))):
        new = x[..., None] * row[..., None, :]
        state = new if state is None else step.exp() * state + new
        out.append(torch.einsum("b...n,bn->b...", state, column))
    if memory is not None:
        memory["state"] = state
    return torch.stack(out, 1)


class SeqloomSsmCore(nn.Module):
    """Mamba-1: convolution, selective scan, gate."""

    def __init__(self, shape):
        super().__init__()
        ssm = shape["ssm"]
        channels, states = ssm["expand"] * shape["width"], ssm["state_size"]
        self.sizes = (ssm["dt_rank"], states, states)
        self.conv_weight = nn.Parameter(torch.empty(channels, 1, ssm["conv_taps"]))
        self.conv_bias = nn.Parameter(torch.empty(channels))
        self.x_proj = nn.Linear(channels, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(ssm["dt_rank"], channels)
        self.A_log = nn.Parameter(torch.empty(channels, states))
        self.D = nn.Parameter(torch.empty(channels))

    def forward(self, x, gate, real, memory):
        u = F.silu(causal_conv(x * real, self.conv_weight, self.conv_bias, memory))
        rank, b, c = self.x_proj(u).split(self.sizes, -1)
        dt = F.softplus(self.dt_proj(rank).float()) * real
        u, a = u.float(), -self.A_log.float().exp()
        y = run_scan(dt[..., None] * a, dt * u, b.float(), c.float(), memory)
        return ((y + u * self.D) * F.silu(gate.float())).to(x.dtype)


class SeqloomSsmMixer(nn.Module):
    """Mamba-1 between its projections."""

    def __init__(self, shape):
        super().__init__()
        channels = shape["ssm"]["expand"] * shape["width"]
        self.in_proj = nn.Linear(shape["width"], 2 * channels, bias=False)
        self.core = SeqloomSsmCore(shape)
        self.out = nn.Linear(channels, shape["width"], bias=False)

    def forward(self, x, real, memory):
        inner, gate = self.in_proj(x).chunk(2, -1)
        return self.out(self.core(inner, gate, real, memory))


class SeqloomSsmTwoWay(nn.Module):
    """Caduceus: two cores, one reading from the end, between the same projections."""

    def __init__(self, shape):
        super().__init__()
        channels = shape["ssm"]["expand"] * shape["width"]
        self.in_proj = nn.Linear(shape["width"], 2 * channels, bias=False)
        self.ahead, self.back = SeqloomSsmCore(shape), SeqloomSsmCore(shape)
        self.out = nn.Linear(channels, shape["width"], bias=False)

    def forward(self, x, real, memory):
        inner, gate = self.in_proj(x).chunk(2, -1)
        turned = self.back(inner.flip(1), gate.flip(1), real.flip(1), None).flip(1)
        return self.out(self.ahead(inner, gate, real, None) + turned)


class SeqloomSsm2(nn.Module):
    """Mamba-2: heads with one decay each."""

    def __init__(self, shape):
        super().__init__()
        ssm = shape["ssm"]
        channels, self.states = ssm["expand"] * shape["width"], ssm["state_size"]
        self.heads = channels // ssm["head_channels"]
        self.sizes = (channels, channels + 2 * self.states, self.heads)
        self.in_proj = nn.Linear(shape["width"], sum(self.sizes), bias=False)
        self.conv_weight = nn.Parameter(torch.empty(self.sizes[1], 1, ssm["conv_taps"]))
        self.conv_bias = nn.Parameter(torch.empty(self.sizes[1]))
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log, self.D = nn.Parameter(torch.empty(self.heads)), nn.Parameter(torch.empty(self.heads))
        self.norm = nn.RMSNorm(channels, eps=shape["norm_eps"])
        self.out = nn.Linear(channels, shape["width"], bias=False)

    def forward(self, x, real, memory):
        gate, inner, dt = self.in_proj(x).split(self.sizes, -1)
        inner = F.silu(causal_conv(inner * real, self.conv_weight, self.conv_bias, memory)).float()
        u, b, c = inner.split((self.sizes[0], self.states, self.states), -1)
        u, dt = u.unflatten(-1, (self.heads, -1)), F.softplus(dt.float() + self.dt_bias.float()) * real
        a = -self.A_log.float().exp()
        y = run_scan(dt[..., None, None] * a[:, None, None], dt[..., None] * u, b[:, :, None], c, memory)
        y = (y + u * self.D[:, None]).flatten(2) * F.silu(gate.float())
        return self.out(self.norm(y.to(gate.dtype)))


class SeqloomSsmFeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_up = nn.Linear(shape["width"], 2 * shape["ffn"], bias=False)
        self.down = nn.Linear(shape["ffn"], shape["width"], bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class SeqloomSsmBlock(nn.Module):
    """A mixer, and a feed-forward layer where the model has one."""

    def __init__(self, shape):
        super().__init__()
        self.norm1 = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
        self.mixer = MIXERS[shape["name"]](shape)
        if shape["ffn"]:
            self.norm2 = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
            self.mlp = SeqloomSsmFeedForward(shape)
        self.has_mlp, self.dropout = bool(shape["ffn"]), nn.Dropout(shape["dropout"])

    def forward(self, x, real, memory):
        stream, added = self.parts(x, real, memory)
        return stream + added

    def parts(self, x, real, memory):
        added = self.dropout(self.mixer(self.norm1(x), real, memory))
        if not self.has_mlp:
            return x, added
        x = x + added
        return x, self.dropout(self.mlp(self.norm2(x)))


class SeqloomSsmTwoBlocks(nn.Module):
    """HELM's bidirectional layer: a block ahead and one from the end, joined."""

    def __init__(self, shape):
        super().__init__()
        self.ahead, self.back = SeqloomSsmBlock(shape), SeqloomSsmBlock(shape)
        self.join = nn.Linear(2 * shape["width"], shape["width"])

    def forward(self, x, real, memory):
        stream, added = self.ahead.parts(x, real, None)
        turned = [part.flip(1) for part in self.back.parts(x.flip(1), real.flip(1), None)]
        return (stream + turned[0]) / 2 + self.join(torch.cat((added, turned[1]), -1))


MIXERS = {"mamba": SeqloomSsmMixer, "bimamba": SeqloomSsmMixer, "mamba2": SeqloomSsm2,
          "caduceus": SeqloomSsmTwoWay}  # fmt: skip
