"""Diffusion transformer over pictures of sequences: DiT (arXiv:2212.09748) on patches, adaLN-Zero blocks.

DiT-S/2, B/2, L/2 and XL/2 have 32.87, 130.3, 457.8 and 674.8 million parameters with 1000 labels and a
learned variance, which are `label` and `learned_variance` here.
"""

from __future__ import annotations

from typing import Any

from biodata.errors import ConfigError
from biotrain.models.architecture import Architecture, Modeling, Size, Style, kept_by_transformer
from biotrain.models.config import ModelConfig
from biotrain.models.diffusion_config import FREQUENCIES


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Closed form. With width d, inner width f, m numbers a patch, per block: attention 4 d^2 + 4 d,
    feed-forward 2 d f + f + d, modulation 6 d (d + 1). Around them: patches (m + 1) d, the time's two layers
    (256 + 1) d + (d + 1) d, the last norm 2 d (d + 1), output (d + 1) m, twice m with a learned variance;
    with C labels (C + 1) d. The vocabulary does not matter.

    Multiplications are those of a picture over the context, as if each came of that many letters.
    """
    assert config.image is not None
    d, f, m, patches = config.width, config.ffn, config.image.numbers, config.image.patches
    told, table = config.image.told, (len(config.image.classes) + 1) * d if config.image.label else 0
    block = 4 * d * d + 2 * d * f
    total = config.layers * (block + 4 * d + f + d + 6 * d * (d + 1))
    total += (m + 1) * d + (FREQUENCIES + 1 + d + 1) * d + 2 * d * (d + 1) + (d + 1) * told + table
    work = patches * (config.layers * (block + 2 * d * patches) + (m + told) * d)
    return Size(
        total=total,
        active=total,
        embedding=(m + 1) * d + table,
        multiplied=-(-work // config.context),
        mixing=0,
    )


def _kept(config: ModelConfig) -> int:
    """What a transformer keeps, and what six modulations of each block are multiplied with."""
    return kept_by_transformer(config) + 6 * config.width


def _settle(config: ModelConfig) -> dict[str, Any]:
    """There is no token embedding to tie.

    Raises:
        ConfigError: a width that places cannot be told with, or more letters than a square has cells.
    """
    assert config.image is not None
    if config.width % 4:
        raise ConfigError(f"model 'dit_image' needs a width that is a multiple of 4, got {config.width}")
    cells = config.image.side**2
    if config.image.picture == "color_square" and config.context > cells:
        raise ConfigError(
            f"model context {config.context} is more than the {cells} cells of a color_square of side "
            f"{config.image.side}: take context {cells} (--model-context) or a larger side"
        )
    return {"tie_embeddings": False}


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    takes=frozenset({"heads", "image"}),
    positions=("fixed",),
    ffn=lambda width: 4 * width,
    size=_size,
    builder="biotrain.diffusion.image_model:DitImage",
    style=Style(norm="layer", bias=True, feed_forward="gelu_tanh"),
    modeling=Modeling("modeling_dit", "SeqloomDitImage", "seqloom_dit_image"),
    packs=False,
    objectives=("image_diffusion",),
    kept=_kept,
    settle=_settle,
)
