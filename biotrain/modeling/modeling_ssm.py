"""State-space model written by seqloom; needs torch and transformers, nothing of seqloom.

This file and `modeling_ssm_layers.py` lie beside the weights. Load with `AutoModelForCausalLM` or
`AutoModelForMaskedLM`, as the config's `auto_map` says, or `AutoModel` for hidden states, by
`.from_pretrained(folder, trust_remote_code=True)`. The attention mask leaves padding out; pad on the right
for scoring and embedding, on the left for generating.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils.generic import ModelOutput

from .modeling_ssm_layers import SeqloomSsmBlock, SeqloomSsmTwoBlocks

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
            states.append(block(states[-1], real, memory))
        states[-1] = self.norm(states[-1])
        if self.both_strands:
            pairs = [state.chunk(2) for state in states]
            states = [torch.cat((here, there.flip(1)), -1) for here, there in pairs]
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = SeqloomSsmOutput(last_hidden_state=states[-1], cache_params=cache_params,
                                  hidden_states=tuple(states) if wanted else None)  # fmt: skip
        return output.to_tuple() if return_dict is False else output

    def embed(self, ids, places):
        x = self.tokens(ids)
        if self.config.seqloom["position"] == "learned":
            x = x + self.positions(places)
        if self.config.seqloom["name"] == "bimamba":
            x = x * F.linear(x, self.gate.weight[:, : x.shape[-1]], self.gate.bias).sigmoid()
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
        weight = self.model.tokens.weight if self.head.weight is None else self.head.weight
        if not self.model.both_strands:
            return F.linear(x, weight)
        here, there = (F.linear(part, weight) for part in x.chunk(2, -1))
        return here + there[..., self.config.seqloom["ssm"]["complement"]]


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
