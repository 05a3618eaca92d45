"""Discriminator or generator written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights of an ELECTRA or METRO pair with rotary, ALiBi or relative positions. Load
with `AutoModelForPreTraining` (the discriminator; logits of "this token was replaced"),
`AutoModelForMaskedLM` (the generator, in its own folder) or `AutoModel` by
`.from_pretrained(folder, trust_remote_code=True)`.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput, TokenClassifierOutput

USUAL = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "embedding_size",
         "max_position_embeddings", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
         "mask_token_id")  # fmt: skip


class SeqloomElectraConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, and the usual names."""

    model_type = "seqloom_electra"

    def __init__(self, seqloom=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


def rope_table(places, width, base):
    """Half-split rotary embedding; places [B, T] to cosines and sines [B, T, 1, width]."""
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=places.device) / width
    angles = places.float()[..., None] / base**steps
    angles = torch.cat((angles, angles), -1)[..., None, :]
    return angles.cos(), angles.sin()


def rotate(x, table):
    first, second = x.chunk(2, -1)
    return (x * table[0] + torch.cat((-second, first), -1) * table[1]).to(x.dtype)


def alibi_slopes(heads):
    power = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return slopes + [2 ** (-4 * (2 * j - 1) / power) for j in range(1, heads - power + 1)]


def relative_buckets(distance):
    """T5's kinds of distance: 8 near ones to either side, then 8 of equal ratio up to 128."""
    size = distance.abs()
    far = 8 + (torch.log(size.clamp(min=1).double() / 8) / math.log(16) * 8).long()
    return torch.where(size < 8, size, far.clamp(max=15)) + 16 * (distance > 0)


def make_norm(config, width):
    return nn.LayerNorm(width, eps=config.layer_norm_eps)


class SeqloomElectraAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x, bias, rope):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).unbind(2)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        bias = bias if bias is None or bias.dtype == torch.bool else bias.to(q.dtype)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class SeqloomElectraGelu(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class SeqloomElectraBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm1, self.norm2 = (make_norm(config, config.hidden_size) for _ in range(2))
        self.attention, self.mlp = SeqloomElectraAttention(config), SeqloomElectraGelu(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, bias, rope):
        x = self.norm1(x + self.dropout(self.attention(x, bias, rope)))
        return self.norm2(x + self.dropout(self.mlp(x)))


class SeqloomElectraPreTrainedModel(PreTrainedModel):
    config_class = SeqloomElectraConfig
    base_model_prefix = "model"
    _no_split_modules = ["SeqloomElectraBlock"]  # noqa: RUF012

    def _init_weights(self, module):
        for name, p in module.named_parameters(recurse=False):
            if p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
            elif name == "bias":
                nn.init.zeros_(p)
            else:
                nn.init.ones_(p)


class SeqloomElectraModel(SeqloomElectraPreTrainedModel):
    """Hidden states."""

    def __init__(self, config):
        super().__init__(config)
        width = config.embedding_size
        self.tokens = nn.Embedding(config.vocab_size, width)
        if config.seqloom["position"] == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.norm = make_norm(config, width)
        if config.seqloom["position"] == "relative":
            self.relative = nn.Embedding(32, config.num_attention_heads)
        same = width == config.hidden_size
        self.project = nn.Identity() if same else nn.Linear(width, config.hidden_size)
        self.blocks = nn.ModuleList(SeqloomElectraBlock(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, position_ids=None, output_hidden_states=None,
                return_dict=None, **kwargs):  # fmt: skip
        shape = self.config.seqloom
        places = self.places(input_ids, attention_mask, position_ids)
        x = self.tokens(input_ids)
        if shape["position"] == "learned":
            x = x + self.positions(places)
        x = self.project(F.dropout(self.norm(x), self.config.hidden_dropout_prob, self.training))
        width = self.config.hidden_size // self.config.num_attention_heads
        rope = rope_table(places, width, shape["rope_base"]) if shape["position"] == "rope" else None
        bias = self.bias(input_ids, attention_mask)
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], bias, rope))
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutput(states[-1], hidden_states=tuple(states) if wanted else None)
        return output.to_tuple() if return_dict is False else output

    def places(self, ids, mask, given):
        """[B, T] place of each token; padding on the left is not counted."""
        if given is not None:
            return given
        if mask is not None:
            return (mask.long().cumsum(1) - 1).clamp(min=0)
        return torch.arange(ids.shape[1], device=ids.device).expand_as(ids)

    def bias(self, ids, mask):
        """What may be seen, as True or a number to add, [B or 1, H or 1, 1 or T, T]; None = everything."""
        allowed = None if mask is None else mask.bool()[:, None, None, :]
        if self.config.seqloom["position"] not in ("alibi", "relative"):
            return allowed
        every = torch.arange(ids.shape[1], device=ids.device)
        distance = every - every[:, None]
        if self.config.seqloom["position"] == "relative":
            bias = self.relative(relative_buckets(distance)).permute(2, 0, 1)[None]
        else:
            slopes = torch.tensor(alibi_slopes(self.config.num_attention_heads), device=ids.device)
            bias = (-slopes[:, None, None] * distance.abs())[None]
        return bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))


class SeqloomElectraForPreTraining(SeqloomElectraPreTrainedModel):
    """The discriminator: logits [B, T] of "this token was replaced"."""

    def __init__(self, config):
        super().__init__(config)
        self.model = SeqloomElectraModel(config)
        self.judge = nn.Linear(config.hidden_size, config.hidden_size)
        self.verdict = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits, loss = self.verdict(F.gelu(self.judge(encoded.last_hidden_state))).squeeze(-1), None
        if labels is not None:
            real = torch.ones_like(labels).bool() if attention_mask is None else attention_mask.bool()
            loss = F.binary_cross_entropy_with_logits(logits[real], labels[real].float())
        output = TokenClassifierOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomElectraHead(nn.Module):
    """The part of the output layer that is not tied."""

    def __init__(self, config):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))


class SeqloomElectraForMaskedLM(SeqloomElectraPreTrainedModel):
    """The generator: logits over the vocabulary."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomElectraModel(config), SeqloomElectraHead(config)
        self.transform = nn.Linear(config.hidden_size, config.embedding_size)
        self.transform_norm = make_norm(config, config.embedding_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        x = self.transform_norm(F.gelu(self.transform(encoded.last_hidden_state)))
        logits = F.linear(x, self.model.tokens.weight, self.head.bias)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


__all__ = ["SeqloomElectraConfig", "SeqloomElectraForMaskedLM", "SeqloomElectraForPreTraining",
           "SeqloomElectraModel"]  # fmt: skip
