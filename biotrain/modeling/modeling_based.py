"""Based written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForCausalLM` or `AutoModelForMaskedLM`, as the
config's `auto_map` says, by `.from_pretrained(folder, trust_remote_code=True)`, or `AutoModel` for hidden
states. Pad on the right for scoring and embedding, on the left for generating. All pairs of tokens are
computed, and generating reads the whole sequence again for each token.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, MaskedLMOutput

USUAL = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
         "max_position_embeddings", "mask_token_id")  # fmt: skip


class SeqloomBasedConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, and the usual names."""

    model_type = "seqloom_based"

    def __init__(self, seqloom=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


def rope_table(places, width, base):
    """Half-split rotary embedding; places [B, T] to cosines and sines [B, 1, T, width]."""
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=places.device) / width
    angles = places.float()[:, None, :, None] / base**steps
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x, table):
    first, second = x.chunk(2, -1)
    return (x * table[0] + torch.cat((-second, first), -1) * table[1]).to(x.dtype)


def split(x, heads):
    """[B, T, H e] to [B, H, T, e]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class BasedLinearAttention(nn.Module):
    """Weights 1 + s + s^2 / 2, s = q k / sqrt(width), divided by their sum; in float32."""

    def __init__(self, shape):
        super().__init__()
        self.heads, self.causal = shape["heads"], not shape["bidirectional"]
        self.features = shape["heads"] * shape["based"]["feature_width"]
        self.inner = nn.Linear(shape["width"], 2 * self.features + shape["width"], bias=False)
        self.out = nn.Linear(shape["width"], shape["width"], bias=False)

    def forward(self, x, real, rope):
        u = self.inner(x)
        parts = u.split((self.features, self.features, x.shape[-1]), -1)
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = (split(part.float(), self.heads) for part in parts)
            s = q @ k.mT / math.sqrt(q.shape[-1])
            itself = torch.eye(s.shape[-1], dtype=torch.bool, device=s.device)  # or a padded query has none
            weights = (1 + s + s * s / 2) * (real[:, None, None] | itself)
            weights = weights.tril() if self.causal else weights
            y = weights @ v / weights.sum(-1, keepdim=True)
        return self.out(y.transpose(1, 2).flatten(2).to(u.dtype))


class BasedWindowAttention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads, self.causal = shape["heads"], not shape["bidirectional"]
        self.window, self.dropout = shape["based"]["attention_window"], shape["dropout"]
        self.inner = nn.Linear(shape["width"], 3 * shape["width"], bias=False)
        self.out = nn.Linear(shape["width"], shape["width"], bias=False)

    def forward(self, x, real, rope):
        q, k, v = (split(part, self.heads) for part in self.inner(x).chunk(3, -1))
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        places = torch.arange(x.shape[1], device=x.device)
        distance = places[:, None] - places
        seen = (distance < self.window) & (distance >= 0 if self.causal else distance > -self.window)
        seen = seen & (real[:, None, None] | (distance == 0))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
        return self.out(y.transpose(1, 2).flatten(2))


class BasedConv(nn.Module):
    def __init__(self, shape):
        super().__init__()
        half, self.taps = shape["based"]["conv_expand"] * shape["width"] // 2, shape["based"]["conv_kernel"]
        self.two_sided = bool(shape["bidirectional"])
        self.inner = nn.Linear(shape["width"], 2 * half, bias=False)
        self.short = nn.Conv1d(half, half, self.taps, groups=half, bias=False)
        self.out = nn.Linear(half, shape["width"], bias=False)

    def forward(self, x, real, rope):
        first, gate = self.inner(x).chunk(2, -1)
        after = (self.taps - 1) // 2 if self.two_sided else 0
        first = (first * real[..., None]).transpose(1, 2)
        y = self.short(F.pad(first, (self.taps - 1 - after, after)))
        return self.out(F.silu(y).transpose(1, 2) * gate)


class BasedSwiGLU(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_up = nn.Linear(shape["width"], 2 * shape["ffn"], bias=False)
        self.down = nn.Linear(shape["ffn"], shape["width"], bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class BasedBlock(nn.Module):
    def __init__(self, shape, layer):
        super().__init__()
        kind = BasedLinearAttention if layer in shape["based"]["linear_layers"] else BasedConv
        kind = BasedWindowAttention if layer in shape["based"]["window_layers"] else kind
        self.norm1, self.mixer = nn.RMSNorm(shape["width"], eps=shape["norm_eps"]), kind(shape)
        self.norm2, self.mlp = nn.RMSNorm(shape["width"], eps=shape["norm_eps"]), BasedSwiGLU(shape)
        self.dropout = nn.Dropout(shape["dropout"])

    def forward(self, x, real, rope):
        x = x + self.dropout(self.mixer(self.norm1(x), real, rope))
        return x + self.dropout(self.mlp(self.norm2(x)))


class SeqloomBasedPreTrainedModel(PreTrainedModel):
    config_class = SeqloomBasedConfig
    base_model_prefix = "model"
    _no_split_modules = ["BasedBlock"]  # noqa: RUF012

    def _init_weights(self, module):
        if isinstance(module, nn.Conv1d):
            module.reset_parameters()
            return
        for p in module.parameters(recurse=False):
            if p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
            else:
                nn.init.ones_(p)


class SeqloomBasedModel(SeqloomBasedPreTrainedModel):
    """Hidden states; the last are after the final norm."""

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        self.tokens = nn.Embedding(config.vocab_size, shape["width"])
        if shape["position"] == "learned":
            self.positions = nn.Embedding(shape["context"], shape["width"])
        self.blocks = nn.ModuleList(BasedBlock(shape, layer) for layer in range(shape["layers"]))
        self.norm = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, return_dict=None, **kwargs):
        shape = self.config.seqloom
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        places = (real.cumsum(1) - 1).clamp(min=0)  # padding on the left is not counted
        x, rope = self.tokens(input_ids), None
        if shape["position"] == "learned":
            x = x + self.positions(places)
        if shape["position"] == "rope":
            rope = rope_table(places, shape["width"] // shape["heads"], shape["rope_base"])
        x = F.dropout(x, shape["dropout"], self.training)
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], real.bool(), rope))
        states[-1] = self.norm(states[-1])
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutput(states[-1], hidden_states=tuple(states) if wanted else None)
        return output.to_tuple() if return_dict is False else output


class SeqloomBasedHead(nn.Module):
    """The output layer where it is not tied."""

    def __init__(self, config):
        super().__init__()
        tied, shape = config.tie_word_embeddings, (config.vocab_size, config.hidden_size)
        self.weight = None if tied else nn.Parameter(torch.empty(shape))


class SeqloomBasedLM(SeqloomBasedPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomBasedModel(config), SeqloomBasedHead(config)
        self.post_init()

    def logits(self, x):
        return F.linear(x, self.model.tokens.weight if self.head.weight is None else self.head.weight)


class SeqloomBasedForMaskedLM(SeqloomBasedLM):
    """For models that see both sides."""

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits = self.logits(encoded.last_hidden_state)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomBasedForCausalLM(SeqloomBasedLM, GenerationMixin):
    """For models that see the past; labels are the inputs, shifted here."""

    def prepare_inputs_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride] - by name
        self, input_ids, attention_mask=None, **kwargs
    ):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids, attention_mask=None, labels=None, logits_to_keep=0, return_dict=None,
                **kwargs):  # fmt: skip
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits, loss = self.logits(encoded.last_hidden_state[:, -logits_to_keep:]), None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        output = CausalLMOutput(loss, logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


__all__ = [
    "SeqloomBasedConfig",
    "SeqloomBasedForCausalLM",
    "SeqloomBasedForMaskedLM",
    "SeqloomBasedModel",
]
