"""HELM's options of `train.py` as options of `seqloom train`; docs/helm.md is the table for people.

Pure renames are other names of our options (`ALIASES`). What has another form is rewritten here, and what
would do nothing, there or here, is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biodata.configs import read_yaml
from biodata.errors import ConfigError

ALIASES = {
    "model.name": "--model-name",
    "model.layers": "--num-layers",
    "model.width": "--hidden-size",
    "model.ffn": "--intermediate-size",
    "model.heads": "--num-heads",
    "model.context": "--max-seq-len",
    "model.position": "--pos-embedding",
    "model.attention_dropout": "--attn-dropout",
    "objective.name": "--mode",
    "objective.mask_rate": "--masking-ratio",
    "loss.alpha": "--hxe-alpha",
    "loss.beta": "--soft-labels-beta",
    "optim.name": "--opt",
    "optim.eps": "--opt-eps",
    "optim.betas": "--opt-betas",
    "optim.clip_norm": "--clip-grad",
    "accumulate": "--grad-accum-steps",
    "schedule.name": "--sched",
    "schedule.noise": "--lr-noise",
    "schedule.noise_limit": "--lr-noise-pct",
    "schedule.noise_std": "--lr-noise-std",
    "schedule.cycles": "--lr-cycle-limit",
    "schedule.cycle_mul": "--lr-cycle-mul",
    "schedule.cycle_decay": "--lr-cycle-decay",
    "schedule.k_decay": "--lr-k-decay",
    "schedule.decay_rate": "--dr",
    "ema_decay": "--model-ema-decay",
    "keep_checkpoints": "--checkpoint-hist",
    "log_every": "--log-interval",
    "device": "--accelerator",
}
"""Our field to HELM's name of the same thing."""

REFUSED = {
    "--pad-vocab-size-multiple": "the vocabulary is the tokenizer's",
    "--pos-embedding-apply": "positions are always added",
    "--pos-embedding-dim": "positions have the width of the model",
    "--position-ids": "HELM stores it and never reads it",
    "--ssm-layer": "HELM never reads it: Mamba-1 is built whatever it says; choose by --model",
    "--sched-on-updates": "HELM steps its schedule once an epoch with it or without; here it is every step",
    "--lr-base": "HELM never reads it, as --lr has a value",
    "--lr-base-size": "HELM never reads it, as --lr has a value",
    "--lr-base-scale": "HELM never reads it, as --lr has a value",
    "--epoch-repeats": "HELM never reads it: --epochs",
    "--start-epoch": "HELM never reads it: --resume goes on where the run ended",
    "--worker-seeding": "HELM never reads it; order and masks depend on --seed alone",
    "--workers": "HELM never reads it: --num-workers",
    "-j": "HELM never reads it: --num-workers",
    "--pin-mem": "it is on in HELM with it or without",
    "--no-prefetcher": "HELM never reads it",
    "--sync-bn": "no model has batch norm",
    "--distributed-backend": "start the processes by torchrun",
    "--eval-metric": "val_loss, plain cross-entropy, is what is watched",
    "--val-metric-mode": "val_loss is what is watched, and lower is better",
    "--distill": "HELM has no code that loads the teacher",
    "--teacher-path": "HELM has no code that loads the teacher",
    "--non-markovian-relation": "an attention beside Mamba that the paper does not describe",
}
"""HELM's options that would do nothing here, or nothing in HELM, and why."""

_OWN = {*ALIASES.values(), *REFUSED} | {"--train-file", "--data-dir", "--data-type", "--amp", "--min-lr"}

_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "swish": "silu"}
_MANY = ("--opt-betas", "--lr-noise", "--decay-milestones", "--masking-strategy")
_SHORT = ("-c", "-j")
_MODELS = ("gpt2", "bert", "mamba", "hyena")
_EMA = "0.9998"
_PATIENCE = "10"


def from_helm(arguments: list[str]) -> list[str]:
    """The arguments of `seqloom train` with HELM's forms rewritten to ours.

    Raises:
        ConfigError: an option that would do nothing, or a configuration file that cannot be read.

    >>> from_helm(["--mode", "mlm", "--bidirectional", "--amp", "--opt-betas", "0.9", "0.95"])
    ['--mode', 'mlm', '--bidirectional', 'true', '--precision', 'bf16', '--opt-betas', '0.9,0.95']
    """
    pairs = _opened(list(_options(arguments)))
    pairs += _direction(dict(pairs))
    names = {name for name, _ in pairs}
    pairs = [pair for name, values in pairs for pair in _together(name, values, dict(pairs), names)]
    return [word for name, values in pairs for word in ([name, *values] if name else values)]


def _options(arguments: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Every option with the words that follow it; `--a=b` as `--a b`."""
    name, values = "", []
    for argument in arguments:
        if (argument.startswith("--") and len(argument) > 2) or argument in _SHORT:
            if name or values:
                yield name, values
            name, equals, value = argument.partition("=")
            values = [value] if equals else []
        else:
            values.append(argument)
    if name or values:
        yield name, values


def _opened(options: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Every option in our form; a flat `--config` of HELM as its options, but for what is given beside it.

    A file is HELM's where it has one of HELM's own names at its top level.
    """
    given, opened = {name for name, _ in options}, list[tuple[str, list[str]]]()
    for name, values in options:
        path = Path(values[0]) if name in ("-c", "--config") and values else None
        settings = read_yaml(path) if path is not None and path.is_file() else {}
        named = {f"--{key.replace('_', '-')}": value for key, value in settings.items()}
        if not named.keys() & _OWN:
            opened.append(_ours(name, values))
            continue
        for option, value in named.items():
            if option not in given and value is not None and value is not False:  # as argparse has it
                opened.append(_stated(option, value, str(path)))
        opened += [("", values[1:])] if values[1:] else []
    return opened


def _stated(option: str, value: Any, where: str) -> tuple[str, list[str]]:
    """An option from a flat file."""
    if isinstance(value, dict):
        raise ConfigError(f"{where}: {option} of HELM takes no group of settings (ours have no such name)")
    words = [] if value is True else [str(v) for v in (value if isinstance(value, list) else [value])]
    try:
        return _ours(option, words)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _ours(name: str, values: list[str]) -> tuple[str, list[str]]:
    for refused, reason in REFUSED.items():
        family = refused in ("--distill", "--non-markovian-relation") and name.startswith(refused + "-")
        if name == refused or family:
            raise ConfigError(f"{name} is an option of HELM that does nothing here: {reason}")
    if name == "-c":
        return "--config", values
    if name == "--resume" and values:
        raise ConfigError(f"--resume takes no path, got {values[0]!r}: it goes on with the run in --out")
    if name in _MANY and len(values) > 1:
        return name, [",".join(values)]
    if name == "--loss":
        return name, [value.lower() if value in ("XE", "HXE") else value for value in values]
    if name == "--pos-embedding":
        return name, ["learned" if value == "absolute" else value for value in values]
    if name == "--activation":
        return name, [_ACTIVATIONS.get(value, value) for value in values]
    if name == "--bidirectional" and not values:
        return name, ["true"]
    if name == "--model-ema-force-cpu":
        return "--ema-on-cpu", values
    if name == "--amp":
        return "--precision", ["bf16"]
    return name, values


def _direction(given: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """As in HELM, `--mode` decides the direction of HELM's models where nothing else does."""
    mode = given.get("--mode", [])
    model = given.get("--model", given.get("--model-name", [_MODELS[0]]))
    said = {"--bidirectional", "--no-bidirectional", "--config"} & given.keys()
    if said or mode not in (["mlm"], ["clm"]) or model[:1] not in [[name] for name in _MODELS]:
        return []
    return [("--bidirectional", [str(mode == ["mlm"]).lower()])]


def _together(
    name: str, values: list[str], given: dict[str, list[str]], names: set[str]
) -> list[tuple[str, list[str]]]:
    """Options whose meaning depends on others."""
    if name == "--opt-kwargs":
        return [("--set", [f"optim.{value}"]) for value in values]
    if name == "--model-ema":
        return [] if names & {"--ema-decay", "--model-ema-decay"} else [("--ema-decay", [_EMA])]
    if (
        name in ("--model", "--model-name")
        and values == ["mamba"]
        and given.get("--bidirectional") == ["true"]
    ):
        return [(name, ["bimamba"])]
    patience = given.get("--patience-epochs", [_PATIENCE])
    if name == "--early-stop" and not values:
        return [(name, patience)]
    if name == "--patience-epochs":
        plateau = ["plateau"] in (given.get("--sched"), given.get("--schedule"))
        return [("--patience", values)] if plateau or "--early-stop" not in names else []
    return [(name, values)]
