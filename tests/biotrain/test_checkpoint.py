"""biotrain.checkpoint: round trip, damage, foreign files, pruning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biodata.errors import DataError, SeqloomError
from biotrain.checkpoint import (
    RunState,
    Trained,
    check_checkpoint,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from biotrain.config import OptimConfig
from biotrain.models import ModelConfig, build_model
from biotrain.optim import build_optimizer

SHAPE = ModelConfig(layers=1, width=8, heads=2, context=4)


def trained(seed: int, shape: ModelConfig = SHAPE) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = build_model(shape, vocab_size=10, seed=seed)
    optimizer = build_optimizer(model, OptimConfig())
    for _ in range(2):
        model(torch.tensor([[1, 6, 7]])).square().sum().backward()
        optimizer.step()
    return model, optimizer


def save(folder: Path, step: int, *, keep: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model, optimizer = trained(step)
    state = RunState(step=step, tokens=7, sums={"loss": 0.1})
    save_checkpoint(folder, Trained(model, optimizer), state=state, keep=keep)
    return model, optimizer


def test_round_trip_is_exact(tmp_path: Path) -> None:
    model, optimizer = save(tmp_path, 3)
    other, its_optimizer = trained(99)
    state = load_checkpoint(tmp_path / "step-3", Trained(other, its_optimizer))
    assert state == RunState(step=3, tokens=7, sums={"loss": 0.1})
    for pair in zip(model.parameters(), other.parameters()):
        assert torch.equal(*pair)
    for a, b in zip(model.parameters(), other.parameters()):
        ours, theirs = optimizer.state[a], its_optimizer.state[b]
        assert ours.keys() == theirs.keys() and len(ours) == 3
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_others_may_read_what_they_may_read_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save(tmp_path, 1)
    modes = {path.stat().st_mode for path in (tmp_path / "step-1").iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_only_safetensors_and_json(tmp_path: Path) -> None:
    save(tmp_path, 1)
    names = sorted(path.name for path in (tmp_path / "step-1").iterdir())
    assert names == ["model.safetensors", "optimizer.safetensors", "state.json"]


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-9", "step-10"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-9"]


def test_what_a_kill_left_is_cleared_and_never_read(tmp_path: Path) -> None:
    (tmp_path / ".step-5.part").mkdir()
    (tmp_path / ".step-5.part" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "step-x").mkdir()
    assert checkpoints(tmp_path) == []
    save(tmp_path, 5)
    assert not (tmp_path / ".step-5.part").exists() and check_checkpoint(tmp_path / "step-5").step == 5


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink])
def test_damage_is_refused_in_one_line(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    for step in ("step-2", "step-3"):
        path = tmp_path / step / name
        harm(path)
        if name == "state.json" and path.exists():
            path.write_bytes(path.read_bytes()[:-3])  # a lost newline alone does no harm
    model, optimizer = trained(0)
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "step-3", Trained(model, optimizer))
    message = str(caught.value)
    assert f"step-3/{name}" in message and "go on from step-1, which is whole" in message
    assert "\n" not in message


def test_no_older_one_is_whole(tmp_path: Path) -> None:
    save(tmp_path, 1)
    truncate(tmp_path / "step-1" / "model.safetensors")
    model, optimizer = trained(0)
    with pytest.raises(DataError, match="no older checkpoint is whole"):
        load_checkpoint(tmp_path / "step-1", Trained(model, optimizer))


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for shape in (
        ModelConfig(layers=2, width=8, heads=2, context=4),
        ModelConfig(layers=1, width=16, context=4),
    ):
        model, optimizer = trained(0, shape)
        with pytest.raises(DataError, match=r"of another model: tensor '\S+' does not fit"):
            load_checkpoint(tmp_path / "step-1", Trained(model, optimizer))


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2}', '{"format": 1, "state": {"stride": 1}}'])
def test_foreign_state_is_refused(tmp_path: Path, content: str) -> None:
    save(tmp_path, 1)
    (tmp_path / "step-1" / "state.json").write_text(content)
    with pytest.raises(DataError, match=r"state\.json"):
        check_checkpoint(tmp_path / "step-1")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    """Even one whose size and checksum were entered in state.json."""
    from biotrain.checkpoint import _sum

    save(tmp_path, 1)
    path = tmp_path / "step-1" / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    state = json.loads((tmp_path / "step-1" / "state.json").read_text())
    state["files"][path.name] = _sum(path)
    (tmp_path / "step-1" / "state.json").write_text(json.dumps(state))
    model, optimizer = trained(0)
    with pytest.raises(DataError, match="not a safetensors file"):
        load_checkpoint(tmp_path / "step-1", Trained(model, optimizer))


def test_tensors_of_the_wrong_shape(tmp_path: Path) -> None:
    from biotrain.checkpoint import _sum

    model, optimizer = save(tmp_path, 1)
    path = tmp_path / "step-1" / "optimizer.safetensors"
    save_file({"exp_avg/tokens.weight": torch.zeros(3, 3)}, path)
    state = json.loads((tmp_path / "step-1" / "state.json").read_text())
    state["files"][path.name] = _sum(path)
    (tmp_path / "step-1" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="does not fit"):
        load_checkpoint(tmp_path / "step-1", Trained(model, optimizer))


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(SeqloomError, match=r"cannot write checkpoint .*step-1: "):
        save(tmp_path / "checkpoints", 1)


def write_state(folder: Path, **changes: object) -> None:
    """Changes `state.json`, whose checksums are made to fit the files."""
    from biotrain.checkpoint import _sum

    content = json.loads((folder / "state.json").read_text())
    content["files"] = {name: _sum(folder / name) for name in content["files"]}
    content["state"] |= changes
    (folder / "state.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": "3"}, "step is '3'"),
        ({"sums": None}, "sums is None"),
        ({"train_seconds": [1]}, r"train_seconds is \[1\]"),
    ],
)
def test_a_state_of_the_wrong_types(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    save(tmp_path, 1)
    write_state(tmp_path / "step-1", **changes)
    with pytest.raises(DataError, match=rf"state\.json: not the state of a checkpoint \({message}\)"):
        check_checkpoint(tmp_path / "step-1")


def test_files_that_no_checkpoint_has(tmp_path: Path) -> None:
    save(tmp_path, 1)
    state = json.loads((tmp_path / "step-1" / "state.json").read_text())
    for files in ({"model.safetensors": {}}, {**state["files"], "../../secrets": {"size": 1, "crc32": 1}}):
        (tmp_path / "step-1" / "state.json").write_text(json.dumps({**state, "files": files}))
        with pytest.raises(DataError, match="not the state of a checkpoint"):
            check_checkpoint(tmp_path / "step-1")
    (tmp_path / "step-2").write_text("a file")
    with pytest.raises(DataError, match="step-2: not a checkpoint's folder"):
        check_checkpoint(tmp_path / "step-2")


@pytest.mark.parametrize("change", ["missing", "kind", "integers"])
def test_tensors_that_fit_only_almost(tmp_path: Path, change: str) -> None:
    """Entered in state.json with the right checksums, as no accident would."""
    save(tmp_path, 1)
    name = "optimizer.safetensors" if change == "kind" else "model.safetensors"
    path = tmp_path / "step-1" / name
    tensors = load_file(path)
    if change == "integers":
        tensors["norm.bias"] = torch.zeros(8, dtype=torch.int64)
    else:
        del tensors["exp_avg_sq/norm.bias" if change == "kind" else "norm.bias"]
    save_file(tensors, path)
    write_state(tmp_path / "step-1")
    expected = "'exp_avg_sq' is not there for all like" if change == "kind" else r"tensor 'norm\.bias'"
    with pytest.raises(DataError, match=f"{name}: of another model: {expected}"):
        load_checkpoint(tmp_path / "step-1", Trained(*trained(0)))
