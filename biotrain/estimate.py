"""What a run will cost, before anything is built. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from biodata.alphabet import ALPHABETS
from biodata.dataset import open_dataset
from biodata.errors import ConfigError
from biodata.token_cache import split_tokens
from biodata.tokenizers import load_tokenizer
from biotrain.config import TrainConfig
from biotrain.diffusion.labels import with_classes
from biotrain.loader import Sampled, cut_windows
from biotrain.losses import build_loss
from biotrain.losses.config import ON_TREE
from biotrain.losses.tree import token_paths
from biotrain.models import count_parameters, flops_per_token
from biotrain.objectives import build_objective
from biotrain.objectives.config import BIDIRECTIONAL
from biotrain.packing import pack


def dry_run(config: TrainConfig) -> dict[str, Any]:
    """The numbers of a run.

    Args:
        config: `tokenizer` or `vocab_size` must be given; with `data` steps and tokens are exact, without
            it `tokens_per_step` assumes samples as long as the context, and `steps` is `max_steps`.

    Returns:
        `parameters` {total, active, embedding}; `flops_per_token`; `tokens_per_step`, padding not counted;
        `steps` (`None` when that depends on data not given); `memory_bytes`, an estimate: 16 per parameter
        (fp32 weight, gradient, two moments) and 4 x batch_size x context x (layers x what one keeps of a
        token, `Architecture.kept`, + 3 vocabulary) for what backward needs in fp32; of pictures patches count
        instead of the context, and the numbers told of one instead of the vocabulary.

    Raises:
        ConfigError: no vocabulary, or one that does not fit to the model, the objective or the loss.
        DataError: data or tokenizer cannot be read.
    """
    vocab_size, samples = _vocabulary(config), None
    if config.data is not None:
        config = replace(config, model=with_classes(config.model, open_dataset(config.data)))
    if config.init_from is not None and config.tokenizer is not None:
        from biotrain.start import check_start  # needs torch, as the run will

        check_start(config.model, config.init_from, tokens=load_tokenizer(config.tokenizer).tokens)
    if config.data is not None and config.tokenizer is not None:
        check_letters(config, open_dataset(config.data).manifest.get("alphabet", ""))
        samples = _train_samples(config, config.data, config.tokenizer)
    steps = config.max_steps
    tokens_per_step = config.rows_per_step * config.window
    if samples is not None:
        steps = steps_of(config, samples=len(samples))
        per_epoch = -(-len(samples) // config.rows_per_step)
        tokens_per_step = round(samples.tokens / per_epoch)
    parameters = count_parameters(config.model, vocab_size=vocab_size)
    model = config.model
    tokens, logits = config.window, vocab_size
    if model.image is not None:
        tokens, logits = model.image.patches, model.image.told
    saved = model.layers * model.architecture.kept(model) + 3 * logits
    activations = 4 * config.batch_size * tokens * saved
    return {
        "parameters": parameters,
        "flops_per_token": flops_per_token(model, vocab_size=vocab_size, length=config.window),
        "tokens_per_step": tokens_per_step,
        "steps": steps,
        "memory_bytes": 16 * parameters["total"] + activations,
    }


def check_letters(config: TrainConfig, alphabet: str) -> None:
    """Refuses sequences whose letters mean something else to the tokenizer: A, C, G and T are residues, too.

    Args:
        config: with data and tokenizer.
        alphabet: of the data; RNA is read as DNA.

    Raises:
        ConfigError: they differ.
    """
    assert config.tokenizer is not None
    tokenizer, has = load_tokenizer(config.tokenizer), "dna" if alphabet == "rna" else alphabet
    if tokenizer.alphabet in ALPHABETS and has in ALPHABETS and has != tokenizer.alphabet:
        raise ConfigError(
            f"{config.data} holds {alphabet}, but the tokenizer {config.tokenizer} ({tokenizer.kind}) reads "
            f"{tokenizer.alphabet}: make one of this data (seqloom tokenizer train)"
        )


def steps_of(config: TrainConfig, *, samples: int) -> int:
    """Optimizer steps: `max_steps`, else `epochs` passes, whose last step may be smaller.

    >>> steps_of(TrainConfig(epochs=2, batch_size=4, accumulate=2), samples=17)
    6
    """
    return config.max_steps or config.epochs * -(-samples // config.rows_per_step)


def _vocabulary(config: TrainConfig) -> int:
    if config.tokenizer is not None:
        tokenizer = load_tokenizer(config.tokenizer)
        _refuse_misfits(config, tokenizer.tokens)
        return tokenizer.vocab_size
    if config.vocab_size is None:
        raise ConfigError("how large is the vocabulary? give --tokenizer DIR, or --vocab-size N to estimate")
    return config.vocab_size


def _train_samples(config: TrainConfig, data: Path, tokenizer: Path) -> Sampled:
    loaded = load_tokenizer(tokenizer)
    tokens = split_tokens(open_dataset(data), "train", loaded, write=False)
    overlap = int(not BIDIRECTIONAL[config.objective.name])
    samples = cut_windows(
        tokens, kind=loaded.kind, context=config.cut, overlap=overlap, where=f"{data} (train)"
    )
    room = config.window - config.cut
    return pack(samples, context=config.window, room=room, seed=config.seed) if config.pack else samples


def _refuse_misfits(config: TrainConfig, tokens: Sequence[str]) -> None:
    """What the run would refuse of this vocabulary; where only torch can tell, if that is installed."""
    config.model.architecture.of_tokens(config.model, tokens)
    if config.loss.name in ON_TREE:
        token_paths(config.loss, tokens)
    if find_spec("torch") is None:
        return
    if config.loss.name not in (*ON_TREE, "xe"):
        build_loss(config.loss, tokens=tokens)
    if config.objective.name not in ("clm", "mlm"):
        build_objective(config.objective, vocab_size=len(tokens), tokens=tokens)
