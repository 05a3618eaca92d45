"""The layers of Based (arXiv:2402.18668) and the model of them.

Shapes: B sequences, T tokens, D width, H heads, e = D / H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.cache import States
from biotrain.layers.cpu_attention import Layout
from biotrain.layers.cpu_gated import GatedConvolution
from biotrain.layers.kernels import causal_attention, linear, merge_heads, serves_attention, use_kernels
from biotrain.layers.linear_attention import taylor_attention, taylor_step
from biotrain.layers.mixer_block import Mixer, MixerBlock, mix_apart
from biotrain.layers.positions import rotate
from biotrain.layers.scene import Scene
from biotrain.layers.transformer import Transformer
from biotrain.layers.window_attention import window_attention, window_step
from biotrain.models.based import based_of, kind_of
from biotrain.models.config import ModelConfig


class LinearAttention(Mixer):
    """Queries and keys of `feature_width` numbers, their Taylor polynomial, values of full width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.features = config.heads, config.heads * based_of(config).feature_width
        self.causal = not config.bidirectional
        self.inner = nn.Linear(config.width, 2 * self.features + config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if scene.states is not None:
            return self.out(self._go_on(self.inner(x), scene.states, layer))
        return linear(mix_apart(linear(x, self.inner), scene, self._mix), self.out)

    def _heads(self, u: Tensor) -> list[Tensor]:
        """Queries, keys and values, [B, H, T, ..]."""
        parts = u.split((self.features, self.features, u.shape[-1] - 2 * self.features), -1)
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]

    def _mix(self, u: Tensor, real: Tensor | None) -> Tensor:
        q, k, v = self._heads(u)
        return merge_heads(taylor_attention(q, k, v, real=real, causal=self.causal)).to(u.dtype)

    def _go_on(self, u: Tensor, states: States, layer: int) -> Tensor:
        """One state of fixed size is remembered, in float32."""
        state = states.of[layer]
        with torch.autocast(u.device.type, enabled=False):
            q, k, v = self._heads(u.float())
            y, state["sums"] = taylor_step(q, k, v, state.get("sums"))
        return merge_heads(y).to(u.dtype)


class WindowAttention(Mixer):
    """Softmax attention to the nearest tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.window = config.heads, based_of(config).attention_window
        self.causal, self.dropout = not config.bidirectional, config.dropout
        self.inner = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if self.causal and scene.states is None and use_kernels(x):
            sizes = [x.shape[1]] * len(x) if scene.documents is None else scene.documents.sizes
            layout = Layout(self.heads, self.heads, (x.shape[2] // self.heads) ** -0.5, sizes, self.window)
            if serves_attention(x, layout, self.dropout if self.training else 0.0):
                return linear(causal_attention(x, self.inner, layout, scene.rope), self.out)
        u = linear(x, self.inner)
        if scene.rope is not None:
            turned, v = u.unflatten(-1, (3, self.heads, -1)).split((2, 1), 2)
            turned = rotate(turned.flatten(2, 3), scene.rope)
            u = torch.cat((turned.flatten(2), v.flatten(2)), -1)
        if scene.states is not None:
            return self.out(self._go_on(u, scene.states, layer))
        return linear(mix_apart(u, scene, self._mix), self.out)

    def _heads(self, u: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, [B, H, T, e]."""
        return u.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _mix(self, u: Tensor, real: Tensor | None) -> Tensor:
        q, k, v = self._heads(u)
        dropout = self.dropout if self.training else 0.0
        y = window_attention(q, k, v, window=self.window, real=real, causal=self.causal, dropout=dropout)
        return merge_heads(y)

    def _go_on(self, u: Tensor, states: States, layer: int) -> Tensor:
        """The keys and values of one window are remembered."""
        state, (q, k, v) = states.of[layer], self._heads(u)
        for name, new in (("keys", k), ("values", v)):
            state[name] = torch.cat((state[name], new), 2) if name in state else new
        y = window_step(q, state["keys"], state["values"], window=self.window)
        for name in ("keys", "values"):
            state[name] = state[name][:, :, max(0, state[name].shape[2] - self.window + 1) :]
        return merge_heads(y)


class GatedConv(Mixer):
    """out(silu(convolution(first half)) * second half) of a widened projection; centred when two-sided."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        based = based_of(config)
        half, self.taps = based.conv_expand * config.width // 2, based.conv_kernel
        self.two_sided = bool(config.bidirectional)
        self.inner = nn.Linear(config.width, 2 * half, bias=False)
        self.short = nn.Conv1d(half, half, self.taps, groups=half, bias=False)
        self.out = nn.Linear(half, config.width, bias=False)

    def init_weights(self, generator: torch.Generator) -> None:
        """The convolution starts as PyTorch's."""
        with torch.no_grad():
            self.short.weight.uniform_(-(self.taps**-0.5), self.taps**-0.5, generator=generator)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if scene.states is not None:
            return self.out(self._go_on(self.inner(x), scene.states, layer))
        return linear(mix_apart(linear(x, self.inner), scene, self._mix), self.out)

    def _mix(self, u: Tensor, real: Tensor | None) -> Tensor:
        if not self.two_sided and use_kernels(u):
            return GatedConvolution.apply(u, self.short.weight)
        first, gate = u.chunk(2, -1)
        if real is not None and self.two_sided:
            first = first * real[..., None]
        after = (self.taps - 1) // 2 if self.two_sided else 0
        y = self.short(F.pad(first.transpose(1, 2), (self.taps - 1 - after, after)))
        return F.silu(y).transpose(1, 2) * gate

    def _go_on(self, u: Tensor, states: States, layer: int) -> Tensor:
        """The last inputs of the convolution are remembered."""
        state, (first, gate) = states.of[layer], u.chunk(2, -1)
        before = state.get("inputs", first.new_zeros(len(u), self.taps - 1, first.shape[2]))
        window = torch.cat((before, first), 1)
        state["inputs"] = window[:, window.shape[1] - self.taps + 1 :]
        return F.silu(self.short(window.transpose(1, 2))).transpose(1, 2) * gate


MIXERS = {"linear": LinearAttention, "window": WindowAttention, "conv": GatedConv}


class Based(Transformer):
    """Blocks of three kinds between the embeddings and the output layer of a transformer."""

    def make_block(self, layer: int) -> MixerBlock:
        """The mixer of the block's kind, then the feed-forward layer."""
        style = self.config.architecture.style
        assert style is not None
        return MixerBlock(self.config, style, MIXERS[kind_of(self.config, layer)](self.config))

    def new_cache(self, rows: int, length: int) -> States:
        """An empty memory of fixed size: it does not grow with what is read."""
        return States(self.config.layers)
