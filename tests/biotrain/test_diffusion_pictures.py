"""Gaussian diffusion against what is known of Gaussians; pictures of sequences there and back."""

from __future__ import annotations

import math
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biodata.chaos_game import fcgr, kmer_rows
from biodata.color_square import color_square, spiral, square_letters
from biodata.errors import ConfigError
from biodata.io.fasta import read_fasta
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.letters import aa, nuc16
from biotrain.config import TrainConfig
from biotrain.diffusion.gaussian import LAST, Kind, alpha_sigma, noised, sample, split, wanted
from biotrain.diffusion.image_model import DitImage, from_patches, place_waves, to_patches
from biotrain.diffusion.pictures import draw, read_fcgr, read_square
from biotrain.diffusion.png import png_bytes
from biotrain.diffusion.times import stratified
from biotrain.generate import GenerateConfig, generate
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model
from biotrain.models.diffusion_config import ImageConfig
from biotrain.objectives import Batch, ObjectiveConfig
from biotrain.objectives.image_diffusion import ImageDiffusion, letter_codes

TIMES = torch.linspace(0, 1, 101, dtype=torch.float64)
SQUARE = ImageConfig(picture="color_square", side=4, patch=2)


def picture_model(image: ImageConfig, **changes: object) -> DitImage:
    shape = {"layers": 2, "width": 32, "heads": 2, "context": image.side**2, **changes}
    model = build_model(ModelConfig(name="dit_image", image=image, **shape), vocab_size=16)
    assert isinstance(model, DitImage)
    return model


def test_cosine_schedule() -> None:
    alpha, sigma = alpha_sigma(TIMES)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    assert bool((alpha.diff() < 0).all()) and bool((sigma.diff() > 0).all())
    f = torch.cos((TIMES + 0.008) / 1.008 * math.pi / 2) ** 2  # eq. 17 of arXiv:2102.09672, of alpha^2
    torch.testing.assert_close(alpha**2, f / f[0])


@pytest.mark.parametrize("kind", ["v", "eps"])
def test_what_the_model_tells_gives_picture_and_noise_back(kind: Kind) -> None:
    x, e = torch.randn(2, 99, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = noised(x, e, TIMES[1:-1])
    found = split(z, wanted(x, e, TIMES[1:-1], kind), TIMES[1:-1], kind)
    torch.testing.assert_close(found[0], x)
    torch.testing.assert_close(found[1], e)


MEAN, SPREAD = 1.5, 0.4


def exact(kind: Kind, spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The best model of numbers that are normal with mean `MEAN`: x is E[x | z]."""

    def model(z: Tensor, times: Tensor) -> Tensor:
        alpha, sigma = (value[:, None] for value in alpha_sigma(times))
        x = MEAN + alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * (z - alpha * MEAN)
        e = (z - alpha * x) / sigma
        return e if kind == "eps" else alpha * e - sigma * x

    return model


@pytest.mark.parametrize("kind", ["v", "eps"])
def test_ddim_is_exact_on_a_gaussian(kind: Kind) -> None:
    """The flow keeps (z - alpha m) / sqrt(alpha^2 s^2 + sigma^2); a point is hit in any number of steps."""
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    alpha, sigma = (float(value) for value in alpha_sigma(torch.tensor(LAST, dtype=torch.float64)))
    right = MEAN + SPREAD * (start - alpha * MEAN) / math.sqrt(alpha**2 * SPREAD**2 + sigma**2)
    wrong = [
        float((sample(exact(kind, SPREAD), start, steps=steps, kind=kind) - right).abs().max())
        for steps in (100, 200, 400)
    ]
    assert wrong[2] < 4e-3
    assert wrong[0] / wrong[1] == pytest.approx(2, abs=0.1) and wrong[1] / wrong[2] == pytest.approx(
        2, abs=0.1
    )
    for steps in (1, 7):
        point = sample(exact(kind, 0.0), start, steps=steps, kind=kind)
        torch.testing.assert_close(point, torch.full_like(point, MEAN), atol=1e-9, rtol=0)


def test_ddpm_has_the_moments_of_a_gaussian() -> None:
    generator = torch.Generator().manual_seed(1)

    def noise(step: int) -> Tensor:
        return torch.randn(20_000, 1, dtype=torch.float64, generator=generator)

    made = sample(exact("v", SPREAD), noise(-1), steps=200, kind="v", noise=noise)
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.015)
    assert float(made.std()) == pytest.approx(SPREAD, abs=0.01)


def codes_of(*texts: str) -> np.ndarray:
    width = max(map(len, texts))
    return np.array([["ACGT".find(c) % 5 for c in text.ljust(width, "N")] for text in texts], dtype=np.uint8)


def test_fcgr_counts_each_row_s_kmers() -> None:
    texts = ["ACGTTGCANACGT", "GGGGG", "AC"]
    counts = kmer_rows(codes_of(*texts), 3)
    for row, text in zip(counts, texts):
        naive = Counter(text[i : i + 3] for i in range(len(text) - 2) if "N" not in text[i : i + 3])
        assert row.tolist() == [naive["".join(letters)] for letters in product("ACGT", repeat=3)]
    pictures = draw(codes_of(*texts), ImageConfig(side=8))
    shares = fcgr(counts) / np.maximum(counts.sum(1), 1)[:, None, None]
    np.testing.assert_allclose(read_fcgr(pictures), shares, atol=1e-6)
    even = draw(codes_of("ACGT"), ImageConfig(side=2))
    np.testing.assert_allclose(even, 0, atol=1e-7)


def spiral_by_walking(side: int) -> list[int]:
    row, column, down, right, seen = 0, 0, 0, 1, []
    for _ in range(side * side):
        seen.append(row * side + column)
        ahead = (row + down) * side + column + right
        if not (0 <= row + down < side and 0 <= column + right < side) or ahead in seen:
            down, right = right, -down
        row, column = row + down, column + right
    return seen


def test_color_square_is_read_back() -> None:
    assert [spiral(side).tolist() for side in range(1, 7)] == [
        spiral_by_walking(side) for side in range(1, 7)
    ]
    texts = ["ACGTTGCA", "G" * 16, "ANT"]
    cells = color_square(codes_of(*texts), 4)
    assert square_letters(cells) == texts
    image = ImageConfig(picture="color_square", side=4)
    assert square_letters(read_square(draw(codes_of(*texts), image))) == texts
    with pytest.raises(ConfigError, match="17 letters do not fit"):
        color_square(np.zeros((1, 17), np.uint8), 4)


def test_objective_sees_letters_only() -> None:
    """Padding, `<bos>` and `<eos>` change nothing; equal seeds give equal batches; tokens must be letters."""
    tokens = nuc16().tokens
    objective = ImageDiffusion(letter_codes(tokens), SQUARE)
    ids = torch.tensor([nuc16().encode("ACGTN"), [*nuc16().encode("ACG"), 0, 0]])
    made = [objective.prepare(ids, ids > 0, torch.Generator().manual_seed(1)).by_row for _ in range(2)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in ("picture", "noise", "time"))
    assert square_letters(read_square(made[0]["picture"].numpy())) == ["ACGT", "ACG"]
    wide = torch.nn.functional.pad(ids, (0, 3), value=9)  # what lies under the padding has no meaning
    mask = torch.nn.functional.pad(ids > 0, (0, 3))
    again = objective.prepare(wide, mask, torch.Generator().manual_seed(1)).by_row
    assert torch.equal(again["picture"], made[0]["picture"])
    with pytest.raises(ConfigError, match="needs a tokenizer of single nucleotides"):
        letter_codes(aa().tokens)


def test_loss_is_the_mean_squared_error_of_what_is_told() -> None:
    objective = ImageDiffusion(letter_codes(nuc16().tokens), SQUARE)
    ids = torch.tensor([nuc16().encode("ACGT"), nuc16().encode("TTTT")])
    made = objective.prepare(ids, ids > 0, torch.Generator().manual_seed(1))
    row = made.by_row
    alpha, sigma = (value[:, None, None, None] for value in alpha_sigma(row["time"]))
    velocity = alpha * row["noise"] - sigma * row["picture"]
    batch = Batch(ids, None, ids < 0, ids[:0, 0], by_row=row)
    told = objective.losses(lambda z, times: torch.zeros_like(z), nn.Identity(), batch)
    assert float(told.losses) == pytest.approx(2 * float(velocity.square().mean()), rel=1e-5)
    assert told.xe is None


def test_model_of_pictures() -> None:
    image = ImageConfig(picture="color_square", side=8, patch=2)
    model = picture_model(image)
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_patches(to_patches(x, image), image), x)
    assert torch.equal(to_patches(x, image)[0, 5], x[0, :, 2:4, 2:4].flatten())
    assert torch.equal(model(x, times=torch.tensor([0.1, 0.5, 0.9])), torch.zeros_like(x))
    waves = place_waves(4, 32)
    torch.testing.assert_close((waves**2).sum(1), torch.full((16,), 16.0))
    assert len(torch.unique(waves.round(decimals=4), dim=0)) == 16
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    times = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(model(x[1:2], times=times[1:2])[0], model(x, times=times)[1])
    assert not torch.allclose(model(x, times=times), model(x, times=times.flip(0)))
    for precision in (torch.float32, torch.bfloat16):
        model.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            model(x, times=times).float().square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_eight_pictures_are_learnt_and_sampled_back() -> None:
    image = ImageConfig(picture="color_square", side=4, patch=2)
    model = picture_model(image, width=64, init_std=0.1)
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("ACGT"), 16)) for _ in range(8)]
    pictures = torch.from_numpy(draw(codes_of(*texts), image)).repeat(16, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1, (step + 1) / 20) * (1 - step / 300)
        times = stratified(len(pictures), generator).float()
        noise = torch.randn(pictures.shape, generator=generator)
        told = model(noised(pictures, noise, times), times=times)
        loss = (told - wanted(pictures, noise, times, "v")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    start = torch.randn(32, 4, 4, 4, generator=generator)
    with torch.inference_mode():
        made = sample(lambda z, t: model(z, times=t), start, steps=30, kind="v")
    found = Counter(square_letters(read_square(made.numpy())))
    assert sum(found[text] for text in texts) >= 22 and sum(text in found for text in texts) >= 7


def test_png_holds_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = png_bytes(pixels)
    width, height, depth, color = struct.unpack(">IIBB", data[16:26])
    assert (width, height, depth, color) == (7, 5, 8, 2)
    (size,) = struct.unpack(">I", data[33:37])
    lines = np.frombuffer(zlib.decompress(data[41 : 41 + size]), np.uint8).reshape(5, 22)
    assert not lines[:, 0].any() and np.array_equal(lines[:, 1:].reshape(5, 7, 3), pixels)
    assert zlib.crc32(data[37 : 41 + size]) == struct.unpack(">I", data[41 + size : 45 + size])[0]


@pytest.mark.parametrize("picture", ["fcgr", "color_square"])
def test_trains_and_draws_by_the_usual_commands(
    tiny_config: Callable[..., TrainConfig], tiny_data: Path, tmp_path: Path, picture: str
) -> None:
    train_tokenizer(TokenizerConfig(kind="nuc16", data=tiny_data, out=tmp_path / "nuc16"))
    image = ImageConfig(picture=picture, side=8, patch=4)  # pyright: ignore[reportArgumentType]
    shape = ModelConfig(name="dit_image", layers=1, width=16, heads=2, context=64, image=image)
    config = tiny_config(
        model=shape,
        objective=ObjectiveConfig(name="image_diffusion"),
        max_steps=3,
        tokenizer=tmp_path / "nuc16",
    )
    result = train(config)
    assert result["val_loss"] == result["val_objective"] > 0 and "val_perplexity" not in result
    assert config.out is not None
    arrays = []
    for batch_size in (3, 5):
        out = tmp_path / f"{batch_size}.npy"
        options = {"num": 5, "steps": 4, "fresh_noise": True, "batch_size": batch_size}
        said = generate(GenerateConfig(run=config.out, out=out, **options))
        arrays.append(np.load(out))
        assert said["n"] == 5 and Path(said["sheet"]).read_bytes().startswith(b"\x89PNG")
    np.testing.assert_allclose(arrays[0], arrays[1], atol=1e-5)
    assert arrays[0].shape == (5, 8, 8)
    fasta = GenerateConfig(run=config.out, out=tmp_path / "a.fasta", num=5, steps=4)
    if picture == "fcgr":
        np.testing.assert_allclose(arrays[0].sum((1, 2)), 1, rtol=1e-5)
        with pytest.raises(ConfigError, match=r"k-mer frequencies are written as \.npy"):
            generate(fasta)
    else:
        made = generate(fasta)
        rows = [row for batch in read_fasta(tmp_path / "a.fasta") for row in batch.to_pylist()]
        assert len(rows) == made["n"] and all(set(row["sequence"]) <= set("ACGTN") for row in rows)
    with pytest.raises(ConfigError, match="generate top_k is for sequences"):
        generate(GenerateConfig(run=config.out, out=tmp_path / "b.npy", top_k=3))


REFUSED = {
    "objective": (
        lambda: TrainConfig(
            model=ModelConfig(name="bert"), objective=ObjectiveConfig(name="image_diffusion")
        ),
        "objective 'image_diffusion' is not for model 'bert': take model 'dit_image'",
    ),
    "packed": (
        lambda: TrainConfig(
            model=ModelConfig(name="dit_image"), objective=ObjectiveConfig(name="image_diffusion"), pack=True
        ),
        "model 'dit_image' cannot tell packed sequences apart",
    ),
    "letters": (
        lambda: ModelConfig(name="dit_image", context=17, image=SQUARE),
        "context 17 is more than the 16 cells of a color_square of side 4",
    ),
    "width": (
        lambda: ModelConfig(name="dit_image", width=30, heads=1),
        "a width that is a multiple of 4, got 30",
    ),
    "side": (lambda: ImageConfig(picture="color_square", side=9), "side 9 is not a multiple of patch 2"),
    "tells": (lambda: ImageConfig(tells="x"), "model tells is 'x', allowed: v, eps"),  # pyright: ignore
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(case: str) -> None:
    act, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)
