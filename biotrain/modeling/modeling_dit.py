"""Diffusion transformers written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForMaskedLM` (tokens) or `AutoModel` (pictures) by
`.from_pretrained(folder, trust_remote_code=True)`. The model of tokens reads its noise level from the share
of mask tokens; pad on the right. The model of pictures has `sample(count)`, which gives pictures like those
it was trained on, with `label` of one of `config.seqloom["image"]["classes"]`.
"""

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

SPECIAL = 6
"""Ids below it are special tokens, which are never hidden."""

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

    def forward(self, times):
        return self.out(F.silu(self.up(waves(times).to(self.up.weight.dtype))))


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


class DitBlock(nn.Module):
    """x + gate attention((1 + scale) norm(x) + shift), then so with the feed-forward layer."""

    def __init__(self, shape, condition, images):
        super().__init__()
        self.norm1, self.norm2 = make_norm(shape, not images), make_norm(shape, not images)
        self.attention = DitAttention(shape, images)
        up, down = nn.Linear(shape["width"], shape["ffn"]), nn.Linear(shape["ffn"], shape["width"])
        self.mlp = nn.Sequential(OrderedDict(up=up, gelu=nn.GELU("tanh"), down=down))
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


class SeqloomDitModel(SeqloomDitPreTrainedModel):
    """Hidden states; the last are after the final norm."""

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        self.tokens = nn.Embedding(config.vocab_size, shape["width"])
        if shape["position"] == "learned":
            self.positions = nn.Embedding(shape["context"], shape["width"])
        self.make_blocks(shape["dit"]["condition"], False)
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def noise_level(self, ids, mask):
        """Share of mask tokens among those that are hidden or could be, [B, 1]."""
        hidden = ids == self.config.mask_token_id
        able = hidden | (ids >= SPECIAL)
        if mask is not None:
            hidden, able = hidden & mask, able & mask
        return hidden.float().sum(1, keepdim=True) / able.float().sum(1, keepdim=True).clamp(min=1)

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, return_dict=None, **kwargs):
        shape = self.config.seqloom
        mask = None if attention_mask is None else attention_mask.bool()
        condition = F.silu(self.time(self.noise_level(input_ids, mask)))
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x, rope = self.tokens(input_ids), None
        if shape["position"] == "learned":
            x = x + self.positions(places)
        if shape["position"] == "rope":
            rope = rope_table(places, shape["width"] // shape["heads"], shape["rope_base"])
        bias = None if mask is None else mask[:, None, None]
        if shape["position"] == "alibi":
            slopes = alibi(places, shape["heads"])[None]
            bias = slopes if bias is None else slopes.masked_fill(~bias, float("-inf"))
        states = [F.dropout(x, shape["dropout"], self.training)]
        for block in self.blocks:
            states.append(block(states[-1], condition, bias, rope))
        states[-1] = self.norm(states[-1], condition)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutput(states[-1], hidden_states=tuple(states) if wanted else None)
        return output.to_tuple() if return_dict is False else output


class DitHead(nn.Module):
    """The part of the output layer that is not tied."""

    def __init__(self, config):
        super().__init__()
        shape = (config.vocab_size, config.hidden_size)
        self.weight = None if config.tie_word_embeddings else nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))


class SeqloomDitForMaskedLM(SeqloomDitPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomDitModel(config), DitHead(config)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        weight = self.model.tokens.weight if self.head.weight is None else self.head.weight
        logits = F.linear(encoded.last_hidden_state, weight, self.head.bias)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomDitImageConfig(SeqloomDitConfig):
    model_type = "seqloom_dit_image"


class SeqloomDitImageModel(SeqloomDitPreTrainedModel):
    """What tells the noise of pictures."""

    config_class = SeqloomDitImageConfig

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        side, self.patch = shape["image"]["side"], shape["image"]["patch"]
        self.channels, self.grid = 1 if shape["image"]["picture"] == "fcgr" else 4, side // self.patch
        numbers = self.channels * self.patch**2
        told = numbers * (2 if shape["image"].get("learned_variance") else 1)
        self.patches, self.head = nn.Linear(numbers, shape["width"]), nn.Linear(shape["width"], told)
        self.classes = shape["image"].get("classes") or []
        if shape["image"].get("label"):
            self.labels = nn.Embedding(len(self.classes) + 1, shape["width"])
        self.make_blocks(shape["width"], True)
        self.post_init()

    def places(self):
        quarter = self.config.seqloom["width"] // 4
        speed = torch.exp(-math.log(10_000.0) * torch.arange(quarter, dtype=torch.float64) / quarter)
        angles = torch.arange(self.grid, dtype=torch.float64)[:, None] * speed
        line = torch.cat((angles.sin(), angles.cos()), 1)
        both = torch.cat((line.repeat(self.grid, 1), line.repeat_interleave(self.grid, 0)), 1)
        return both.to(self.head.weight)

    def forward(self, pixel_values, times, labels=None, return_dict=None, **kwargs):
        """Pictures [B, channels, side, side] with noise, times [B] from 0 (clean) to 1 (noise), labels [B],
        the number of classes = none. With a learned variance twice the channels come back."""
        b, g, p, k = len(pixel_values), self.grid, self.patch, self.channels
        cut = pixel_values.view(b, k, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(b, g * g, -1)
        x, condition = self.patches(cut) + self.places(), self.time(times[:, None])
        if self.config.seqloom["image"].get("label"):
            none = times.new_full((b,), len(self.classes), dtype=torch.long)
            condition = condition + self.labels(none if labels is None else labels)[:, None]
        condition = F.silu(condition)
        for block in self.blocks:
            x = block(x, condition, None, None)
        told = self.head(self.norm(x, condition)).view(b, g, g, -1, p, p)
        told = told.permute(0, 3, 1, 4, 2, 5).reshape(b, -1, g * p, g * p)
        return (told,) if return_dict is False else BaseModelOutput(told)

    @torch.no_grad()
    def sample(self, count, steps=100, generator=None, label=None, guidance=1.0):
        """Pictures by DDIM on the cosine schedule; fcgr: ln((1 + r) / 2), color_square: 1 at the letter. With
        `label` of that class, by none + guidance x (label - none)."""
        wanted = None
        if label is not None:
            wanted = torch.full((count,), self.classes.index(label), device=self.device)
        z = torch.randn(count, self.channels, self.grid * self.patch, self.grid * self.patch,
                        generator=generator).to(self.head.weight)  # fmt: skip
        for step in range(steps):
            time, next_time = (0.999 * (1 - number / steps) for number in (step, step + 1))
            (alpha, sigma), (next_alpha, next_sigma) = schedule(time), schedule(next_time)
            times = z.new_full((count,), time)
            told = self(z, times, wanted).last_hidden_state[:, : self.channels]
            if wanted is not None and guidance != 1:
                without = self(z, times).last_hidden_state[:, : self.channels]
                told = without + guidance * (told - without)
            x, e = alpha * z - sigma * told, sigma * z + alpha * told
            if self.config.seqloom["image"]["tells"] == "eps":
                x, e = (z - sigma * told) / alpha, told
            z = next_alpha * x + next_sigma * e
        return z


def schedule(time):
    quarter = math.pi / 2 / 1.008
    alpha = min(1.0, max(0.0, math.cos((time + 0.008) * quarter) / math.cos(0.008 * quarter)))
    return alpha, math.sqrt(1 - alpha**2)


__all__ = ["SeqloomDitConfig", "SeqloomDitForMaskedLM", "SeqloomDitImageConfig", "SeqloomDitImageModel",
           "SeqloomDitModel"]  # fmt: skip
