"""State-space models written by seqloom; needs torch and transformers, nothing of seqloom.

This file lies beside the weights. Load with `AutoModelForCausalLM` or `AutoModelForMaskedLM`, as the config's
`auto_map` says, or `AutoModel` for hidden states, by `.from_pretrained(folder, trust_remote_code=True)`. The
attention mask leaves padding out; pad on the right, on the left to generate. Scans are plain loops over time.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.models.mamba.modeling_mamba import MambaCausalLMOutput, MambaOutput

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


def causal_conv(x, weight, bias, memory):
    """x is [B, T, P]; the memory keeps the last inputs."""
    taps, tokens = weight.shape[2], x.shape[1]
    before = (memory or {}).get("conv", x.new_zeros(len(x), taps - 1, x.shape[2]))
    padded = torch.cat((before, x), 1)
    if memory is not None:
        memory["conv"] = padded[:, tokens:]
    y = bias
    for tap in range(taps):
        y = torch.addcmul(y, padded[:, tap : tap + tokens], weight[:, 0, tap])
    return y


def run_scan(fall, inner, b, c, memory):
    """h = exp(fall) h + inner b, y = h c over time; inner [B, T, .., P], b [B, T, .., N], c [B, T, N]."""
    state, out = (memory or {}).get("state"), []
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


class SeqloomSsm1(nn.Module):
    """Mamba-1 between its projections; Caduceus has two cores there, one reading from the end."""

    def __init__(self, shape):
        super().__init__()
        channels, self.two = shape["ssm"]["expand"] * shape["width"], shape["name"] == "caduceus"
        self.in_proj = nn.Linear(shape["width"], 2 * channels, bias=False)
        if self.two:
            self.ahead, self.back = SeqloomSsmCore(shape), SeqloomSsmCore(shape)
        else:
            self.core = SeqloomSsmCore(shape)
        self.out = nn.Linear(channels, shape["width"], bias=False)

    def forward(self, x, real, memory):
        inner, gate = self.in_proj(x).chunk(2, -1)
        if not self.two:
            return self.out(self.core(inner, gate, real, memory))
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


class SeqloomSsmBlock(nn.Module):
    """A mixer, and a feed-forward layer where the model has one."""

    def __init__(self, shape):
        super().__init__()
        self.norm1 = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
        self.mixer = (SeqloomSsm2 if shape["name"] == "mamba2" else SeqloomSsm1)(shape)
        if shape["ffn"]:
            self.norm2 = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
            gate_up = nn.Linear(shape["width"], 2 * shape["ffn"], bias=False)
            down = nn.Linear(shape["ffn"], shape["width"], bias=False)
            self.mlp = nn.ModuleDict({"gate_up": gate_up, "down": down})
        self.has_mlp, self.dropout = bool(shape["ffn"]), nn.Dropout(shape["dropout"])

    def forward(self, x, real, memory):
        """The stream and what is added to it last."""
        added = self.dropout(self.mixer(self.norm1(x), real, memory))
        if not self.has_mlp:
            return x, added
        x = x + added
        gate, up = self.mlp["gate_up"](self.norm2(x)).chunk(2, -1)
        return x, self.dropout(self.mlp["down"](F.silu(gate) * up))


class SeqloomSsmTwoBlocks(nn.Module):
    """HELM's bidirectional layer: a block ahead and one from the end, joined."""

    def __init__(self, shape):
        super().__init__()
        self.ahead, self.back = SeqloomSsmBlock(shape), SeqloomSsmBlock(shape)
        self.join = nn.Linear(2 * shape["width"], shape["width"])

    def forward(self, x, real, memory):
        stream, added = self.ahead(x, real, None)
        turned = [part.flip(1) for part in self.back(x.flip(1), real.flip(1), None)]
        return (stream + turned[0]) / 2, self.join(torch.cat((added, turned[1]), -1))


class SeqloomSsmCache:
    """Per layer, the last inputs of its convolution and its state; the place of the next token."""

    def __init__(self, layers):
        self.layers = [{} for _ in range(layers)]
        self.places: torch.Tensor | None = None

    def reorder_cache(self, rows):
        self.places = None if self.places is None else self.places[rows]
        for layer in self.layers:
            layer.update({name: value[rows] for name, value in layer.items()})


class SeqloomSsmPreTrainedModel(PreTrainedModel):
    config_class = SeqloomSsmConfig
    base_model_prefix = "model"
    _is_stateful = True

    def _init_weights(self, module):
        for name, p in module.named_parameters(recurse=False):
            if name == "A_log" or "bias" in name:
                nn.init.zeros_(p)
            elif p.ndim >= 2:
                nn.init.normal_(p, std=self.config.seqloom.get("init_std", 0.02))
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
        block = SeqloomSsmTwoBlocks if shape["name"] == "bimamba" else SeqloomSsmBlock
        self.blocks = nn.ModuleList(block(shape) for _ in range(shape["layers"]))
        if shape["name"] == "bimamba":
            self.gate = nn.Linear(2 * shape["width"], 1)
        self.both_strands = bool(shape["ssm"]["equivariant"])
        self.norm = nn.RMSNorm(shape["width"], eps=shape["norm_eps"])
        self.post_init()

    def get_input_embeddings(self):
        return self.tokens

    def set_input_embeddings(self, value):
        self.add_module("tokens", value)

    def forward(self, input_ids, attention_mask=None, cache_params=None, use_cache=None,
                output_hidden_states=None, return_dict=None, **kwargs):  # fmt: skip
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        if self.both_strands:
            other = torch.tensor(self.config.seqloom["ssm"]["complement"], device=input_ids.device)[input_ids]
            input_ids, mask = torch.cat((input_ids, other.flip(1))), torch.cat((mask, mask.flip(1)))
        if use_cache and cache_params is None and not self.config.seqloom["bidirectional"]:
            cache_params = SeqloomSsmCache(self.config.seqloom["layers"])
        places = mask.cumsum(1)
        if cache_params is not None:
            places = places if cache_params.places is None else places + cache_params.places[:, None]
            cache_params.places = places[:, -1]
        states = [self.embed(input_ids, (places - 1).clamp(min=0))]
        real = mask[..., None].to(states[0].dtype)
        for layer, block in enumerate(self.blocks):
            memory = None if cache_params is None else cache_params.layers[layer]
            stream, added = block(states[-1], real, memory)
            states.append(stream + added)
        states[-1] = self.norm(states[-1])
        if self.both_strands:
            states = [torch.cat((x[: len(x) // 2], x[len(x) // 2 :].flip(1)), -1) for x in states]
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        shown = tuple(states) if wanted else None
        output = MambaOutput(states[-1], cache_params, shown)  # pyright: ignore[reportArgumentType]
        return output.to_tuple() if return_dict is False else output

    def embed(self, ids, places):
        x = self.tokens(ids)
        if self.config.seqloom["position"] == "learned":
            x = x + self.positions(places)
        if self.config.seqloom["name"] == "bimamba":
            x = x * F.linear(x, self.gate.weight[:, : x.shape[-1]], self.gate.bias).sigmoid()
        return F.dropout(x, self.config.seqloom["dropout"], self.training)


class SeqloomSsmLM(SeqloomSsmPreTrainedModel):
    """Logits over the vocabulary at every position."""

    def __init__(self, config):
        super().__init__(config)
        self.model, self.head = SeqloomSsmModel(config), nn.Module()
        shape = (config.vocab_size, config.hidden_size)
        weight = None if config.tie_word_embeddings else nn.Parameter(torch.empty(shape))
        self.head.register_parameter("weight", weight)
        self.post_init()

    def logits(self, x):
        owner = self.model.tokens if self.config.tie_word_embeddings else self.head
        weight = owner.get_parameter("weight")
        if not self.model.both_strands:
            return F.linear(x, weight)
        here, there = (F.linear(part, weight) for part in x.chunk(2, -1))
        return here + there[..., self.config.seqloom["ssm"]["complement"]]

    def forward(self, input_ids, attention_mask=None, labels=None, logits_to_keep=0, return_dict=None,
                **kwargs):  # fmt: skip
        encoded = self.model(input_ids, attention_mask=attention_mask, **kwargs)
        logits, loss = self.logits(encoded.last_hidden_state[:, -logits_to_keep:]), None
        if labels is not None:
            ahead = 0 if self.config.seqloom["bidirectional"] else 1
            seen = logits[:, : logits.shape[1] - ahead]
            loss = F.cross_entropy(seen.flatten(0, 1), labels[:, ahead:].flatten())
        output = MambaCausalLMOutput(loss, logits, encoded.cache_params, encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output


class SeqloomSsmForMaskedLM(SeqloomSsmLM):
    """For models that see both sides."""


class SeqloomSsmForCausalLM(SeqloomSsmLM, GenerationMixin):
    """For models that see the past; labels are the inputs, shifted here."""

    def prepare_inputs_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride] - by name
        self, input_ids, cache_params=None, attention_mask=None, use_cache=True, **kwargs
    ):
        if cache_params is not None:
            input_ids, attention_mask = input_ids[:, -1:], None
        return {"input_ids": input_ids, "attention_mask": attention_mask, "cache_params": cache_params,
                "use_cache": use_cache}  # fmt: skip


__all__ = ["SeqloomSsmConfig", "SeqloomSsmForCausalLM", "SeqloomSsmForMaskedLM", "SeqloomSsmModel"]
