"""Hyena's mixer of order 2 (Poli et al., arXiv:2302.10866; HyenaDNA, arXiv:2306.15794).

    x0, x1, v = short convolution of the input projection,   y = out(x0 * (k * (x1 v) + skip x1 v))

with the long filter k_t = network(z_t) (exp(-t |decay|) + 0.05), made of its place alone.

Shapes: B sequences, T tokens, D width, S = 1 or 2 sides, E features of a place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.cache import States
from biotrain.layers.cpu_hyena import HyenaMix
from biotrain.layers.kernels import linear, use_kernels
from biotrain.layers.long_conv import long_conv
from biotrain.layers.mixer_block import Mixer, MixerBlock, mix_apart
from biotrain.layers.scene import Scene
from biotrain.layers.transformer import Transformer
from biotrain.models.config import ModelConfig
from biotrain.models.hyena_config import HyenaConfig

DECAY_FAST, DECAY_SLOW, DECAY_TARGET, SHIFT = 0.3, 1.5, 1e-2, 0.05
"""Channels fall to the target after these shares of the context, fast to slow; the shift is what stays."""


class ImplicitFilter(nn.Module):
    """The long filter of every channel as a function of the place t, of C places of the context.

    z_t = (t / (C - 1), cos(f w), -sin(f w)) with w = 2 pi t / C and f spaced evenly from 1e-4 to the number
    of bands - 1; the network has sines of trainable frequencies between its layers. It is computed in
    float32 whatever the precision around it, and not decayed.
    """

    undecayed = frozenset({"first.weight", "inner.0.weight", "inner.1.weight", "last.weight"})

    def __init__(self, config: ModelConfig, hyena: HyenaConfig) -> None:
        super().__init__()
        order, sides = hyena.filter_width, 1 + bool(config.bidirectional)
        self.context, self.width, self.start = config.context, config.width, hyena.filter_frequency
        self.bands = (hyena.filter_features - 1) // 2
        self.first = nn.Linear(hyena.filter_features, order)
        self.inner = nn.ModuleList(nn.Linear(order, order) for _ in range(2))
        self.last = nn.Linear(order, sides * config.width, bias=False)
        self.frequency = nn.Parameter(torch.empty(order))

    def forward(self, length: int) -> Tensor:
        """The first `length` places, [S, D, length]; the second side is that of later tokens."""
        device = self.frequency.device
        with torch.autocast(device.type, enabled=False):
            place = torch.arange(length, dtype=torch.float64, device=device)
            share = (place / (self.context - 1)).float()
            x = torch.sin(self.frequency * self.first(self._features(place, share)))
            for layer in self.inner:
                x = torch.sin(self.frequency * layer(x))
            slow, fast = math.log(DECAY_TARGET) / DECAY_SLOW, math.log(DECAY_TARGET) / DECAY_FAST
            decay = torch.linspace(slow, fast, self.width, device=device).abs()
            window = torch.exp(-share * decay[:, None]) + SHIFT
            return (self.last.weight @ x.t()).view(-1, self.width, length) * window

    def _features(self, place: Tensor, share: Tensor) -> Tensor:
        """z, [length, E]."""
        bands = torch.linspace(1e-4, self.bands - 1, self.bands, dtype=torch.float64, device=place.device)
        angles = 2 * math.pi / self.context * place[:, None] * bands
        return torch.cat((share[:, None], angles.cos().float(), -angles.sin().float()), 1)


class HyenaMixer(Mixer):
    """Projections, short convolution, gates and the long convolution.

    Two-sided, the short convolution is centred and the long filter has a second half for later tokens.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.hyena is not None
        width, self.taps = config.width, config.hyena.short_conv
        self.two_sided, self.context = bool(config.bidirectional), config.context
        self.inner = nn.Linear(width, 3 * width)
        self.short = nn.Conv1d(3 * width, 3 * width, self.taps, groups=3 * width)
        self.filter = ImplicitFilter(config, config.hyena)
        self.skip = nn.Parameter(torch.empty(width))
        self.out = nn.Linear(width, width)

    def init_weights(self, generator: torch.Generator) -> None:
        """The published start: normal skips, short convolutions as PyTorch's, sines of frequency w."""
        edge = 1 / math.sqrt(self.taps)
        with torch.no_grad():
            self.skip.normal_(generator=generator)
            self.short.weight.uniform_(-edge, edge, generator=generator)
            assert self.short.bias is not None
            self.short.bias.uniform_(-edge, edge, generator=generator)
            self.filter.frequency.fill_(self.filter.start)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if scene.states is not None:
            return self.out(self._go_on(self.inner(x), scene.states, layer))
        if scene.documents is None and use_kernels(x):
            return self._by_kernel(x, scene.real)
        return linear(mix_apart(linear(x, self.inner), scene, self._mix), self.out)

    def _by_kernel(self, x: Tensor, real: Tensor | None) -> Tensor:
        weights = (self.inner.weight, self.inner.bias, self.short.weight, self.short.bias, self.skip,
                   self.out.weight, self.out.bias)  # fmt: skip
        mask = real if self.two_sided else None
        return HyenaMix.apply(x.contiguous(), self.filter(x.shape[1]), mask, *weights)

    def _mix(self, u: Tensor, real: Tensor | None) -> Tensor:
        """[N, L, 3 D] to [N, L, D]; a causal filter cannot see the padding on the right."""
        mask = real[:, None] if real is not None and self.two_sided else None
        u = u.transpose(1, 2)
        u = u if mask is None else u * mask
        after = (self.taps - 1) // 2 if self.two_sided else 0
        x0, x1, v = self.short(F.pad(u, (self.taps - 1 - after, after))).chunk(3, 1)
        v = v * x1 if mask is None else v * x1 * mask
        y = long_conv(v, self.filter(v.shape[-1])) + v * self.skip[:, None]
        return (y.to(x0.dtype) * x0).transpose(1, 2)

    def _go_on(self, u: Tensor, states: States, layer: int) -> Tensor:
        """The same for tokens that follow on others, [B, t, 3 D] to [B, t, D].

        Remembered are the last tokens for the short convolution and every gated value for the long one: a new
        token costs one product with each, as in attention's cache.
        """
        state, new = states.of[layer], u.shape[1]
        before = state.get("inputs", u.new_zeros(len(u), self.taps - 1, u.shape[2]))
        window = torch.cat((before, u), 1)
        state["inputs"] = window[:, window.shape[1] - self.taps + 1 :]
        x0, x1, v = self.short(window.transpose(1, 2)).chunk(3, 1)
        gated = v * x1
        values = torch.cat((state["values"], gated), -1) if "values" in state else gated
        state["values"] = values
        k = self._remembered_filter(states.shared[layer], values.shape[-1])
        if new == 1:
            y = (values * k.flip(-1)).sum(-1, keepdim=True)
        else:
            y = long_conv(values, k[None])[..., -new:].to(v.dtype)
        return (x0 * (y + gated * self.skip[:, None])).transpose(1, 2)

    def _remembered_filter(self, shared: dict[str, Tensor], length: int) -> Tensor:
        """[D, length]; computed for twice the length each time it is too short."""
        if "filter" not in shared or shared["filter"].shape[-1] < length:
            shared["filter"] = self.filter(min(2 * length, self.context))[0]
        return shared["filter"][:, :length]


class Hyena(Transformer):
    """Hyena's blocks between the embeddings and the output layer of a transformer."""

    def make_block(self, layer: int) -> MixerBlock:
        """Hyena's mixer, then the feed-forward layer."""
        style = self.config.architecture.style
        assert style is not None
        return MixerBlock(self.config, style, HyenaMixer(self.config))

    def new_cache(self, rows: int, length: int) -> States:
        """An empty memory; it grows with what is read."""
        return States(self.config.layers)
