"""Hyena written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForCausalLM` or `AutoModelForMaskedLM`, as the
config's `auto_map` says, by `.from_pretrained(folder, trust_remote_code=True)`, or `AutoModel` for hidden
states. Pad on the right for scoring and embedding, on the left for generating. Generating reads the whole
sequence again for each token.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, MaskedLMOutput

USUAL = ("num_hidden_layers", "hidden_size", "intermediate_size", "max_position_embeddings",
         "mask_token_id")  # fmt: skip


class SeqloomHyenaConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, and the usual names."""

    model_type = "seqloom_hyena"

    def __init__(self, seqloom=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


class HyenaFilter(nn.Module):
    """k_t = network(z_t) (exp(-t |decay|) + 0.05); [sides, width, length]."""

    def __init__(self, shape):
        super().__init__()
        hyena, self.width, self.context = shape["hyena"], shape["width"], shape["context"]
        inner, sides = hyena["filter_width"], 1 + bool(shape["bidirectional"])
        self.bands = (hyena["filter_features"] - 1) // 2
        self.first = nn.Linear(hyena["filter_features"], inner)
        self.inner = nn.ModuleList(nn.Linear(inner, inner) for _ in range(2))
        self.last = nn.Linear(inner, sides * self.width, bias=False)
        self.frequency = nn.Parameter(torch.empty(inner))

    def forward(self, length):
        device = self.frequency.device
        with torch.autocast(device.type, enabled=False):
            place = torch.arange(length, dtype=torch.float64, device=device)
            bands = torch.linspace(1e-4, self.bands - 1, self.bands, dtype=torch.float64, device=device)
            angles = 2 * math.pi / self.context * place[:, None] * bands
            share = (place / (self.context - 1)).float()
            x = torch.cat((share[:, None], angles.cos().float(), -angles.sin().float()), 1)
            for layer in (self.first, *self.inner):
                parts = [p.float() for p in layer.parameters()]  # weight, bias
                x = torch.sin(self.frequency.float() * F.linear(x, *parts))
            decay = torch.linspace(math.log(1e-2) / 1.5, math.log(1e-2) / 0.3, self.width, device=device)
            window = torch.exp(-share * decay.abs()[:, None]) + 0.05
            return (self.last.weight.float() @ x.t()).view(-1, self.width, length) * window


class HyenaMixer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, self.taps = shape["width"], shape["hyena"]["short_conv"]
        self.two_sided = bool(shape["bidirectional"])
        self.inner = nn.Linear(width, 3 * width)
        self.short = nn.Conv1d(3 * width, 3 * width, self.taps, groups=3 * width)
        self.filter = HyenaFilter(shape)
        self.skip = nn.Parameter(torch.empty(width))
        self.out = nn.Linear(width, width)

    def forward(self, x, real):
        """[B, T, D]; `real` [B, 1, T] is True at tokens, so that padding on either side is as nothing."""
        u = self.inner(x).transpose(1, 2) * real
        after = (self.taps - 1) // 2 if self.two_sided else 0
        x0, x1, v = self.short(F.pad(u, (self.taps - 1 - after, after))).chunk(3, 1)
        v = v * x1 * real
        length = v.shape[-1]
        with torch.autocast(v.device.type, enabled=False):
            k = torch.fft.rfft(self.filter(length), n=2 * length)
            k = k[0] + k[1].conj() if self.two_sided else k[0]
            y = torch.fft.irfft(torch.fft.rfft(v.float(), n=2 * length) * k, n=2 * length)[..., :length]
        y = (y + v * self.skip[:, None]).to(x0.dtype)
        return self.out((y * x0).transpose(1, 2))


class HyenaFeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.up = nn.Linear(shape["width"], shape["ffn"])
        self.down = nn.Linear(shape["ffn"], shape["width"])

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class HyenaBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.norm1 = nn.LayerNorm(shape["width"], eps=shape["norm_eps"])
        self.mixer = HyenaMixer(shape)
        self.norm2 = nn.LayerNorm(shape["width"], eps=shape["norm_eps"])
        self.mlp, self.dropout = HyenaFeedForward(shape), nn.Dropout(shape["dropout"])

    def forward(self, x, real):
        x = x + self.dropout(self.mixer(self.norm1(x), real))
        return x + self.dropout(self.mlp(self.norm2(x)))


class SeqloomHyenaPreTrainedModel(PreTrainedModel):
    config_class = SeqloomHyenaConfig
    base_model_prefix = "model"
    _no_split_modules = ["HyenaBlock"]  # noqa: RUF012

    def _init_weights(self, module):
        shape = self.config.seqloom
        if isinstance(module, nn.Conv1d):
            module.reset_parameters()
            return
        for name, p in module.named_parameters(recurse=False):
            if p.ndim >= 2:
                nn.init.normal_(p, std=shape.get("init_std", 0.02))
            elif name == "skip":
                nn.init.normal_(p)
            else:
                start = {"bias": 0.0, "frequency": shape.get("hyena", {}).get("filter_frequency", 10.0)}
                nn.init.constant_(p, start.get(name, 1.0))


class SeqloomHyenaModel(SeqloomHyenaPreTrainedModel):
    """Hidden states; the last are after the final norm."""

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        self.tokens = nn.Embedding(config.vocab_size, shape["width"])
        if shape["position"] == "learned":
            self.positions = nn.Embedding(shape["context"], shape["width"])
        self.blocks = nn.ModuleList(HyenaBlock(shape) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(shape["width"], eps=shape["norm_eps"])
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, return_dict=None, **kwargs):
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        x = self.tokens(input_ids)
        if self.config.seqloom["position"] == "learned":
            x = x + self.positions((real.cumsum(1) - 1).clamp(min=0))  # padding on the left is not counted
        x = F.dropout(x, self.config.seqloom["dropout"], self.training)
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], real.bool()[:, None]))
        states[-1] = self.norm(states[-1])
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutput(states[-1], hidden_states=tuple(states) if wanted else None)
        return output.to_tuple() if return_dict is False else output


class SeqloomHyenaHead(nn.Module):
    """The output layer where it is not tied."""

    def __init__(self, config):
        super().__init__()
        tied, shape = config.tie_word_embeddings, (config.vocab_size, config.hidden_size)
        self.weight = None if tied else nn.Parameter(torch.empty(shape))


class SeqloomHyenaLM(SeqloomHyenaPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomHyenaModel(config), SeqloomHyenaHead(config)
        self.post_init()

    def logits(self, x):
        return F.linear(x, self.model.tokens.weight if self.head.weight is None else self.head.weight)


class SeqloomHyenaForMaskedLM(SeqloomHyenaLM):
    """For models that see both sides."""

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits = self.logits(encoded.last_hidden_state)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomHyenaForCausalLM(SeqloomHyenaLM, GenerationMixin):
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
    "SeqloomHyenaConfig",
    "SeqloomHyenaForCausalLM",
    "SeqloomHyenaForMaskedLM",
    "SeqloomHyenaModel",
]
