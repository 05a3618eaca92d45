"""Transformer written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForCausalLM` or `AutoModelForMaskedLM`, as the
config's `auto_map` says, by `.from_pretrained(folder, trust_remote_code=True)`, or `AutoModel` for hidden
states. Pad on the right for scoring and embedding, on the left for generating.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast, MaskedLMOutput

USUAL = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads",
         "intermediate_size", "max_position_embeddings", "mask_token_id")  # fmt: skip


class SeqloomConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, `style` of its blocks, and the usual names."""

    model_type = "seqloom"

    def __init__(self, seqloom=None, style=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.style = style or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


ACTIVATIONS = {"gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "relu": nn.ReLU(), "silu": nn.SiLU()}
ACTIVATIONS |= {"swiglu": nn.SiLU(), "geglu": nn.GELU()}  # of the gate


def make_norm(config):
    kind = nn.LayerNorm if config.style["norm"] == "layer" else nn.RMSNorm
    return kind(config.hidden_size, eps=config.seqloom["norm_eps"])


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


class SeqloomAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        shape = config.seqloom
        self.heads, self.groups = shape["heads"], shape["kv_heads"] or shape["heads"]
        self.width, self.dropout = shape["width"] // shape["heads"], shape.get("attention_dropout")
        self.dropout = shape["dropout"] if self.dropout is None else self.dropout
        bias = config.style["bias"]
        self.qkv = nn.Linear(shape["width"], (self.heads + 2 * self.groups) * self.width, bias=bias)
        self.out = nn.Linear(shape["width"], shape["width"], bias=bias)

    def forward(self, x, bias, rope, cache, layer):
        b, t, d = x.shape
        parts = self.qkv(x).view(b, t, self.heads + 2 * self.groups, self.width)
        turned, v = parts[:, :, : -self.groups], parts[:, :, -self.groups :].transpose(1, 2)
        if rope is not None:
            turned = rotate(turned, rope)
        q, k = turned[:, :, : self.heads].transpose(1, 2), turned[:, :, self.heads :].transpose(1, 2)
        if cache is not None:
            k, v = cache.update(k, v, layer)
        bias = bias if bias is None or bias.dtype == torch.bool else bias.to(q.dtype)
        dropout = self.dropout if self.training else 0.0
        grouped = self.groups != self.heads
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, enable_gqa=grouped)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class SeqloomExperts(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, f, experts = shape["width"], shape["ffn"], shape["moe"]["experts"]
        self.top_k = shape["moe"]["top_k"]
        self.router = nn.Linear(d, experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(experts, 2 * f, d))
        self.down = nn.Parameter(torch.empty(experts, d, f))

    def forward(self, x):
        rows = x.flatten(0, 1)
        largest, chosen = F.linear(rows.float(), self.router.weight.float()).topk(self.top_k, -1)
        weights, y = largest.softmax(-1), torch.zeros_like(rows)
        for expert, (gate_up, down) in enumerate(zip(self.gate_up, self.down)):
            token, place = (chosen == expert).nonzero(as_tuple=True)
            gate, up = F.linear(rows[token], gate_up).chunk(2, -1)
            out = F.linear(F.silu(gate) * up, down) * weights[token, place, None].to(rows.dtype)
            y = y.index_add(0, token, out)
        return y.view_as(x)


class SeqloomGated(nn.Module):
    def __init__(self, shape, bias, kind):
        super().__init__()
        self.gate_up = nn.Linear(shape["width"], 2 * shape["ffn"], bias=False)
        self.down = nn.Linear(shape["ffn"], shape["width"], bias=bias)
        self.activate = ACTIVATIONS[kind]

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(self.activate(gate) * up)


class SeqloomPlain(nn.Module):
    def __init__(self, shape, bias, kind):
        super().__init__()
        self.up = nn.Linear(shape["width"], shape["ffn"], bias=bias)
        self.down = nn.Linear(shape["ffn"], shape["width"], bias=bias)
        self.activate = ACTIVATIONS[kind]

    def forward(self, x):
        return self.down(self.activate(self.up(x)))


def make_feed_forward(config):
    shape, kind, bias = config.seqloom, config.style["feed_forward"], config.style["bias"]
    if kind == "experts":
        return SeqloomExperts(shape)
    if kind in ("swiglu", "geglu"):
        return SeqloomGated(shape, bias, kind)
    return SeqloomPlain(shape, bias, kind)


class SeqloomBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm1, self.attention = make_norm(config), SeqloomAttention(config)
        self.norm2, self.mlp = make_norm(config), make_feed_forward(config)
        self.dropout, self.post_norm = nn.Dropout(config.seqloom["dropout"]), config.style["post_norm"]

    def forward(self, x, bias, rope, cache, layer):
        if self.post_norm:
            x = self.norm1(x + self.dropout(self.attention(x, bias, rope, cache, layer)))
            return self.norm2(x + self.dropout(self.mlp(x)))
        x = x + self.dropout(self.attention(self.norm1(x), bias, rope, cache, layer))
        return x + self.dropout(self.mlp(self.norm2(x)))


class SeqloomPreTrainedModel(PreTrainedModel):
    config_class = SeqloomConfig
    base_model_prefix = "model"
    _no_split_modules = ["SeqloomBlock"]  # noqa: RUF012

    def _init_weights(self, module):
        for name, p in module.named_parameters(recurse=False):
            if p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
            elif name == "bias":
                nn.init.zeros_(p)
            else:
                nn.init.ones_(p)


class SeqloomModel(SeqloomPreTrainedModel):
    """Hidden states; the last are after the final norm."""

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        self.tokens = nn.Embedding(config.vocab_size, shape["width"])
        if shape["position"] == "learned":
            self.positions = nn.Embedding(shape["context"], shape["width"])
        self.blocks = nn.ModuleList(SeqloomBlock(config) for _ in range(shape["layers"]))
        self.norm = make_norm(config)
        if config.style["post_norm"]:  # of the output layer
            self.transform = nn.Linear(shape["width"], shape["width"])
            self.transform_norm = make_norm(config)
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, position_ids=None, past_key_values=None,
                use_cache=None, output_hidden_states=None, return_dict=None, **kwargs):  # fmt: skip
        shape, start = self.config.seqloom, 0
        if past_key_values is None and use_cache and not shape["bidirectional"]:
            past_key_values = DynamicCache()
        if past_key_values is not None:
            start = past_key_values.get_seq_length()
        places = self.places(input_ids, attention_mask, position_ids, start)
        x = self.tokens(input_ids)
        if shape["position"] == "learned":
            x = x + self.positions(places)
        if self.config.style["post_norm"]:
            x = self.norm(x)
        x = F.dropout(x, shape["dropout"], self.training)
        width = shape["width"] // shape["heads"]
        rope = rope_table(places, width, shape["rope_base"]) if shape["position"] == "rope" else None
        bias = self.bias(input_ids, attention_mask, start)
        states = [x]
        for layer, block in enumerate(self.blocks):
            states.append(block(states[-1], bias, rope, past_key_values, layer))
        if not self.config.style["post_norm"]:
            states[-1] = self.norm(states[-1])
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        kept = tuple(states) if wanted else None
        output = BaseModelOutputWithPast(states[-1], past_key_values=past_key_values, hidden_states=kept)
        return output.to_tuple() if return_dict is False else output

    def places(self, ids, mask, given, start):
        """[B, T] place of each token; padding on the left is not counted."""
        if given is not None:
            return given[:, -ids.shape[1] :]
        if mask is not None and mask.ndim == 2:
            return (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return torch.arange(start, start + ids.shape[1], device=ids.device).expand_as(ids)

    def bias(self, ids, mask, start):
        """What may be seen, as True or a number to add, [B or 1, H or 1, T, S]; None = everything."""
        shape, total = self.config.seqloom, start + ids.shape[1]
        every = torch.arange(total, device=ids.device)
        allowed = None
        if not shape["bidirectional"]:
            allowed = (every <= every[start:, None])[None, None]
        if mask is not None:
            keys = mask.bool()[:, None, None, -total:]
            itself = every == every[start:, None]  # or a padded query's softmax would be over nothing
            allowed = keys if allowed is None else allowed & (keys | itself)
        if shape["position"] != "alibi":
            return allowed
        slopes = torch.tensor(alibi_slopes(shape["heads"]), device=ids.device)[:, None, None]
        distance = (every[start:, None] - every).abs()
        bias = (-slopes * distance)[None]
        return bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))


class SeqloomHead(nn.Module):
    """The part of the output layer that is not tied."""

    def __init__(self, config):
        super().__init__()
        tied, bias = config.tie_word_embeddings, config.style["post_norm"]
        shape = (config.vocab_size, config.hidden_size)
        self.weight = None if tied else nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if bias else None


class SeqloomLM(SeqloomPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomModel(config), SeqloomHead(config)
        self.post_init()

    def logits(self, x):
        model = self.model
        if self.config.style["post_norm"]:
            x = model.transform_norm(ACTIVATIONS[self.config.style["feed_forward"]](model.transform(x)))
        weight = model.tokens.weight if self.head.weight is None else self.head.weight
        return F.linear(x, weight, self.head.bias)


class SeqloomForMaskedLM(SeqloomLM):
    """For models that see both sides."""

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits = self.logits(encoded.last_hidden_state)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomForCausalLM(SeqloomLM, GenerationMixin):
    """For models that see the past; labels are the inputs, shifted here."""

    def forward(self, input_ids, attention_mask=None, labels=None, logits_to_keep=0, return_dict=None,
                **kwargs):  # fmt: skip
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits, loss = self.logits(encoded.last_hidden_state[:, -logits_to_keep:]), None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        past, states = encoded.past_key_values, encoded.hidden_states
        output = CausalLMOutputWithPast(loss, logits, past_key_values=past, hidden_states=states)
        return output.to_tuple() if return_dict is False else output


__all__ = ["SeqloomConfig", "SeqloomForCausalLM", "SeqloomForMaskedLM", "SeqloomModel"]
