"""State-space model written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForCausalLM` or `AutoModelForMaskedLM`, as the
config's `auto_map` says, by `.from_pretrained(folder, trust_remote_code=True)`, or `AutoModel` for hidden
states. The scans are plain loops over time: right, not fast. The attention mask leaves padding out; pad on
the right for scoring and embedding, on the left for generating.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils.generic import ModelOutput

USUAL = ("num_hidden_layers", "hidden_size", "intermediate_size", "max_position_embeddings",
         "mask_token_id")  # fmt: skip


class SeqloomSsmConfig(PretrainedConfig):
    """Shape of the model: `seqloom` as it was trained, and the usual names."""

    model_type = "seqloom_ssm"

    def __init__(self, seqloom=None, vocab_size=70, **kwargs):
        self.seqloom = seqloom or {}
        self.vocab_size = vocab_size
        for name in USUAL:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)


class SeqloomSsmCache:
    """Per layer, the last inputs of its convolution and its state; the place of the next token."""

    def __init__(self, layers):
        self.layers = [{} for _ in range(layers)]
        self.places: torch.Tensor | None = None

    def reorder_cache(self, rows):
        self.places = None if self.places is None else self.places[rows]
        for layer in self.layers:
            layer.update({name: value[rows] for name, value in layer.items()})


@dataclass
class SeqloomSsmOutput(ModelOutput):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    cache_params: SeqloomSsmCache | None = None
    hidden_states: tuple | None = None


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
        state = None if memory is None else memory.get("state")
        state = u.new_zeros(len(u), *a.shape) if state is None else state
        out = []
        steps = (t.unbind(1) for t in (dt[..., None], (dt * u)[..., None], b.float(), c.float()))
        for step, inner, row, column in zip(*steps):
            state = (step * a).exp() * state + inner * row[:, None]
            out.append((state @ column[..., None])[..., 0])
        if memory is not None:
            memory["state"] = state
        return ((torch.stack(out, 1) + u * self.D) * F.silu(gate.float())).to(x.dtype)


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


MIXERS = {"mamba": SeqloomSsmMixer}


class SeqloomSsmPreTrainedModel(PreTrainedModel):
    config_class = SeqloomSsmConfig
    base_model_prefix = "model"
    _is_stateful = True

    def _init_weights(self, module):
        for name, p in module.named_parameters(recurse=False):
            if name in ("A_log", "D"):
                nn.init.zeros_(p) if name == "A_log" else nn.init.ones_(p)
            elif p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
            elif "bias" in name:
                nn.init.zeros_(p)
            else:
                nn.init.ones_(p)


class SeqloomSsmModel(SeqloomSsmPreTrainedModel):
    """Hidden states; the last are after the final norm."""

    def __init__(self, config):
        super().__init__(config)
        shape = config.seqloom
        self.tokens = nn.Embedding(config.vocab_size, shape["width"])
        if shape["position"] == "learned":
            self.positions = nn.Embedding(shape["context"], shape["width"])
        self.blocks = nn.ModuleList(SeqloomSsmBlock(shape) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, cache_params=None, use_cache=None,
                output_hidden_states=None, return_dict=None, **kwargs):  # fmt: skip
        if use_cache and cache_params is None and not self.config.seqloom["bidirectional"]:
            cache_params = SeqloomSsmCache(self.config.seqloom["layers"])
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        places = mask.cumsum(1)
        if cache_params is not None:
            places = places if cache_params.places is None else places + cache_params.places[:, None]
            cache_params.places = places[:, -1]
        states = [self.embed(input_ids, (places - 1).clamp(min=0))]
        real = mask[..., None].to(states[0].dtype)
        for layer, block in enumerate(self.blocks):
            memory = None if cache_params is None else cache_params.layers[layer]
            states.append(block(states[-1], real, memory))
        states[-1] = self.norm(states[-1])
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = SeqloomSsmOutput(last_hidden_state=states[-1], cache_params=cache_params,
                                  hidden_states=tuple(states) if wanted else None)  # fmt: skip
        return output.to_tuple() if return_dict is False else output

    def embed(self, ids, places):
        x = self.tokens(ids)
        if self.config.seqloom["position"] == "learned":
            x = x + self.positions(places)
        return F.dropout(x, self.config.seqloom["dropout"], self.training)


class SeqloomSsmHead(nn.Module):
    """The output layer where it is not tied."""

    def __init__(self, config):
        super().__init__()
        shape = (config.vocab_size, config.hidden_size)
        self.weight = None if config.tie_word_embeddings else nn.Parameter(torch.empty(shape))


class SeqloomSsmLM(SeqloomSsmPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomSsmModel(config), SeqloomSsmHead(config)
        self.post_init()

    def logits(self, x):
        return F.linear(x, self.model.tokens.weight if self.head.weight is None else self.head.weight)


class SeqloomSsmForMaskedLM(SeqloomSsmLM):
    """For models that see both sides."""

    def forward(self, input_ids, attention_mask=None, labels=None, return_dict=None, **kwargs):
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits = self.logits(encoded.last_hidden_state)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomSsmForCausalLM(SeqloomSsmLM, GenerationMixin):
    """For models that see the past; labels are the inputs, shifted here."""

    def forward(self, input_ids, attention_mask=None, labels=None, logits_to_keep=0, return_dict=None,
                **kwargs):  # fmt: skip
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits, loss = self.logits(encoded.last_hidden_state[:, -logits_to_keep:]), None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        output = SeqloomSsmOutput(loss=loss, logits=logits, cache_params=encoded.cache_params,
                                  hidden_states=encoded.hidden_states)  # fmt: skip
        return output.to_tuple() if return_dict is False else output

    def prepare_inputs_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride] - by name
        self, input_ids, cache_params=None, attention_mask=None, use_cache=True, **kwargs
    ):
        if cache_params is not None:
            input_ids, attention_mask = input_ids[:, -1:], None
        return {"input_ids": input_ids, "attention_mask": attention_mask, "cache_params": cache_params,
                "use_cache": use_cache}  # fmt: skip


__all__ = ["SeqloomSsmConfig", "SeqloomSsmForCausalLM", "SeqloomSsmForMaskedLM", "SeqloomSsmModel"]
