"""Gradient checkpointing and torch.compile, put around a model's blocks from outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from biodata.errors import ConfigError
from biotrain.layers.attention import Attention
from biotrain.layers.feed_forward import Experts


def checkpoint_blocks(model: nn.Module) -> None:
    """Keeps only what goes into each block and computes the rest again in the backward pass.

    Memory falls from all activations to those of one block, for about a third more time; values and gradients
    stay the same (arXiv:1604.06174).
    """
    for block in _blocks(model):
        block.forward = partial(_again, block.forward)


def compile_blocks(model: nn.Module, *, backend: str = "inductor") -> None:
    """Compiles each block, for any number of tokens; the blocks, being alike, share the compiled code.

    Args:
        model: with lists of modules `blocks`.
        backend: of torch.compile.

    Raises:
        ConfigError: on the CPU without a C++ compiler.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    compiler = os.environ.get("CXX", "g++")
    if on_cpu and shutil.which(compiler) is None:
        raise ConfigError(f"compile needs a C++ compiler on the CPU, {compiler!r} is not there: leave it out")
    for layer in model.modules():
        if isinstance(layer, Attention):  # the documents of every batch have lengths of their own
            apart: Any = torch.compiler.disable(layer.apart)
            layer.apart = apart
        if isinstance(layer, Experts) and on_cpu:  # torch compiles grouped products of bf16 only
            outside: Any = torch.compiler.disable(layer.forward)
            layer.forward = outside
    for block in _blocks(model):
        block.compile(dynamic=True, backend=backend)


def _again(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Of a pair those of both models."""
    lists = (m for name, m in model.named_modules() if name.rpartition(".")[2] == "blocks")
    return [block for blocks in lists for block in blocks.children()]
