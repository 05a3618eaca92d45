"""biotrain.loop: learning, the equalities that must hold, and what a run leaves behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biodata.configs import from_dict, read_yaml
from biodata.errors import ConfigError, DataError, SeqloomError
from biodata.schema import table_from_records
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biotrain import loop
from biotrain.config import OptimConfig, ScheduleConfig, TrainConfig
from biotrain.device import choose_hardware
from biotrain.log import NonFiniteError
from biotrain.loop import dry_run, train
from biotrain.losses import LossConfig
from biotrain.models import ModelConfig, flops_per_token
from biotrain.objectives import ObjectiveConfig
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step, validate
from tests.biotrain.conftest import TINY, records, write_splits

Make = Callable[..., TrainConfig]


class Tables:
    """A dataset in memory."""

    def __init__(self, train: int = 64, validation: int = 16) -> None:
        self.rows = {"train": records("train", train), "validation": records("validation", validation)}

    def table(self, split: str, columns: Sequence[str] | None = None) -> Any:
        return table_from_records(self.rows[split]).select(list(columns or []))


def parts_of(config: TrainConfig, **tables: int) -> Parts:
    hardware = choose_hardware(device="cpu", precision=config.precision, threads=1)
    return build_parts(config, Tables(**tables), hardware)


def weights(parts: Parts) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in parts.model.parameters()])


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "training_log.jsonl").read_text().splitlines()]


def test_a_tokenizer_of_other_letters_is_refused(tiny_config: Make, tiny_data: Path, tmp_path: Path) -> None:
    """Before anything is written, by a dry run too."""
    train_tokenizer(TokenizerConfig(kind="aa", data=tiny_data, out=tmp_path / "aa"))
    config = tiny_config(tokenizer=tmp_path / "aa", max_steps=1, eval_every=1)
    for attempt in (train, dry_run, lambda config: dry_run(replace(config, out=None))):
        with pytest.raises(ConfigError) as caught:
            attempt(config)
        assert str(caught.value) == (
            f"{tiny_data} holds dna, but the tokenizer {tmp_path / 'aa'} (aa) reads protein: "
            "make one of this data (seqloom tokenizer train)"
        )
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_untrained_model_knows_nothing(tiny_config: Make) -> None:
    scores = validate(parts_of(tiny_config()), batches=0, stopped=lambda: False)
    assert scores and scores["val_loss"] == pytest.approx(math.log(70), abs=0.05)


@pytest.mark.parametrize("objective", ["clm", "mlm"])
def test_a_tiny_set_is_learnt_by_heart(tiny_config: Make, objective: str) -> None:
    model = replace(TINY, name="gpt2" if objective == "clm" else "bert", bidirectional=None)
    config = tiny_config(model=model, objective=ObjectiveConfig(name=objective), optim=OptimConfig(lr=1e-2))
    parts = parts_of(config, train=4)
    rows = parts.train.rows(np.arange(4))
    losses = [train_step(parts, rows, 1).loss.item() for _ in range(150)]  # same step, so same masks
    assert losses[0] > 3.5 and losses[-1] < 0.5


@pytest.mark.parametrize("objective", ["clm", "mlm"])
@pytest.mark.parametrize("loss", ["xe", "hxe"])
def test_accumulation_equals_one_large_batch(tiny_config: Make, objective: str, loss: str) -> None:
    """Rows differ in length, so micro-batches differ in targets: a mean of means would be wrong."""
    model = replace(TINY, name="gpt2" if objective == "clm" else "bert", bidirectional=None)
    shared = {"model": model, "objective": ObjectiveConfig(name=objective), "loss": LossConfig(name=loss)}
    results, after = [], []
    for batch_size, accumulate in ((16, 1), (8, 2), (3, 6)):
        parts = parts_of(tiny_config(batch_size=batch_size, accumulate=accumulate, **shared))
        rows = parts.train.rows(np.arange(16))
        results.append(train_step(parts, rows, 1))
        after.append(weights(parts))
    for result in results[1:]:
        for name in ("loss", "xe", "grad_norm"):
            torch.testing.assert_close(getattr(result, name), getattr(results[0], name), rtol=1e-5, atol=1e-6)
        assert result[3:] == results[0][3:]
    gradient = [torch.cat([p.grad.flatten() for p in parts.model.parameters() if p.grad is not None])]
    assert gradient[0].isfinite().all()


def test_accumulated_gradients_equal(tiny_config: Make) -> None:
    """The gradients themselves: AdamW's first step hides their size."""
    gradients = []
    for batch_size, accumulate in ((16, 1), (8, 2), (5, 4)):
        config = tiny_config(batch_size=batch_size, accumulate=accumulate, optim=OptimConfig(clip_norm=0))
        parts = parts_of(config)
        train_step(parts, parts.train.rows(np.arange(16)), 1)
        gradients.append(
            torch.cat([p.grad.flatten() for p in parts.model.parameters() if p.grad is not None])
        )
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-4, atol=1e-7)


def test_padding_does_not_count(tiny_config: Make) -> None:
    parts = parts_of(tiny_config(loss=LossConfig(name="xe"), batch_size=64))
    rows = parts.train.rows(np.arange(64))
    logits = parts.model(torch.from_numpy(rows.ids)).log_softmax(-1)
    expected, count = 0.0, 0
    for ids, mask, row in zip(rows.ids, rows.mask, logits):
        for place in range(1, mask.sum()):
            expected, count = expected - row[place - 1, ids[place]].item(), count + 1
    result = train_step(parts, rows, 1)
    assert (result.targets, result.tokens) == (count, rows.mask.sum())
    assert result.loss.item() == pytest.approx(expected / count, rel=1e-5)


@pytest.mark.parametrize("objective", ["clm", "mlm"])
def test_val_loss_does_not_depend_on_the_training_loss(tiny_config: Make, objective: str) -> None:
    model = replace(TINY, name="gpt2" if objective == "clm" else "bert", bidirectional=None)
    scores = [
        validate(
            parts_of(tiny_config(model=model, objective=ObjectiveConfig(name=objective), loss=loss)),
            batches=0,
            stopped=lambda: False,
        )
        for loss in (LossConfig(name="xe"), LossConfig(name="hxe", alpha=0.4))
    ]
    assert scores[0] and scores[1]
    assert scores[0]["val_loss"] == scores[1]["val_loss"] == scores[0]["val_objective"]
    assert scores[1]["val_objective"] < scores[1]["val_loss"]


def test_dropout_and_masks_are_keyed_by_step(tiny_config: Make) -> None:
    model = replace(TINY, name="bert", bidirectional=None, dropout=0.3)
    config = tiny_config(model=model, objective=ObjectiveConfig(name="mlm"))
    results = []
    for step in (1, 1, 2):
        parts = parts_of(config)
        torch.rand(step)  # the global random state does not matter
        results.append(train_step(parts, parts.train.rows(np.arange(8)), step).loss.item())
    assert results[0] == results[1] != results[2]


def test_bf16_is_close_to_fp32(tiny_config: Make) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        parts = parts_of(tiny_config(precision=precision))
        losses.append(train_step(parts, parts.train.rows(np.arange(16)), 1).loss)
        assert all(p.dtype == torch.float32 for p in parts.model.parameters())
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-2, atol=0)
    assert losses[0] != losses[1]


def test_a_whole_run(tiny_config: Make, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_config(max_steps=60, loss=LossConfig(name="hxe"), eval_every=20, accumulate=2)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    result = train(config)
    assert torch.get_num_threads() == threads and torch.equal(torch.random.get_rng_state(), state)
    assert list(result) == ["run", "step", "tokens", "train_loss", "val_loss", "val_perplexity",
                            "val_objective", "tokens_per_s", "mfu"]  # fmt: skip
    assert config.out and result["run"] == str(config.out) and result["step"] == 60
    assert result["val_loss"] < 3.6 < math.log(70)
    assert result["val_perplexity"] == pytest.approx(math.exp(result["val_loss"]))
    assert 0 < result["mfu"] < 1 and result["tokens_per_s"] > 0
    assert from_dict(TrainConfig, read_yaml(config.out / "config.yaml")) == config
    assert (config.out / "model" / "model.safetensors").exists()
    log = lines(config.out)
    training = [line for line in log if "loss" in line]
    assert [line["step"] for line in training] == [1, *range(3, 61, 3)]
    assert set(training[0]) == {"step", "epoch", "tokens", "loss", "xe", "perplexity", "lr", "grad_norm",
                                "seconds", "tokens_per_s", "mfu", "memory_bytes"}  # fmt: skip
    assert all(line["memory_bytes"] > 2**20 for line in training)
    assert [line["step"] for line in log if "val_loss" in line] == [0, 20, 40, 60]
    assert log[-1]["whole_split"] and log[-1]["val_loss"] == result["val_loss"]
    assert training[-1]["tokens"] == result["tokens"] and training[-1]["loss"] == result["train_loss"]
    summary = json.loads((config.out / "summary.json").read_text())
    assert summary.items() >= result.items()
    rate, flops, peak = (summary[key] for key in ("tokens_per_s", "flops_per_token", "peak_flops"))
    assert summary["mfu"] == pytest.approx(rate * flops / peak, abs=6e-5)
    length = summary["data"]["train"]["tokens"] / summary["data"]["train"]["samples"]
    assert flops == flops_per_token(config.model, vocab_size=70, length=round(length))
    assert training[-1]["mfu"] == pytest.approx(training[-1]["tokens_per_s"] * flops / peak, abs=6e-5)
    model = summary["parameters"]["total"]
    assert model == sum(p.numel() for p in parts_of(config).model.parameters())
    assert summary["inputs"]["dataset"] == "of dataset" and len(summary["inputs"]["tokenizer"]) == 64
    assert capsys.readouterr().out == ""


def test_a_finished_run_is_found(tiny_config: Make) -> None:
    result = train(tiny_config())
    before = {
        path: path.stat().st_mtime_ns for path in tiny_config().paths().out.rglob("*") if path.is_file()
    }
    assert train(tiny_config()) == train(tiny_config(resume=True, threads=2)) == result
    assert {path: path.stat().st_mtime_ns for path in before if path.name != ".lock"} == {
        path: when for path, when in before.items() if path.name != ".lock"
    }
    with pytest.raises(ConfigError, match=r"another configuration \(max_steps 12 -> 13, seed 0 -> 1\)"):
        train(tiny_config(max_steps=13, seed=1))


def test_same_seed_same_bits_another_seed_others(tiny_config: Make, tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tiny_config(out=tmp_path / name, seed=seed, max_steps=3))
        contents.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_epochs(tiny_config: Make) -> None:
    config = tiny_config(max_steps=None, epochs=2, batch_size=16, accumulate=3)
    train(config)
    log = lines(config.paths().out)
    last = [line for line in log if "loss" in line][-1]
    assert last["epoch"] == 2.0
    summary = json.loads((config.paths().out / "summary.json").read_text())
    assert last["tokens"] == 2 * summary["data"]["train"]["tokens"]


def test_a_broken_loss_stops_in_one_line(tiny_config: Make) -> None:
    config = tiny_config(
        optim=OptimConfig(lr=1e30, clip_norm=0), schedule=ScheduleConfig(name="constant", warmup_steps=0),
        model=replace(TINY, tie_embeddings=False), checkpoint_every=1,
    )  # fmt: skip
    with pytest.raises(NonFiniteError) as caught:
        train(config)
    message = str(caught.value)
    assert "at step" in message and "optim.lr" in message and "step-1 is kept" in message
    assert "\n" not in message and not (config.paths().out / "summary.json").exists()
    with pytest.raises(ConfigError, match="give --resume"):
        train(config)


@pytest.mark.parametrize("name", ["data", "tokenizer"])
def test_a_folder_that_is_missing(tiny_config: Make, tmp_path: Path, name: str) -> None:
    with pytest.raises(SeqloomError, match="nowhere") as caught:
        train(tiny_config(**{name: tmp_path / "nowhere"}))
    assert "\n" not in str(caught.value)


def test_no_memory_left(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(loop, "train_step", no_memory)
    with pytest.raises(SeqloomError, match="out of GPU memory at step 1 with batch_size 8: a smaller one"):
        train(tiny_config())


def test_a_validation_that_is_no_number(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"val_loss": math.nan, "val_perplexity": 1.0, "val_objective": 1.0, "val_tokens": 1}
    monkeypatch.setattr(loop, "validate", lambda *args, **kwargs: scores)
    with pytest.raises(NonFiniteError, match="validation loss nan at step 0"):
        train(tiny_config())


def test_a_folder_that_is_no_run(tiny_config: Make) -> None:
    out = tiny_config().paths().out
    out.mkdir()
    (out / "thesis.docx").touch()
    with pytest.raises(ConfigError, match=r"holds 'thesis\.docx' and is no run folder"):
        train(tiny_config())


def test_empty_validation_split(tiny_config: Make, tmp_path: Path) -> None:
    rows = table_from_records(records("train", 4))
    data = write_splits(tmp_path / "d", {"train": rows, "validation": rows[:0]})
    with pytest.raises(DataError, match=r"d \(validation\): no sequences"):
        train(tiny_config(data=data))
    assert not (tiny_config().paths().out / "config.yaml").exists()


def test_another_dataset_in_the_same_place(tiny_config: Make, tmp_path: Path) -> None:
    train(tiny_config())
    rows = table_from_records(records("train", 4))
    data = write_splits(tmp_path / "other", {"train": rows, "validation": rows})
    with pytest.raises(ConfigError, match=r"another dataset \(of dataset, now of other\)"):
        train(tiny_config(data=data))


def test_dry_run(tiny_config: Make) -> None:
    config = tiny_config(max_steps=None, epochs=3)
    plan = dry_run(config)
    assert list(plan) == ["parameters", "flops_per_token", "tokens_per_step", "steps", "memory_bytes"]
    train(config)
    summary = json.loads((config.paths().out / "summary.json").read_text())
    assert plan["parameters"] == summary["parameters"] and plan["steps"] == summary["step"]
    assert plan["tokens_per_step"] == pytest.approx(summary["tokens"] / summary["step"], abs=0.5)


def test_dry_run_without_data() -> None:
    helm = ModelConfig(layers=10, width=640, context=444, tie_embeddings=False)
    plan = dry_run(TrainConfig(model=helm, vocab_size=70, batch_size=128))
    assert plan["parameters"]["total"] == 49_610_240  # 10 x 640 / 2560, untied: train.md, section 2
    assert plan["steps"] is None and plan["tokens_per_step"] == 128 * 444
    with pytest.raises(ConfigError, match="--vocab-size N"):
        dry_run(TrainConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "topological"}, "needs a tokenizer of single nucleotides"),
        ({"objective": "text_to_sequence"}, "needs a tokenizer of text and sequences"),
        ({"objective": "image_diffusion", "model": {"name": "dit_image"}}, "take kind 'nuc16'"),
        ({"objective": "mlm", "model": {"name": "caduceus"}}, "reads both strands, but token"),
    ],
)
def test_dry_run_refuses_what_the_run_would(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "p.fasta").write_text(">a\nMKV\n")
    made = TokenizerConfig(kind="aa", alphabet="protein", data=tmp_path / "p.fasta", out=tmp_path / "aa")
    train_tokenizer(made)
    with pytest.raises(ConfigError, match=message):
        dry_run(from_dict(TrainConfig, settings | {"tokenizer": tmp_path / "aa"}, where="x"))


@pytest.mark.parametrize("name", ["hxe", "soft_labels", "aa_loss_add", "aa_loss_only"])
def test_dry_run_refuses_a_loss_without_its_tree(name: str, tiny_config: Make, tmp_path: Path) -> None:
    config = tiny_config()
    assert config.data is not None
    train_tokenizer(TokenizerConfig(kind="nuc", alphabet="dna", data=config.data, out=tmp_path / "nuc"))
    with pytest.raises(ConfigError, match=f"loss '{name}' needs a codon tokenizer"):
        dry_run(replace(config, tokenizer=tmp_path / "nuc", loss=LossConfig(name=name)))
