"""Blocks of the diffusion transformers in `modeling_dit.py`; needs torch and transformers."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel

USUAL = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
         "max_position_embeddings", "mask_token_id")  # fmt: skip


class SeqloomDitConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, and the usual names."""

    model_type = "seqloom_dit"

    def __init__(self, seqloom=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


def rope_table(places, width, base):
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=places.device) / width
    angles = places.float()[..., None] / base**steps
    angles = torch.cat((angles, angles), -1)[..., None, :]
    return angles.cos(), angles.sin()


def rotate(x, table):
    first, second = x.chunk(2, -1)
    return (x * table[0] + torch.cat((-second, first), -1) * table[1]).to(x.dtype)


def alibi(places, heads):
    power = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    slopes += [2 ** (-4 * (2 * j - 1) / power) for j in range(1, heads - power + 1)]
    return -torch.tensor(slopes, device=places.device)[:, None, None] * (places[:, None] - places).abs()


def waves(times):
    angles = 1000.0 * times.float()[..., None]
    angles = angles * torch.exp(-math.log(10_000.0) * torch.arange(128, device=times.device) / 128)
    return torch.cat((angles.cos(), angles.sin()), -1)


def make_norm(shape, affine):
    return nn.LayerNorm(shape["width"], eps=shape["norm_eps"], elementwise_affine=affine, bias=False)


class DitTime(nn.Module):
    def __init__(self, condition):
        super().__init__()
        self.up, self.out = nn.Linear(256, condition), nn.Linear(condition, condition)

    def forward(self, times, activate=True):
        x = self.out(F.silu(self.up(waves(times).to(self.up.weight.dtype))))
        return F.silu(x) if activate else x


class DitAttention(nn.Module):
    def __init__(self, shape, bias):
        super().__init__()
        self.heads, self.dropout = shape["heads"], shape["dropout"]
        self.qkv = nn.Linear(shape["width"], 3 * shape["width"], bias=bias)
        self.out = nn.Linear(shape["width"], shape["width"], bias=bias)

    def forward(self, x, bias, rope):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).unbind(2)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        bias = bias if bias is None or bias.dtype == torch.bool else bias.to(q.dtype)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class DitFeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.up = nn.Linear(shape["width"], shape["ffn"])
        self.down = nn.Linear(shape["ffn"], shape["width"])

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class DitBlock(nn.Module):
    """x + gate attention((1 + scale) norm(x) + shift), then so with the feed-forward layer."""

    def __init__(self, shape, condition, images):
        super().__init__()
        self.norm1, self.norm2 = make_norm(shape, not images), make_norm(shape, not images)
        self.attention, self.mlp = DitAttention(shape, images), DitFeedForward(shape)
        self.modulation = nn.Linear(condition, 6 * shape["width"])
        self.dropout = nn.Dropout(shape["dropout"])

    def forward(self, x, condition, bias, rope):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, -1)
        y = self.attention(self.norm1(x) * (1 + scale1) + shift1, bias, rope)
        x = x + gate1 * self.dropout(y)
        return x + gate2 * self.dropout(self.mlp(self.norm2(x) * (1 + scale2) + shift2))


class DitNorm(nn.Module):
    def __init__(self, shape, condition, images):
        super().__init__()
        self.norm = make_norm(shape, not images)
        self.modulation = nn.Linear(condition, 2 * shape["width"])

    def forward(self, x, condition):
        shift, scale = self.modulation(condition).chunk(2, -1)
        return self.norm(x) * (1 + scale) + shift


class SeqloomDitPreTrainedModel(PreTrainedModel):
    config_class = SeqloomDitConfig
    base_model_prefix = "model"
    _no_split_modules = ["DitBlock"]  # noqa: RUF012

    def _init_weights(self, module):
        for name, p in module.named_parameters(recurse=False):
            if p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
            elif name == "bias":
                nn.init.zeros_(p)
            else:
                nn.init.ones_(p)

    def make_blocks(self, condition, images):
        shape = self.config.seqloom
        self.time = DitTime(condition)
        blocks = (DitBlock(shape, condition, images) for _ in range(shape["layers"]))
        self.blocks, self.norm = nn.ModuleList(blocks), DitNorm(shape, condition, images)
