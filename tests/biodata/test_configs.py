"""biodata.configs: what is converted, what is refused and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biodata.configs import from_dict, read_yaml, set_by_path, to_dict, write_yaml
from biodata.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    name: Literal["gpt2", "bert"] = "gpt2"
    layers: int = field(default=2, metadata={"help": "blocks, >= 1"})

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ConfigError(f"layers must be >= 1, got {self.layers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    data: Path = field(metadata={"help": "the dataset folder"})
    model: Inner = field(default_factory=Inner)
    extra: Inner | None = None
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    tags: tuple[str, ...] = ()
    fast: bool = False
    steps: int | None = None
    note: str = ""


def test_everything_is_converted_from_text() -> None:
    config = from_dict(
        Outer,
        {
            "data": "x",
            "model": {"layers": "4"},
            "lr": "1e-4",
            "betas": "0.8,0.9",
            "tags": ["a"],
            "fast": "yes",
            "steps": "1e3",
        },
    )
    assert config == Outer(
        data=Path("x"), model=Inner(layers=4), lr=1e-4, betas=(0.8, 0.9), tags=("a",), fast=True, steps=1000
    )


def test_nested_shorthand_none_and_dashes() -> None:
    config = from_dict(Outer, {"data": "x", "model": "bert", "extra": "none", "steps": "none"})
    assert config.model == Inner(name="bert") and config.extra is None and config.steps is None
    assert from_dict(Outer, {"data": "x", "extra": {"layers": 3}}).extra == Inner(layers=3)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "f.yaml: 'data' is missing (the dataset folder)"),
        ({"data": "x", "modle": 1}, "f.yaml: unknown key 'modle', did you mean 'model'?"),
        ({"data": "x", "model": {"layer": 1}}, "unknown key 'model.layer', did you mean 'model.layers'?"),
        ({"data": "x", "model": {"layers": "two"}}, "'model.layers' takes a whole number, got 'two'"),
        ({"data": "x", "model": {"layers": 0}}, "f.yaml: model: layers must be >= 1, got 0"),
        ({"data": "x", "model": {"layers": 1.5}}, "'model.layers' takes a whole number, got 1.5"),
        ({"data": "x", "model": {"layers": True}}, "'model.layers' takes a whole number, got True"),
        ({"data": "x", "model": "gpt3"}, "takes one of gpt2, bert (did you mean 'gpt2'?), got 'gpt3'"),
        ({"data": "x", "model": 3}, "'model' takes a group of settings, got 3"),
        ({"data": "x", "fast": 1}, "'fast' takes true or false, got 1"),
        ({"data": "x", "betas": [0.9]}, "'betas' takes a list of 2 values, got [0.9]"),
        ({"data": "x", "betas": [0.9, "b"]}, "'betas' takes a list, each entry a number"),
        ({"data": "x", "lr": None}, "'lr' takes a number, got None"),
        ({"data": "x", "note": False}, "'note' takes text, got False"),
        ({"data": "x", "steps": "many"}, "'steps' takes a whole number or none, got 'many'"),
    ],
)
def test_refusals_name_the_key_and_the_value(mapping: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, mapping, where="f.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(
    lr=st.floats(allow_nan=False, allow_infinity=False),
    steps=st.none() | st.integers(-(2**60), 2**60),
    tags=st.lists(st.text()).map(tuple),
    layers=st.integers(1, 99),
)
def test_round_trip(lr: float, steps: int | None, tags: tuple[str, ...], layers: int) -> None:
    config = Outer(data=Path("a/b"), lr=lr, steps=steps, tags=tags, model=Inner(layers=layers))
    assert from_dict(Outer, to_dict(config)) == config


def test_yaml_file_round_trip(tmp_path: Path) -> None:
    config = Outer(data=Path("d"), lr=1e-4, note="no")
    write_yaml(tmp_path / "c.yaml", to_dict(config))
    assert from_dict(Outer, read_yaml(tmp_path / "c.yaml")) == config


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1\nb: 2", ":2: not YAML"), ("- 1", "lines expected, found [1]")]
)
def test_bad_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="bad") as caught:
        read_yaml(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_set_by_path() -> None:
    mapping: dict = {"lr": 1}
    set_by_path(mapping, "model.layers", 4)
    set_by_path(mapping, "max-steps", 3)
    assert mapping == {"lr": 1, "model": {"layers": 4}, "max_steps": 3}
    with pytest.raises(ConfigError, match="'lr' is 1, not a group"):
        set_by_path(mapping, "lr.x", 1)
    with pytest.raises(ConfigError, match="named like"):
        set_by_path(mapping, "a..b", 1)
