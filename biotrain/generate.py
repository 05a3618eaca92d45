"""Writes new sequences of a causal or diffusion model as FASTA, and pictures as arrays.

Every sequence has random numbers of its own, drawn from (seed, its index), one per position. So a sequence
does not depend on the batch it was made in, up to float rounding, nor on how many are asked for.

Shapes: B sequences under way, T positions, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biodata.color_square import square_letters
from biodata.errors import ConfigError, DataError
from biodata.files import sha256_file
from biodata.io.fasta import write_fasta
from biodata.progress import progress, say
from biodata.tokenizers import load_tokenizer
from biodata.tokenizers.special import BOS, EOS, SPECIAL_TOKENS
from biotrain.conditions import Condition, condition_of
from biotrain.diffusion.image_model import DitImage
from biotrain.diffusion.notes import read_note
from biotrain.diffusion.paint import STEPS, UNGUIDED, check_pictures, pictures, write_pictures
from biotrain.diffusion.sampling import DiffusionSampler
from biotrain.export import OWN_FILE, WEIGHTS_FILE, load_model, model_folder
from biotrain.generate_config import GenerateConfig
from biotrain.layers.cache import Cache, States
from biotrain.layers.transformer import Transformer

_NOT_FASTA = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".npy", ".npz", ".gb", ".gbk")
NEVER = [i for i in range(len(SPECIAL_TOKENS)) if i != EOS]


def generate(config: GenerateConfig) -> dict[str, Any]:
    """Generates sequences and writes them atomically.

    A record's name is `generated-<number>`; its description says which model, seed and settings made it and
    whether it ended by `<eos>` or at the length limit. Each has at least one token; `<pad>`, `<bos>`,
    `<unk>`, `<mask>` and `<sep>` are never sampled.

    Returns:
        `path`, `n` sequences, `tokens_per_s` generated.

    Raises:
        ConfigError: a model that does not generate, or a prompt, length or option that does not fit.
        DataError: the model or tokenizer cannot be read.
    """
    folder = model_folder(config.run)
    model = load_model(folder)
    if isinstance(model, DitImage):
        return _paint(config, folder, model)
    note = read_note(folder / OWN_FILE)
    _check(config, model, note)
    _check_out(config.out)
    tokenizer = load_tokenizer(folder)
    if tokenizer.vocab_size != model.vocab_size:
        sizes = f"the tokenizer has {tokenizer.vocab_size} tokens, the model {model.vocab_size}"
        raise DataError(
            sizes, where=folder, hint="export the model again with the tokenizer it was trained with"
        )
    condition = condition_of(config, tokenizer, folder / OWN_FILE)
    prompt = condition.ids
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    limit = length_limit(config, model, len(prompt))
    if model.causal:
        sampler = Sampler(model.to(device), config, condition, limit)
    else:
        sampler = DiffusionSampler(
            model.to(device), config, prompt=prompt, limit=limit, lengths=note["lengths"], choose=choose
        )
    if config.temperature == 0 and config.num > 1 and model.causal:
        say(f"temperature 0 takes the likeliest token: all {config.num:,} sequences will be the same")
    rows: list[list[int]] = []
    begin = time.perf_counter()
    with progress("generating", config.num) as advance, torch.inference_mode():
        for batch in sampler.batches():
            rows.extend(batch)
            advance(len(batch))
    seconds = time.perf_counter() - begin
    _write(config, folder, rows, texts=[condition.written(row, tokenizer) for row in rows])
    made = sum(len(row) - 1 - len(prompt) for row in rows)
    return {"path": str(config.out), "n": len(rows), "tokens_per_s": round(made / seconds, 1)}


def choose(logits: Tensor, uniform: Tensor, *, temperature: float, top_k: int, top_p: float) -> Tensor:
    """One token per row by inversion: the first whose cumulative probability exceeds the row's number.

    Args:
        logits: [B, V], `-inf` where a token is not allowed.
        uniform: [B], in [0, 1).
        temperature: 0 takes the likeliest token (the first of equals).
        top_k: keeps the k likeliest; 0 keeps all.
        top_p: of those left, keeps the fewest likeliest that hold this share (Holtzman et al.,
            arXiv:1904.09751); always at least one.

    >>> logits = torch.tensor([[0.0, 1.0, 2.0]])
    >>> [choose(logits, torch.tensor([u]), temperature=1, top_k=2, top_p=1.0).item() for u in (0.1, 0.9)]
    [1, 2]
    """
    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.double() / temperature
    if 0 < top_k < scaled.shape[-1]:
        scaled = scaled.masked_fill(scaled < scaled.topk(top_k).values[:, -1:], -torch.inf)
    p = scaled.softmax(-1)
    if top_p < 1:
        ordered, order = torch.sort(p, dim=-1, descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        p = p.masked_fill(beyond.scatter(-1, order, beyond), 0.0)
    sums = p.cumsum(-1)
    chosen = (sums <= uniform.double()[:, None] * sums[:, -1:]).sum(-1)
    return torch.minimum(chosen, p.shape[-1] - 1 - (p.flip(-1) > 0).int().argmax(-1))


class Sampler:
    """Makes token rows; `limit` is the most tokens of a row, `<bos>` not counted."""

    def __init__(self, model: Transformer, config: GenerateConfig, condition: Condition, limit: int) -> None:
        self.model, self.config, self.limit = model, config, limit
        self.prompt, self.never = condition.ids, [*NEVER, *condition.banned]
        self.not_first = list(condition.not_first)

    def batches(self) -> Iterator[list[list[int]]]:
        """Rows of ids from `<bos>` on, `<eos>` included where it came, in the order of their index."""
        for start in range(0, self.config.num, self.config.batch_size):
            yield self.rows(range(start, min(start + self.config.batch_size, self.config.num)))

    def rows(self, indices: range) -> list[list[int]]:
        model, head = self.model, [BOS, *self.prompt]
        device = model.tokens.weight.device
        noise = torch.from_numpy(np.stack([self._noise(index) for index in indices])).to(device)
        cache = model.new_cache(len(indices), len(self.prompt) + self.limit)
        rows = [list(head) for _ in indices]
        alive = torch.arange(len(indices), device=device)
        inputs = torch.tensor([head] * len(indices), device=device)
        for step in range(self.limit - len(self.prompt)):
            tokens = self._next(inputs, cache, noise[alive, step], is_first=step == 0)
            for row, token in zip(alive.tolist(), tokens.tolist()):
                if rows[row][-1] != EOS:
                    rows[row].append(token)
            going = torch.tensor([rows[row][-1] != EOS for row in alive.tolist()], device=device)
            if not going.any():
                break
            if int(going.sum()) * 2 <= len(alive):  # moving the cache costs more than a few idle rows
                alive, tokens = alive[going], tokens[going]
                cache.keep(going)
            inputs = tokens[:, None]
        return rows

    def _next(self, inputs: Tensor, cache: Cache | States, uniform: Tensor, *, is_first: bool) -> Tensor:
        logits = self.model.logits(self.model.hidden(inputs, cache=cache)[:, -1])
        logits[:, self.never] = -torch.inf
        if is_first:
            logits[:, self.not_first] = -torch.inf
        c = self.config
        return choose(logits, uniform, temperature=c.temperature, top_k=c.top_k, top_p=c.top_p)

    def _noise(self, index: int) -> np.ndarray:
        return np.random.default_rng([self.config.seed, index]).random(self.limit)


def _check(config: GenerateConfig, model: Transformer, note: Mapping[str, Any]) -> None:
    """Refuses models that do not generate, and options of other models."""
    if not model.causal and "lengths" not in note:
        raise ConfigError(
            f"{config.run} is a masked model; generating needs a causal one (objective 'clm') or one "
            "trained by objective 'masked_diffusion'"
        )
    if not model.causal and (config.suffix or config.text):
        raise ConfigError(f"generate suffix and text are for causal models, {config.run} sees both sides")
    if model.causal and config.steps:
        raise ConfigError(f"generate steps is for diffusion models, {config.run} is causal: leave it out")
    for name, usual in (("fresh_noise", False), ("label", ""), ("guidance", UNGUIDED)):
        if getattr(config, name) != usual:
            raise ConfigError(f"generate {name} is for pictures: leave it out")


def _check_out(out: Path) -> None:
    """Says before anything is drawn that FASTA does not belong there."""
    if out.suffix in _NOT_FASTA or out.name == "-":
        raise ConfigError(
            f"generate out is {str(out)!r}, but sequences are written as FASTA: give NAME.fasta"
        )
    if out.is_dir():
        raise ConfigError(f"generate out {out} is a folder: name a file in it")


def _paint(config: GenerateConfig, folder: Path, model: DitImage) -> dict[str, Any]:
    """Pictures as an array and a PNG, or squares read back as FASTA."""
    check_pictures(model, config)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    batches, begin = [], time.perf_counter()
    with progress("generating", config.num) as advance, torch.inference_mode():
        for batch in pictures(model, config):
            batches.append(batch)
            advance(len(batch))
    made, seconds = np.concatenate(batches), time.perf_counter() - begin
    if config.out.suffix == ".npy":
        sheet = write_pictures(config.out, made)
        found = {"path": str(config.out), "n": len(made), "sheet": str(sheet)}
        return {**found, "tokens_per_s": round(model.image.patches * len(made) / seconds, 1)}
    texts = square_letters(made)
    if empty := sum(not text for text in texts):
        say(f"{empty} of {len(texts)} squares are white and give no sequence")
    settings = f"steps={config.steps or STEPS} fresh_noise={str(config.fresh_noise).lower()}"
    if config.label:
        settings += f" label={config.label} guidance={config.guidance:g}"
    kept = [(number, text) for number, text in enumerate(texts, 1) if text]
    write_fasta(
        config.out,
        [f"generated-{number:06d}" for number, _ in kept],
        [text for _, text in kept],
        descriptions=[f"{_made(config, folder)} {settings}"] * len(kept),
    )
    letters = sum(len(text) for text in texts)
    return {"path": str(config.out), "n": len(kept), "tokens_per_s": round(letters / seconds, 1)}


def length_limit(config: GenerateConfig, model: Transformer, prompt: int) -> int:
    """The most tokens of a row, `<bos>` not counted; `<eos>` counts where it has to be predicted.

    Args:
        config: its `max_length`.
        model: whose context is the limit.
        prompt: tokens that are given.

    Raises:
        ConfigError: more than the model can read, or no room after the prompt.
    """
    room = model.config.context - (1 if model.causal else 2)
    limit = min(config.max_length, room) if config.max_length else room
    if config.max_length > room:
        raise ConfigError(f"generate max_length {config.max_length} is more than the model can read, {room}")
    if prompt >= limit:
        raise ConfigError(f"generate prompt has {prompt} tokens, which leaves none of the {limit} allowed")
    return limit


def _write(config: GenerateConfig, folder: Path, rows: list[list[int]], *, texts: list[str]) -> None:
    made = _made(config, folder)
    settings = f"temperature={config.temperature:g} top_k={config.top_k} top_p={config.top_p:g}"
    if config.steps:
        settings += f" steps={config.steps}"
    write_fasta(
        config.out,
        [f"generated-{number:06d}" for number in range(1, len(rows) + 1)],
        texts,
        descriptions=[f"{made} {settings} end={'eos' if row[-1] == EOS else 'length'}" for row in rows],
    )


def _made(config: GenerateConfig, folder: Path) -> str:
    """Which model and seed made it."""
    resolved = folder.resolve()
    name = resolved.parent.name if resolved.name == "model" else resolved.name
    return f"model={name} sha256={sha256_file(folder / WEIGHTS_FILE)[:12]} seed={config.seed}"
