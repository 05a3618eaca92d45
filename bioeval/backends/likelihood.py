"""How natural a model finds a sequence, in nats: a `Scorer` of every model with an output layer.

    log-likelihood         causal models: sum over the tokens of log p(token | those before it), one pass.
                           The first token follows the start token: the tokenizer's own, or else, as in
                           lm-evaluation-harness, `bos_token` or `eos_token`. Without any the first token is
                           not scored. The end token is scored where the tokenizer writes one (`end`).
    pseudo-log-likelihood  masked models: sum of log p(token | all others), each masked once by itself, a pass
                           a token (Salazar et al. 2020, arXiv:1910.14659, eq. 2). Not a likelihood: it sums
                           conditionals that belong to no one distribution.
    elbo                   masked diffusion: a lower bound of the log-likelihood at given length, the mean of
                           `samples` passes that hide k = ceil(u n) of n tokens, weighted n / k (MDLM,
                           arXiv:2406.07524, eq. 10 with the count fixed); u is spread evenly. An estimate:
                           its standard error is stated (as of independent draws, so rather too large).
                           What is hidden depends on `seed` and the sequence alone.
    replaced-token         discriminators: sum of log P(token was not replaced), logsigmoid(-logit), one pass.
                           Neither a likelihood nor one's estimate.

A sequence longer than the context is scored in windows, each token once. Causal models and the bound see the
nearest tokens before (at least the window less `stride`), the others the nearest on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from biodata.errors import ConfigError
from biodata.files import fingerprint
from biodata.tokenizers.special import SPECIAL_TOKENS
from bioeval.backends.attribute import open_attribute_scorer
from bioeval.backends.checkpoint import Checkpoint
from bioeval.backends.folder import content_key, locate, read_config
from bioeval.backends.heads import MASKED, Head, head_of
from bioeval.backends.names import backend_of
from bioeval.backends.passes import Pass, Read, Runner
from bioeval.backends.plans import (
    Layout,
    Plan,
    bound_passes,
    causal_passes,
    masked_passes,
    ordinary_passes,
    seen_passes,
)
from bioeval.backends.settings import ScoreSettings
from bioeval.backends.spans import stride_of
from bioeval.backends.windows import Frame
from bioeval.protocols import Scorer, SequenceScores

SCORE_VERSION = 1
"""Of everything between tokens and scores; part of the key."""

_PLANS: dict[str, Plan] = {
    "log-likelihood": causal_passes,
    "pseudo-log-likelihood": masked_passes,
    "elbo": bound_passes,
    "replaced-token": seen_passes,
}


def open_likelihood(model: str, settings: ScoreSettings) -> Scorer:
    """See `bioeval.backends.open_scorer`."""
    from bioeval.baselines import BASELINES

    if model in BASELINES:
        raise ConfigError(f"baseline {model!r} gives embeddings and no score: give a model")
    kind = backend_of(model)
    if kind == "attribute":
        return open_attribute_scorer(model)
    if kind == "embeddings":
        raise ConfigError(f"{model} holds embeddings, which give no score: give a model")
    folder, seed, own_code = locate(model, settings)
    head = head_of(folder, read_config(folder))
    settings = _resolved(model, settings, head)
    checkpoint = Checkpoint(name=model, folder=folder, settings=settings, seed=seed, own_code=own_code)
    _refuse_unused(checkpoint, settings)
    key = fingerprint([SCORE_VERSION, head, content_key(folder, settings, seed=seed)])
    return LikelihoodScorer(key, checkpoint, head, settings)


class LikelihoodScorer:
    """A scorer of a model in the Hugging Face layout. Nothing is loaded before the first sequence.

    Args:
        key: content hash.
        checkpoint: the model.
        head: its output layer.
        settings: with `kind` resolved.
    """

    def __init__(self, key: str, checkpoint: Checkpoint, head: Head, settings: ScoreSettings) -> None:
        self.name, self.key, self.kind = checkpoint.name, key, settings.kind
        self.checkpoint, self.head, self.settings = checkpoint, head, settings
        self._layout: Layout | None = None
        self._special: list[int] = []

    @property
    def parameters(self) -> int | None:
        """Numbers in the model's weights; `None` where its files do not say."""
        return self.checkpoint.parameters

    def score(self, sequences: Sequence[str]) -> SequenceScores:
        """See the module.

        Raises:
            DataError: a sequence without a single token.
        """
        if not sequences:
            return SequenceScores(total=np.zeros(0), n_tokens=np.zeros(0, np.int64), error=np.zeros(0))
        contents = self.checkpoint.tokens(sequences)
        self.checkpoint.warn_unknown(contents)
        plan, layout = _PLANS[self.kind], self.layout(sequences[0])
        if self.head.hides_special and self.kind == "pseudo-log-likelihood":
            plan = ordinary_passes
        passes = [one for owner, content in enumerate(contents) for one in plan(owner, content, layout)]
        sums = np.zeros(len(passes))
        for number, values in self._run(passes, self._told):
            sums[number] = values.sum() * passes[number].weight
        owners = np.array([one.owner for one in passes], dtype=np.int64)
        total, error = np.zeros(len(contents)), np.zeros(len(contents))
        if self.kind == "elbo":
            draws = sums.reshape(-1, layout.samples)  # those of one window follow each other
            np.add.at(total, owners[:: layout.samples], draws.mean(axis=1))
            np.add.at(error, owners[:: layout.samples], draws.var(axis=1, ddof=1) / layout.samples)
            counts = [sum(token not in layout.special for token in content) for content in contents]
            return SequenceScores(total=total, n_tokens=np.array(counts, np.int64), error=np.sqrt(error))
        np.add.at(total, owners, sums)
        n_tokens = np.zeros(len(contents), dtype=np.int64)
        np.add.at(n_tokens, owners, [len(one.places) for one in passes])
        return SequenceScores(total=total, n_tokens=n_tokens, error=error)

    def tokens(self, sequences: Sequence[str]) -> list[list[int]]:
        """Token ids of each sequence, special tokens left out."""
        return self.checkpoint.tokens(sequences)

    def counts(self, sequences: Sequence[str]) -> dict[str, int]:
        """Tokens and unknown tokens. Nothing is scored."""
        contents = self.checkpoint.tokens(sequences)
        return {"tokens": sum(map(len, contents)), "unknown": self.checkpoint.count_unknown(contents)}

    def log_probabilities(self, sequence: str, places: Sequence[int], *, hidden: bool) -> np.ndarray:
        """float64 `[places, vocabulary]`, nats; see `HasMarginals`.

        Args:
            sequence: what surrounds the places.
            places: numbers of its tokens, from 0.
            hidden: whether each place is masked, by itself, or seen.

        Raises:
            ConfigError: the model is causal, or a discriminator.
        """
        if self.head.auto != MASKED.auto:
            raise ConfigError(f"marginals need a masked model, {self.name} gives {self.kind}")
        content, wanted = self.checkpoint.tokens([sequence])[0], sorted(set(places))
        layout = self.layout(sequence)
        if hidden:
            passes = masked_passes(0, content, layout, only=set(wanted))
        else:
            passes = seen_passes(0, content, layout)
        rows = [found for _, found in sorted(self._run(passes, self._log_softmax), key=lambda pair: pair[0])]
        table = np.concatenate(rows)
        return table[np.searchsorted(wanted, places) if hidden else np.asarray(places, dtype=np.int64)]

    def work(self, sequence: str) -> float:
        """Letters that are read to score a sequence."""
        reads = {"pseudo-log-likelihood": len(sequence), "elbo": self.settings.samples}
        return float(len(sequence) * reads.get(self.kind, 1))

    def describe(self, sequence: str) -> dict[str, Any]:
        """What the scores are, for the file that holds them; `sequence` is any that was scored."""
        layout, name = self.layout(sequence), self.checkpoint.tokenizer.convert_ids_to_tokens
        about: dict[str, Any] = {
            "kind": self.kind, "unit": "nats", "model": self.name, "key": self.key,
            "dtype": self.settings.dtype, "window": layout.limit,
            "before": name(list(layout.frame.prefix)), "after": name(list(layout.frame.suffix)),
        }  # fmt: skip
        if layout.limit is not None:
            about["stride"] = stride_of(layout.limit, layout.stride)
        if self.kind == "elbo":
            about |= {"samples": layout.samples, "seed": layout.seed}
        return about

    def layout(self, sequence: str) -> Layout:
        """Frame and windows, the same for every sequence that the tokenizer has tokens for."""
        if self._layout is None:
            self._layout = self._new_layout(self.checkpoint.frame(sequence))
        return self._layout

    def _new_layout(self, frame: Frame) -> Layout:
        checkpoint, settings, tokenizer = self.checkpoint, self.settings, self.checkpoint.tokenizer
        if self.kind == "log-likelihood":
            start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
            prefix = frame.prefix or (() if start is None else (start,))
            if not settings.end and not frame.suffix:
                raise ConfigError(
                    f"end = False does nothing for {self.name}: its tokenizer writes no end token"
                )
            frame = Frame(prefix, frame.suffix if settings.end else ())
        own = (checkpoint.folder / "biotrain.json").is_file()
        special = frozenset(range(len(SPECIAL_TOKENS))) if own else frozenset(tokenizer.all_special_ids)
        self._special = sorted(special)
        return Layout(
            frame=frame, limit=checkpoint.limit, stride=settings.stride, special=special,
            samples=settings.samples, seed=settings.seed,
        )  # fmt: skip

    @cached_property
    def _model(self) -> Any:
        return self.checkpoint.load(self.head.auto)

    def _run(self, passes: Sequence[Pass], read: Read) -> Iterator[tuple[int, np.ndarray]]:
        mask_id = self.checkpoint.tokenizer.mask_token_id
        if mask_id is None and any(len(one.hidden) for one in passes):
            raise ConfigError(f"the tokenizer of {self.name} has no mask token, which {self.kind} needs")
        size = self.settings.batch_size
        runner = Runner(checkpoint=self.checkpoint, model=self._model, mask_id=mask_id or 0, size=size)
        return runner.run(passes, read)

    def _told(self, outputs: Any, targets: Any) -> Any:
        from torch.nn.functional import logsigmoid

        if self.kind == "replaced-token":
            return logsigmoid(-outputs)
        return self._log_softmax(outputs, targets).gather(-1, targets[:, None])[:, 0]

    def _log_softmax(self, outputs: Any, targets: Any) -> Any:
        if self.head.hides_special:
            outputs[:, self._special] = -float("inf")
        return outputs.log_softmax(-1)


def _resolved(model: str, settings: ScoreSettings, head: Head) -> ScoreSettings:
    kind = head.kinds[0] if settings.kind == "auto" else settings.kind
    if kind not in head.kinds:
        raise ConfigError(f"kind = {kind!r}, {model} gives {' or '.join(head.kinds)}")
    return replace(settings, kind=kind)


def _refuse_unused(checkpoint: Checkpoint, settings: ScoreSettings) -> None:
    kind, usual = settings.kind, ScoreSettings()
    unused = {
        "end": kind != "log-likelihood",
        "samples": kind != "elbo",
        "stride": checkpoint.limit is None,
    }
    for name, is_unused in unused.items():
        value = getattr(settings, name)
        if is_unused and value != getattr(usual, name):
            why = "it reads any length at once" if name == "stride" else f"it gives {kind}"
            raise ConfigError(f"{name} = {value} does nothing for {checkpoint.name}: {why}")
