"""The coordinate check: logits of the usual model grow with width, those of muP do not; it is drawn too."""

from __future__ import annotations

from pathlib import Path

import pytest

from biodata.errors import ConfigError
from biotrain.coord_check import coord_check
from biotrain.coord_config import CoordCheckConfig
from biotrain.models import ModelConfig

NARROW = ModelConfig(layers=1, width=32, heads=2, context=16)


def test_mup_keeps_sizes_that_grow_without_it(tmp_path: Path) -> None:
    config = CoordCheckConfig(out=tmp_path / "sizes.svg", model=NARROW, widths=(32, 128, 512), steps=3)
    told = coord_check(config)
    assert told["widths"] == [32, 128, 512] and told["path"] == str(tmp_path / "sizes.svg")
    assert told["growth"]["usual"]["logits"] > 0.25 > 0.1 > told["growth"]["mup"]["logits"]
    usual, mup = (told["sizes"][way]["logits"] for way in ("usual", "mup"))
    assert list(usual) == ["step_0", "step_1", "step_2", "step_3"]
    assert usual["step_3"][-1] / usual["step_3"][0] > 2 > 1.5 > mup["step_3"][-1] / mup["step_3"][0]
    assert usual["step_0"][0] == pytest.approx(mup["step_0"][0], rel=0.2)
    assert (tmp_path / "sizes.svg").read_text().lstrip().startswith("<?xml")


def test_refusals() -> None:
    for settings, message in (
        ({"widths": (64, 32)}, "widths must be ascending"),
        ({"model": ModelConfig(width=64, mup_base_width=32)}, "sets mup_base_width itself"),
        ({"model": ModelConfig(name="mamba", width=64)}, "'mamba' has no option mup_base_width"),
        ({"steps": 0}, "steps must be 1 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            CoordCheckConfig(**settings)  # pyright: ignore[reportArgumentType]
