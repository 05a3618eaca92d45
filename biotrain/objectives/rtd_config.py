"""Settings of replaced-token detection. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class RtdConfig:
    """Weights of the losses of a generator and a discriminator.

    Raises:
        ConfigError: a negative weight.
    """

    generator_weight: float = field(
        default=1.0, metadata={"help": "rtd: weight of the generator's masked loss, >= 0"}
    )
    discriminator_weight: float = field(
        default=50.0,
        metadata={"help": "rtd: weight of the discriminator's loss, >= 0 (DeBERTaV3's code: 10)"},
    )
    corrector_weight: float = field(
        default=1.0,
        metadata={"help": "rtd with model metro: weight of finding the right token again, >= 0"},
    )

    corrector_by_doubt: bool = field(
        default=False,
        metadata={"help": "rtd with model metro: weigh each masked token of the corrector by the "
                          "discriminator's probability that it was replaced (METRO-T0)"},
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in ("generator_weight", "discriminator_weight", "corrector_weight"):
            check_range(f"objective {name}", getattr(self, name), low=0)
