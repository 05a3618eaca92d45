"""Activations between the two matrices of a feed-forward layer, and transformers' names of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from biodata.errors import ConfigError

Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "geglu"]
"""`geglu` is a gate (arXiv:2002.05202): gelu of one half times the other; without biases before it."""

_HF = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}
_READ = {name: ours for ours, name in _HF.items()} | {"gelu_pytorch_tanh": "gelu_tanh", "swish": "silu"}


def hf_activation(name: str) -> str:
    """The name in a `config.json`.

    >>> hf_activation("gelu_tanh")
    'gelu_new'
    """
    return _HF[name]


def read_activation(values: Mapping[str, Any], key: str, own: Activation) -> dict[str, str]:
    """The setting `activation`, where a `config.json` names another than the model's own.

    Args:
        values: of the file.
        key: that names it.
        own: of the architecture.

    Raises:
        ConfigError: one that we do not compute.

    >>> read_activation({"hidden_act": "relu"}, "hidden_act", "gelu")
    {'activation': 'relu'}
    """
    said = values.get(key, _HF[own])
    if said not in _READ:
        raise ConfigError(f"{key} {said!r} is not supported (allowed: {', '.join(_READ)})")
    return {} if _READ[said] == own else {"activation": _READ[said]}


def read_dropouts(values: Mapping[str, Any], key: str, *, attention: str, usual: float) -> dict[str, float]:
    """The settings `dropout` and, where it is another, `attention_dropout`.

    Args:
        values: of the file.
        key: of dropout.
        attention: key of dropout in attention.
        usual: of transformers where the file does not say.

    >>> read_dropouts({"a": 0.1, "b": 0.2}, "a", attention="b", usual=0.1)
    {'dropout': 0.1, 'attention_dropout': 0.2}
    """
    dropout = values.get(key, usual)
    inside = values.get(attention, usual)
    return {"dropout": dropout} if inside == dropout else {"dropout": dropout, "attention_dropout": inside}
