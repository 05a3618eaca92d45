"""Shapes of the models, and which models there are. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from biotrain.models.activations import Activation
from biotrain.models.based_config import BasedConfig
from biotrain.models.diffusion_config import DitConfig, ImageConfig
from biotrain.models.hyena_config import HyenaConfig
from biotrain.models.modern_config import ModernConfig
from biotrain.models.pair_config import PairConfig
from biotrain.models.ssm_config import SsmConfig
from biotrain.ranges import check_range, said

if TYPE_CHECKING:
    from biotrain.models.architecture import Architecture

MODELS = Catalog(
    "model",
    {
        "based": "biotrain.models.based:ARCHITECTURE",
        "bert": "biotrain.models.bert:ARCHITECTURE",
        "bimamba": "biotrain.models.bimamba:ARCHITECTURE",
        "caduceus": "biotrain.models.caduceus:ARCHITECTURE",
        "dit": "biotrain.models.dit:ARCHITECTURE",
        "dit_image": "biotrain.models.dit_image:ARCHITECTURE",
        "electra": "biotrain.models.electra:ARCHITECTURE",
        "gpt2": "biotrain.models.gpt2:ARCHITECTURE",
        "hyena": "biotrain.models.hyena:ARCHITECTURE",
        "llama": "biotrain.models.llama:ARCHITECTURE",
        "mamba": "biotrain.models.mamba:ARCHITECTURE",
        "mamba2": "biotrain.models.mamba2:ARCHITECTURE",
        "metro": "biotrain.models.metro:ARCHITECTURE",
        "modernbert": "biotrain.models.modernbert:ARCHITECTURE",
        "moe": "biotrain.models.moe:ARCHITECTURE",
    },
    aliases={"mixtral": "moe"},
)
"""Name to `Architecture`."""

HEAD_WIDTH = 64
"""Width of an attention head when `heads` is left to us; GPT-2's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MoEConfig:
    """Experts and their router.

    The load-balance loss of a layer is E / (k T^2) sum over experts e of (sum over tokens t of p_te) n_e: E
    experts, T real tokens of a micro-batch, p the softmax over all experts, n_e the times e was chosen; 1
    when even, E / k when all tokens take the same (Switch, arXiv:2101.03961, eq. 4, in Megatron's form). The
    z loss is the mean of logsumexp(logits)^2 (ST-MoE, arXiv:2202.08906, eq. 5). Both are summed over layers.
    Mixtral's function averages over layers and does not divide by k: its coefficient is ours x layers / k.

    Raises:
        ConfigError: a value out of range, or more experts for a token than there are.
    """

    experts: int = field(default=8, metadata={"help": "experts of a layer, 1 or more"})
    top_k: int = field(default=2, metadata={"help": "experts that a token visits, 1 to experts"})
    balance_loss: float = field(
        default=1e-3, metadata={"help": "coefficient of the load-balance loss in Megatron's form, >= 0"}
    )
    z_loss: float = field(default=1e-3, metadata={"help": "coefficient of the router's z loss, >= 0"})

    def __post_init__(self) -> None:
        check_range("model experts", self.experts, low=1)
        check_range("model top_k", self.top_k, low=1, high=self.experts)
        check_range("model balance_loss", self.balance_loss, low=0)
        check_range("model z_loss", self.z_loss, low=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of a model.

    Args: see each field. What is left to us (`heads = 0`, `ffn = 0`, `position = auto`, ...) is replaced by
        the architecture's rule, so that a saved configuration states what was used.

    Raises:
        ConfigError: a value out of range, a width that the heads do not divide, or an option that means
            nothing in this architecture.

    >>> ModelConfig(width=640).heads, ModelConfig(width=640).ffn, ModelConfig(name="llama").position
    (10, 2560, 'rope')
    >>> ModelConfig(width=100, heads=3)
    Traceback (most recent call last):
    biodata.errors.ConfigError: width 100 is not divisible by heads 3
    >>> ModelConfig(name="gpt2", kv_heads=2)
    Traceback (most recent call last):
    biodata.errors.ConfigError: model 'gpt2' has no option kv_heads (llama, moe have)
    """

    name: str = field(default="gpt2", metadata={"help": f"architecture: {', '.join(MODELS)}"})
    bidirectional: bool | None = field(
        default=None, metadata={"help": "see both sides, for mlm; none = as is usual for the model"}
    )
    layers: int = field(default=6, metadata={"help": "number of blocks, 1 or more"})
    width: int = field(default=256, metadata={"help": "hidden width d, 1 or more, a multiple of heads"})
    heads: int = field(default=0, metadata={"help": "attention heads; 0 = one per 64 of width"})
    kv_heads: int = field(
        default=0, metadata={"help": "llama, moe: heads of keys and values, a divisor of heads; 0 = heads"}
    )
    ffn: int = field(
        default=0,
        metadata={"help": "inner width of the feed-forward layer, or of an expert; 0 = by architecture"},
    )
    context: int = field(
        default=512, metadata={"help": "most tokens of a sequence, special tokens included; 2 or more"}
    )
    position: Literal["auto", "learned", "rope", "alibi", "relative", "fixed", "none"] = field(
        default="auto",
        metadata={"help": "how places are known; auto = as is usual for the model, see docs/training.md"},
    )
    rope_base: float | None = field(
        default=None, metadata={"help": "base of rope's wavelengths, > 1; none = 10000"}
    )
    dropout: float = field(
        default=0.0, metadata={"help": "probability of dropping embeddings, attention and residuals, 0 to 1"}
    )
    attention_dropout: float | None = field(
        default=None, metadata={"help": "probability of dropping attention weights, 0 to 1; none = dropout"}
    )
    activation: Activation | None = field(
        default=None,
        metadata={
            "help": "gpt2, bert: of feed-forward layers (geglu is a gate); none = gpt2 gelu_tanh, bert gelu"
        },
    )
    tie_embeddings: bool = field(
        default=True, metadata={"help": "output layer shares the token embedding (HELM: false)"}
    )
    norm_eps: float = field(default=1e-5, metadata={"help": "added to the variance in a norm, > 0"})
    init_std: float = field(
        default=0.02, metadata={"help": "standard deviation of initial weights, >= 0 (GPT-2: 0.02)"}
    )
    mup_base_width: int = field(
        default=0,
        metadata={"help": "gpt2, bert, llama, moe: width for which optim.lr and init_std were tuned; muP "
                          "takes them over to this width; 0 = no muP"},
    )  # fmt: skip
    moe: MoEConfig | None = field(default=None, metadata={"help": "experts of model moe"})
    hyena: HyenaConfig | None = field(default=None, metadata={"help": "filters of model hyena"})
    based: BasedConfig | None = field(default=None, metadata={"help": "kinds of layers of model based"})
    ssm: SsmConfig | None = field(
        default=None, metadata={"help": "state-space layers of mamba, mamba2, bimamba and caduceus"}
    )

    modern: ModernConfig | None = field(default=None, metadata={"help": "attention of modernbert"})
    pair: PairConfig | None = field(default=None, metadata={"help": "generator of electra and metro"})
    dit: DitConfig | None = field(default=None, metadata={"help": "how noise steers model dit"})
    image: ImageConfig | None = field(default=None, metadata={"help": "pictures of model dit_image"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", MODELS.resolve(self.name))
        for name in ("layers", "width"):
            check_range(f"model {name}", getattr(self, name), low=1)
        check_range("model context", self.context, low=2)
        for name in ("heads", "kv_heads", "ffn", "init_std", "mup_base_width"):
            check_range(f"model {name}", getattr(self, name), low=0)
        check_range("model dropout", self.dropout, low=0, high=1)
        check_range("model attention_dropout", self.attention_dropout or 0, low=0, high=1)
        check_range("model norm_eps", self.norm_eps, low=1e-12, high=1)
        self._refuse_unused()
        self._fill()
        self._check_attention()
        for name, value in self.architecture.settle(self).items():
            object.__setattr__(self, name, value)
        if self.mup_base_width:
            self.mup_base()

    @property
    def architecture(self) -> Architecture:
        """Traits of the named architecture."""
        return MODELS.load(self.name)

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def head_width(self) -> int:
        """Width of an attention head; 0 where there is no attention."""
        return self.width // self.heads if self.heads else 0

    @property
    def attention_drop(self) -> float:
        """Probability of dropping an attention weight in training."""
        return self.dropout if self.attention_dropout is None else self.attention_dropout

    def mup_base(self) -> ModelConfig:
        """The model of `mup_base_width` that this one is a wider form of.

        It has heads of the same width, or, where their number would be no whole one, as many heads.

        Raises:
            ConfigError: there is no such model.

        >>> ModelConfig(width=256, mup_base_width=128).mup_base().ffn
        512
        """
        base, keys = self.mup_base_width, self.heads // self.key_heads
        heads = self.heads * base // self.width if self.heads * base % self.width == 0 else self.heads
        kv_heads = (heads // keys if heads % keys == 0 else heads) if self.kv_heads else 0
        ffn = max(1, round(self.ffn * base / self.width))
        try:
            return replace(self, width=base, heads=heads, kv_heads=kv_heads, ffn=ffn, mup_base_width=0)
        except ConfigError as error:
            raise ConfigError(f"mup_base_width {base} gives no model: {error}") from None

    def _refuse_unused(self) -> None:
        for name, nothing in _OPTIONAL.items():
            if getattr(self, name) != nothing and name not in self.architecture.takes:
                able = [other for other in MODELS if name in MODELS.load(other).takes]
                have = f"{', '.join(able)} have" if len(able) > 1 else f"only {able[0]!r} has"
                raise ConfigError(
                    f"model {self.name!r} has no option {said(name, getattr(self, name))} ({have})"
                )

    def _fill(self) -> None:
        architecture = self.architecture
        filled = {
            "bidirectional": architecture.bidirectional if self.bidirectional is None else self.bidirectional,
            "ffn": self.ffn or architecture.ffn(self.width),
            "position": architecture.positions[0] if self.position == "auto" else self.position,
        }
        if "heads" in architecture.takes:
            filled["heads"] = self.heads or max(1, self.width // HEAD_WIDTH)
        if "kv_heads" in architecture.takes:
            filled["kv_heads"] = self.kv_heads or filled["heads"]
        for name, group in _GROUPS.items():
            if name in architecture.takes:
                filled[name] = getattr(self, name) or group()
        if filled["position"] == "rope":
            filled["rope_base"] = self.rope_base or 10_000.0
        elif self.rope_base is not None:
            raise ConfigError(
                f"rope_base {self.rope_base:g} needs position 'rope', got {filled['position']!r}"
            )
        for name, value in filled.items():
            object.__setattr__(self, name, value)

    def _check_attention(self) -> None:
        if self.bidirectional not in self.architecture.directions:
            said, only = self.bidirectional, self.architecture.bidirectional
            raise ConfigError(f"model {self.name!r} has no bidirectional {said} (allowed: {only})")
        if self.position not in self.architecture.positions:
            allowed = ", ".join(self.architecture.positions)
            raise ConfigError(f"model {self.name!r} has no position {self.position!r} (allowed: {allowed})")
        if not self.heads:
            return
        if self.width % self.heads:
            raise ConfigError(f"width {self.width} is not divisible by heads {self.heads}")
        if self.heads % self.key_heads:
            raise ConfigError(f"heads {self.heads} is not divisible by kv_heads {self.kv_heads}")
        if self.position == "rope":
            check_range("model rope_base", self.rope_base or 0, low=1.001)
            if self.head_width % 2:
                shape = f"width {self.width} / heads {self.heads}"
                raise ConfigError(f"position 'rope' needs heads of even width, got {shape}")
        if self.position == "none" and self.bidirectional and self.architecture.attends:
            raise ConfigError(
                "position 'none' needs a causal model: one that sees both sides would not know the order"
            )


_GROUPS = {"moe": MoEConfig, "hyena": HyenaConfig, "based": BasedConfig, "ssm": SsmConfig, "pair": PairConfig,
           "modern": ModernConfig, "dit": DitConfig, "image": ImageConfig}  # fmt: skip
"""Options of single models: a field of `ModelConfig` to its class."""

_OPTIONAL = {
    f.name: f.default
    for f in fields(ModelConfig)
    if f.name
    in ("heads", "kv_heads", "rope_base", "mup_base_width", "attention_dropout", "activation", *_GROUPS)
}
