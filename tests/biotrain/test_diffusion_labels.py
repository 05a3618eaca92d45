"""Learned variance against distributions of torch and an exact Gaussian; labels from dataset to picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from biodata.errors import ConfigError, DataError
from biodata.schema import BioSequence, table_from_records
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.letters import nuc16
from biotrain.config import TrainConfig
from biotrain.diffusion.gaussian import alpha_sigma, log_variance, noised, sample, split, wanted
from biotrain.diffusion.image_model import DitImage
from biotrain.diffusion.labels import label_windows, with_classes
from biotrain.diffusion.paint import guided
from biotrain.diffusion.variance import bound, on_grid, variances
from biotrain.estimate import dry_run
from biotrain.export import load_model
from biotrain.generate import GenerateConfig, generate
from biotrain.loader import Samples
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model
from biotrain.models.diffusion_config import ImageConfig
from biotrain.objectives import Batch, ObjectiveConfig
from biotrain.objectives.image_diffusion import ImageDiffusion, letter_codes
from tests.biotrain.conftest import write_splits

SQUARE = ImageConfig(picture="color_square", side=4, patch=2)
LEARNED = dataclasses.replace(SQUARE, learned_variance=True)
LABELLED = dataclasses.replace(LEARNED, label="kind", classes=("enzyme", "toxin"))


def picture_model(image: ImageConfig, **changes: Any) -> DitImage:
    shape = {"layers": 1, "width": 32, "heads": 2, "context": image.side**2, **changes}
    model = build_model(ModelConfig(name="dit_image", image=image, **shape), vocab_size=16)
    assert isinstance(model, DitImage)
    return model


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ddpm(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """alpha-bar of steps t and t - 1, beta and beta-tilde by arXiv:2006.11239 and 2102.09672, eq. 17."""
    f = torch.cos((torch.tensor([step, step - 1.0]).double() / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    now, before = f / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    beta = (1 - now / before).clamp(max=0.999)
    return now, before, beta, (1 - before) / (1 - now) * beta


@pytest.mark.parametrize("kind", ["v", "eps"])
@pytest.mark.parametrize("step", [1, 2, 400, 999])
def test_bound_is_the_divergence_of_the_two_gaussians(kind: Any, step: int) -> None:
    """q and p by DDPM's eq. 7 from x, and from the x that was told; the first step is a density."""
    x, noise, said = random(2, 3), random(2, 3, seed=1), random(2, 3, seed=2) / 2
    times = torch.full((2,), step / 1000, dtype=torch.float64)
    z = noised(x, noise, times)
    told = wanted(x, noise, times, kind) + 0.1 * random(2, 3, seed=3)
    now, before, beta, tilde = ddpm(step)
    least = ddpm(2)[3] if step == 1 else tilde

    def mean(picture: Tensor) -> Tensor:
        return before.sqrt() * beta / (1 - now) * picture + (1 - beta).sqrt() * (1 - before) / (1 - now) * z

    share = (said + 1) / 2
    spread = (share * beta.log() + (1 - share) * least.log()).exp().sqrt()
    p = torch.distributions.Normal(mean(split(z, told, times, kind)[0]), spread)
    q = torch.distributions.Normal(mean(x), tilde.clamp(min=1e-300).sqrt())
    nats = -p.log_prob(x) if step == 1 else torch.distributions.kl_divergence(q, p)
    found = bound(z, told, said, noise, times, kind=kind)
    torch.testing.assert_close(found, 1000 * nats.mean(1), rtol=1e-5, atol=1e-6)
    both = variances(times, times - 1 / 1000)
    torch.testing.assert_close(both[0], beta.expand(2))
    torch.testing.assert_close(both[1], tilde.expand(2), atol=1e-12, rtol=1e-6)


def test_the_last_step_is_finite_and_only_the_variance_has_a_gradient() -> None:
    x, noise = random(2, 3).float(), random(2, 3, seed=1).float()
    times = on_grid(torch.tensor([0.0, 0.99995]))
    assert times.tolist() == pytest.approx([0.001, 1.0])
    told, said = (random(2, 3, seed=s).float().requires_grad_() for s in (2, 3))
    found = bound(noised(x, noise, times), told, said, noise, times, kind="v")
    found.sum().backward()
    assert found.isfinite().all() and told.grad is None
    assert said.grad is not None and said.grad.isfinite().all() and said.grad.any()


def test_the_variance_lies_between_its_bounds() -> None:
    most, least = torch.tensor(0.2).log(), torch.tensor(0.05).log()
    found = log_variance(torch.tensor([-1.0, 0.0, 1.0]), most, least).exp()
    torch.testing.assert_close(found, torch.tensor([0.05, 0.1, 0.2]))


def test_few_steps_are_exact_with_the_right_variance() -> None:
    """Of a Gaussian the step back is a Gaussian: with its variance told, five steps keep the moments."""
    middle, spread, steps = 1.5, 0.4, 5

    def model(z: Tensor, times: Tensor) -> Tensor:
        alpha, sigma = (value[:, None] for value in alpha_sigma(times))
        unsure = alpha**2 * spread**2 / (alpha**2 * spread**2 + sigma**2)  # of the noise, given z
        x = middle + unsure / alpha * (z - alpha * middle)
        before = (times - 0.999 / steps).clamp(min=1e-9)
        most, least = (value[:, None] for value in variances(times, before))
        exact = least + most**2 / (sigma**2 * (1 - most)) * unsure
        said = 2 * (exact / least).log() / (most / least).log() - 1
        assert bool((said.abs() <= 1 + 1e-9).all())
        return torch.cat((alpha * (z - alpha * x) / sigma - sigma * x, said), 1)

    def moments(told: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
        fresh = torch.Generator().manual_seed(1)

        def noise(step: int) -> Tensor:
            return torch.randn(40_000, 1, dtype=torch.float64, generator=fresh)

        made = sample(told, noise(-1), steps=steps, kind="v", noise=noise)
        return float(made.mean()), float(made.std())

    # the last step gives x itself, whose spread is less than the picture's by what is unsure there
    alpha, sigma = (float(v) for v in alpha_sigma(torch.tensor(0.999 / steps, dtype=torch.float64)))
    shown = spread * math.sqrt(alpha**2 * spread**2 / (alpha**2 * spread**2 + sigma**2))
    mean, std = moments(model)
    assert mean == pytest.approx(middle, abs=0.01) and std == pytest.approx(shown, rel=0.01)
    assert moments(lambda z, t: model(z, t)[:, :1])[1] < 0.97 * shown


def test_hybrid_loss_is_error_and_weighted_bound() -> None:
    objective = ImageDiffusion(letter_codes(nuc16().tokens))
    objective.attach(picture_model(dataclasses.replace(LEARNED, bound_weight=0.01)))
    assert {name: (t.per, t.weight) for name, t in objective.terms.items()} == {
        "error": ("rows", 1.0), "bound": ("rows", 0.01)}  # fmt: skip
    ids = torch.tensor([nuc16().encode("ACGT"), nuc16().encode("TTTT")])
    row = objective.prepare(ids, ids > 0, torch.Generator().manual_seed(1)).by_row
    assert torch.equal(row["time"], on_grid(row["time"]))
    batch = Batch(ids, None, ids < 0, ids[:0, 0], by_row=row)
    said = torch.cat((torch.zeros_like(row["noise"]), 0.3 * torch.ones_like(row["noise"])), 1)
    found = objective.losses(lambda z, times: said, nn.Identity(), batch).losses
    alpha, sigma = (value[:, None, None, None] for value in alpha_sigma(row["time"]))
    velocity = alpha * row["noise"] - sigma * row["picture"]
    z = noised(row["picture"], row["noise"], row["time"])
    expected = bound(z, said[:, :4], said[:, 4:], row["noise"], row["time"], kind="v").sum()
    torch.testing.assert_close(found, torch.stack((2 * velocity.square().mean(), expected)))


def test_labels_are_dropped_by_chance_and_the_last_class_is_none() -> None:
    model = picture_model(dataclasses.replace(LABELLED, label_dropout=0.25))
    objective = ImageDiffusion(letter_codes(nuc16().tokens))
    objective.attach(model)
    ids = torch.tensor([nuc16().encode("ACGT")] * 2000)
    row = objective.prepare(ids, ids > 0, torch.Generator().manual_seed(1)).by_row
    row = {**row, "label": torch.arange(2000) % 2}
    heard: list[Tensor] = []

    def predict(z: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        heard.append(labels)
        return torch.cat((z, z), 1)

    objective.losses(predict, nn.Identity(), Batch(ids, None, ids < 0, ids[:0, 0], by_row=row))
    assert (heard[0] == 2).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert bool(((heard[0] == row["label"]) | (heard[0] == 2)).all())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    z, times = random(3, 4, 4, 4).float(), torch.tensor([0.1, 0.5, 0.9])
    none = model(z, times=times, labels=torch.full((3,), 2))
    assert torch.equal(model(z, times=times), none)
    assert not torch.allclose(model(z, times=times, labels=torch.tensor([0, 1, 0])), none)


def test_guidance_of_velocities_is_that_of_noise() -> None:
    model = picture_model(LABELLED)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    z, times = random(3, 4, 4, 4).float(), torch.tensor([0.2, 0.5, 0.8])
    toxins = torch.ones(3, dtype=torch.long)
    with torch.no_grad():
        found = guided(model, "toxin", 3.0)(z, times)
        label, none = model(z, times=times, labels=toxins), model(z, times=times)
    noise = [split(z, told[:, :4], times, "v")[1] for told in (none, label, found)]
    torch.testing.assert_close(noise[2], noise[0] + 3 * (noise[1] - noise[0]), atol=1e-4, rtol=1e-4)
    assert torch.equal(found[:, 4:], label[:, 4:])
    assert torch.equal(guided(model, "toxin", 1.0)(z, times), label)
    assert torch.equal(guided(model, "", 1.0)(z, times), none)


def corpus(folder: Path) -> Path:
    """Enzymes are of A and C, toxins of G and T; every tenth row says nothing."""
    draw = np.random.default_rng(0)
    tables = {}
    for split_name, count in (("train", 60), ("validation", 20), ("test", 4)):
        records = []
        for i in range(count):
            letters, kind = (("AC", "enzyme"), ("GT", "toxin"))[i % 2]
            records.append(BioSequence(
                id=f"{split_name}{i}", sequence="".join(draw.choice(list(letters), 12)), alphabet="dna",
                split=split_name, organism=f"species {i % 3}",
                labels={"stability": 0.5} if i % 10 == 9 else {"stability": 1.0, "kind": kind},
            ))  # fmt: skip
        tables[split_name] = table_from_records(records)
    return write_splits(folder, tables)


class Tables:
    """Rows in memory."""

    def __init__(self, **tables: pa.Table) -> None:
        self.tables = tables

    def table(self, split: str, columns: Any = None) -> pa.Table:
        return self.tables[split].select(list(columns))


def test_classes_come_from_the_training_split(capsys: pytest.CaptureFixture[str]) -> None:
    def rows(*labels: dict[str, float | str] | None) -> pa.Table:
        made = [BioSequence(id=str(i), sequence="ACGT", alphabet="dna", labels=x, organism="E. coli")
                for i, x in enumerate(labels)]  # fmt: skip
        return table_from_records(made)

    data = Tables(
        train=rows({"kind": "toxin", "n": 1.0}, None, {"kind": "enzyme"}, {"kind": "toxin"}),
        validation=rows({"kind": "odd"}, {"kind": "enzyme"}),
    )
    shape = ModelConfig(name="dit_image", width=32, heads=2, context=16,
                        image=dataclasses.replace(SQUARE, label="kind"))  # fmt: skip
    known = with_classes(shape, data)
    assert known.image is not None and known.image.classes == ("enzyme", "toxin")
    windows = Samples(ids=np.zeros(24, np.uint8), start=np.array([0, 6, 10, 12, 18]),
                      length=np.array([6, 4, 2, 6, 6]), sequences=4, cut=1, unknown=0.0)  # fmt: skip
    found = label_windows(windows, np.array([0, 6, 12, 18, 24]), data, "train", known)
    assert found.labels is not None and found.labels.tolist() == [1, 2, 2, 0, 1]
    assert found.rows(np.array([3, 0])).labels.tolist() == [0, 1]  # pyright: ignore
    assert "train: 1 of 4 rows have no class by 'kind'" in capsys.readouterr().err
    label_windows(windows, np.array([0, 6]), data, "validation", known)
    assert "validation: 1 of 2 rows" in capsys.readouterr().err
    by_name = dataclasses.replace(shape, image=dataclasses.replace(SQUARE, label="organism"))
    image = with_classes(by_name, data).image
    assert image is not None and image.classes == ("E. coli",)
    given = dataclasses.replace(shape, image=dataclasses.replace(SQUARE, label="kind", classes=("toxin",)))
    assert with_classes(given, data) == given
    for name, classes, message in (
        ("n", (), "label 'n' is a number"),
        ("colour", (), "'colour': no row has it"),
        ("kind", ("poison",), r"no row has a class of \('poison',\) .there are: enzyme, toxin"),
    ):
        image = dataclasses.replace(SQUARE, label=name, classes=classes)
        wrong = dataclasses.replace(shape, image=image)
        with pytest.raises(DataError, match=message):
            with_classes(wrong, data)


def test_trains_and_draws_a_class_by_the_usual_commands(
    tiny_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    data = corpus(tmp_path / "data")
    train_tokenizer(TokenizerConfig(kind="nuc16", data=data, out=tmp_path / "nuc16"))
    image = dataclasses.replace(SQUARE, label="kind", learned_variance=True)
    shape = ModelConfig(name="dit_image", layers=1, width=32, heads=2, context=16, image=image, init_std=0.1)
    config = tiny_config(
        model=shape, objective=ObjectiveConfig(name="image_diffusion"), max_steps=100, batch_size=16,
        context=16, eval_every=0, checkpoint_every=0, data=data, tokenizer=tmp_path / "nuc16",
    )  # fmt: skip
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=1e-2))
    planned = dry_run(config)
    result = train(config)
    model = load_model(config.paths().out)
    assert isinstance(model, DitImage) and model.image.classes == ("enzyme", "toxin")
    assert planned["parameters"]["total"] == sum(p.numel() for p in model.parameters())
    log = (config.paths().out / "training_log.jsonl").read_text()
    assert result["val_loss"] > 0 and all(f'"val_{name}_loss"' in log for name in ("error", "bound"))
    shares = []
    for label in ("enzyme", "toxin"):
        out = tmp_path / f"{label}.npy"
        options = {"num": 16, "steps": 12, "label": label, "guidance": 2.0, "fresh_noise": True}
        generate(GenerateConfig(run=config.paths().out, out=out, **options))
        cells = np.load(out)
        shares.append(np.isin(cells, (0, 1)).sum() / max(1, np.isin(cells, (0, 1, 2, 3)).sum()))
    assert shares[0] > 0.8 and shares[1] < 0.2
    for more, message in (
        ({"label": "toxic"}, "'toxic' is none of its 2 classes, did you mean 'toxin'"),
        ({"guidance": 2.0}, "guidance 2 does nothing without label"),
    ):
        with pytest.raises(ConfigError, match=message):
            generate(GenerateConfig(run=config.paths().out, out=tmp_path / "x.npy", **more))


def test_memory_of_a_dry_run_counts_patches(tmp_path: Path) -> None:
    """Within a third of what autograd keeps of a batch, whatever the letters of a sequence."""
    image = ImageConfig(picture="color_square", side=16, patch=2)
    shape = ModelConfig(name="dit_image", layers=3, width=64, heads=1, context=256, image=image)
    said = [
        dry_run(TrainConfig(model=dataclasses.replace(shape, context=context), vocab_size=16, batch_size=8,
                            objective=ObjectiveConfig(name="image_diffusion")))
        for context in (64, 256)
    ]  # fmt: skip
    assert said[0]["memory_bytes"] == said[1]["memory_bytes"]
    model, kept = build_model(shape, vocab_size=16), {}
    weights = {p.data_ptr() for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(8, 4, 16, 16), times=torch.rand(8))
    estimated = said[0]["memory_bytes"] - 16 * said[0]["parameters"]["total"]
    assert estimated == pytest.approx(sum(kept.values()), rel=0.34)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "dropout": (lambda: ImageConfig(label_dropout=0.1), "label_dropout 0.1 does nothing without label"),
    "weight": (
        lambda: ImageConfig(bound_weight=1.0),
        "bound_weight 1.0 does nothing without learned_variance",
    ),
    "classes": (lambda: ImageConfig(classes=("a",)), "classes are those of a label"),
    "share": (
        lambda: ImageConfig(label="a", label_dropout=2.0),
        "label_dropout must be from 0 to 1, got 2.0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(case: str) -> None:
    with pytest.raises(ConfigError, match=REFUSED[case][1]):
        REFUSED[case][0]()
