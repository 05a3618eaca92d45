"""Which pretraining objectives there are and how they are set. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from biodata.catalog import Catalog
from biodata.configs import to_dict
from biodata.errors import ConfigError
from biotrain.models.config import MODELS, ModelConfig
from biotrain.objectives.rtd_config import RtdConfig
from biotrain.ranges import check_range, said

OBJECTIVES = Catalog(
    "objective",
    {
        "clm": "biotrain.objectives.clm:build",
        "fim": "biotrain.objectives.fim:build",
        "image_diffusion": "biotrain.objectives.image_diffusion:build",
        "masked_diffusion": "biotrain.objectives.masked_diffusion:build",
        "mlm": "biotrain.objectives.mlm:build",
        "rtd": "biotrain.objectives.rtd:build",
        "text_to_sequence": "biotrain.objectives.text_to_sequence:build",
    },
)
"""Name to `build(config, vocab_size, tokens)`."""

BIDIRECTIONAL = {"clm": False, "fim": False, "text_to_sequence": False, "mlm": True, "rtd": True,
                 "masked_diffusion": True, "image_diffusion": True}  # fmt: skip
"""Whether an objective trains a model that sees both sides."""

SPECIAL = frozenset({"rtd", "image_diffusion"})
"""Objectives of models that name them (`Architecture.objectives`); the others suit models that name none."""

ROOM = {"fim": 4}
"""Most tokens that an objective adds to a sample, for which the context leaves room."""

OWN_LOSS = frozenset({"masked_diffusion", "image_diffusion"})
"""Objectives that are losses themselves; the configured one must be left alone."""

_MASKS = ("mask_rate", "masked_share", "random_share", "masking_strategy", "span_length")
_USED = {
    "clm": (),
    "fim": ("fim_rate", "spm_share"),
    "text_to_sequence": ("text_weight",),
    "mlm": _MASKS,
    "masked_diffusion": ("draw",),
    "image_diffusion": (),
    "rtd": (*_MASKS, "rtd"),
}
"""Objective to the fields that it reads; others must be left alone."""

_GROUPS = {"rtd": RtdConfig}
"""Settings of single objectives: a field of `ObjectiveConfig` to its class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveConfig:
    """What the model has to predict.

    Raises:
        ConfigError: a value out of range, or a setting that the objective does not use.

    >>> ObjectiveConfig(name="mlm", masked_share=0.8, random_share=0.1).mask_rate
    0.15
    """

    name: str = field(
        default="clm",
        metadata={"help": "clm (predict the next token), mlm (predict masked tokens), rtd (find replaced "
                          "tokens: electra, metro), fim (fill in the middle), text_to_sequence (joint "
                          "tokenizer), masked_diffusion or image_diffusion (dit_image)"},
    )  # fmt: skip
    mask_rate: float = field(
        default=0.15, metadata={"help": "mlm: share of the non-special tokens to predict, over 0 to 1"}
    )
    masked_share: float = field(
        default=1.0,
        metadata={"help": "mlm: share of those that become <mask> (HELM 1; BERT 0.8), 0 to 1"},
    )
    random_share: float = field(
        default=0.0,
        metadata={"help": "mlm: share that becomes a random token (HELM 0; BERT 0.1); the rest stays"},
    )

    masking_strategy: Literal["single", "double", "span"] = field(
        default="single",
        metadata={
            "help": "mlm: what is chosen: single tokens, pairs of neighbours, or spans of geometric length"
        },
    )
    span_length: float = field(
        default=3.0, metadata={"help": "mlm: mean length of the spans, tokens, 1 or more (SpanBERT 3.8)"}
    )

    fim_rate: float = field(
        default=0.5, metadata={"help": "fim: chance of a sequence to be rearranged, 0 to 1"}
    )
    spm_share: float = field(
        default=0.5,
        metadata={"help": "fim: share of those that begin with the suffix (SPM, not PSM), 0 to 1"},
    )
    text_weight: float = field(
        default=0.0,
        metadata={"help": "text_to_sequence: weight of a token of text beside one of the sequence; 0 = none"},
    )
    rtd: RtdConfig | None = field(default=None, metadata={"help": "losses of objective rtd"})
    draw: Literal["count", "independent"] = field(
        default="count",
        metadata={
            "help": "masked_diffusion: hide a number of tokens, or each by chance (MDLM; same mean, noisier)"
        },
    )

    def in_use(self) -> dict[str, Any]:
        """The name and the settings that this objective reads, as a run says them of itself."""
        names = ("name", *_USED[OBJECTIVES.resolve(self.name)])
        return {name: value for name, value in to_dict(self).items() if name in names}

    def __post_init__(self) -> None:
        used = _USED[OBJECTIVES.resolve(self.name)]
        for item in fields(self)[1:]:
            if item.name not in used and getattr(self, item.name) != item.default:
                owners = ", ".join(name for name, names in _USED.items() if item.name in names)
                what = said(item.name, getattr(self, item.name))
                raise ConfigError(f"objective {self.name!r} does not use {what}, which belongs to: {owners}")
            if item.name in used and item.name in _GROUPS and getattr(self, item.name) is None:
                object.__setattr__(self, item.name, _GROUPS[item.name]())
        if self.masking_strategy not in ("single", "double", "span"):
            raise ConfigError(
                f"objective masking_strategy is {self.masking_strategy!r}, allowed: single, double, span"
            )
        if self.draw not in ("count", "independent"):
            raise ConfigError(f"objective draw is {self.draw!r}, allowed: count, independent")
        if self.span_length != 3.0 and self.masking_strategy != "span":
            raise ConfigError("objective span_length is of masking_strategy 'span' only: leave it out")
        check_range("objective span_length", self.span_length, low=1)
        check_range("objective mask_rate", self.mask_rate, low=1e-6, high=1)
        check_range("objective text_weight", self.text_weight, low=0)
        for name in ("masked_share", "random_share", "fim_rate", "spm_share"):
            check_range(f"objective {name}", getattr(self, name), low=0, high=1)
        if self.masked_share + self.random_share > 1 + 1e-9:
            shares = f"{self.masked_share!r} + {self.random_share!r}"
            raise ConfigError(f"objective masked_share + random_share must be at most 1, got {shares}")


def check_compatible(model: ModelConfig, objective: str) -> None:
    """Refuses pairs that would train something senseless: a model that sees what it has to predict.

    Raises:
        ConfigError: such a pair, with what fits.

    >>> check_compatible(ModelConfig(name="bert"), "clm")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    biodata.errors.ConfigError: objective 'clm' needs a causal model, got 'bert' that sees both sides: ...
    """
    objective = OBJECTIVES.resolve(objective)
    _check_named(model, objective)
    needed = BIDIRECTIONAL[objective]
    if model.bidirectional == needed:
        return
    other = next(name for name, both in BIDIRECTIONAL.items() if both != needed)
    wanted, usual = ("a model that sees both sides", "bert") if needed else ("a causal model", "gpt2")
    given = f"{model.name!r} that sees {'both sides' if model.bidirectional else 'only the past'}"
    raise ConfigError(
        f"objective {objective!r} needs {wanted}, got {given}: take model {usual!r}, "
        f"bidirectional {str(needed).lower()} or objective {other!r}"
    )


def check_corrector(model: ModelConfig, objective: ObjectiveConfig) -> None:
    """Refuses settings of METRO's corrector for a model that has none.

    Raises:
        ConfigError: naming the setting.
    """
    if objective.rtd is None or model.name == "metro":
        return
    usual = RtdConfig()
    for name in ("corrector_weight", "corrector_by_doubt"):
        if getattr(objective.rtd, name) != getattr(usual, name):
            raise ConfigError(f"objective rtd.{name} is of model 'metro', got {model.name!r}: leave it out")


def _check_named(model: ModelConfig, objective: str) -> None:
    own = model.architecture.objectives
    if own and objective not in own:
        fitting = " or ".join(map(repr, own))
        raise ConfigError(f"model {model.name!r} learns by objective {fitting}, got {objective!r}")
    if objective in SPECIAL and not own:
        able = " or ".join(repr(name) for name in MODELS if objective in MODELS.load(name).objectives)
        raise ConfigError(f"objective {objective!r} is not for model {model.name!r}: take model {able}")
