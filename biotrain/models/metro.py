"""METRO (Bajaj et al., arXiv:2204.06644): ELECTRA with a shallow generator of full width and a corrector.

The generator has a third of the discriminator's layers (METRO-T0's base: 4 of 12) and no dropout, so that one
pass serves its loss and the draw. The corrector finds the right token at masked places by a simple head;
COCO-LM's copy mechanism and contrastive loss are left out, as in METRO. METRO-T0's positions are `relative`.
"""

from __future__ import annotations

from typing import Any

from biodata.errors import ConfigError
from biotrain.models.architecture import Architecture
from biotrain.models.config import ModelConfig
from biotrain.models.electra import DISCRIMINATOR, OWN, PAIR_POSITIONS, PAIR_STYLE, kept_by_pair
from biotrain.models.pair_config import complete_pair, pair_size


def _settle(config: ModelConfig) -> dict[str, Any]:
    settled = complete_pair(config, width=config.width, layers=round(config.layers / 3), dropout=0.0)
    narrow = settled["pair"].embedding_width
    if narrow != config.width:
        raise ConfigError(
            f"model 'metro' corrects tokens by its embeddings: embedding_width must be its width "
            f"{config.width}, got {narrow}"
        )
    return settled


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    takes=frozenset({"heads", "rope_base", "attention_dropout", "pair"}),
    positions=PAIR_POSITIONS,
    ffn=lambda width: 4 * width,
    size=lambda config, vocab_size: pair_size(config, vocab_size, corrects=True),
    builder="biotrain.layers.pair:CorrectingPair",
    style=PAIR_STYLE,
    hf=DISCRIMINATOR,
    modeling=OWN,
    objectives=("rtd",),
    kept=kept_by_pair,
    settle=_settle,
)
