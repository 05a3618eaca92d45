"""`seqloom embed`: what a frozen model makes of sequences, as a file.

Vectors are kept by content as they are made (`bioeval.cache`), so a stopped run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

import biodata
from biodata.errors import ConfigError
from biodata.folders import locked_file
from bioeval.backends import EmbedSettings, backend_of, open_model
from bioeval.backends.settings import Running
from bioeval.baselines import BASELINES
from bioeval.cache import EmbeddingCache
from bioeval.protocols import Embedder, HasTokens
from bioeval.records.baseline import WITH_TOKENS, Asked, Features
from bioeval.records.embedding_files import SUFFIXES, Form, embedding_file
from bioeval.records.inputs import InputConfig, Records
from bioeval.records.row_files import check_suffix

PER_RESIDUE = "per-residue"
Rows = Iterator[tuple[list[str], list[str], Sequence[np.ndarray]]]
"""Ids, sequences and their rows, piece by piece."""
_LETTERS_AT_ONCE = {False: 1 << 24, True: 1 << 17}
"""Held in memory together, by whether there is a row for each token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedConfig:
    """What to embed and how.

    Raises:
        ConfigError: a value that is not allowed, or does nothing.
    """

    model: str = field(
        metadata={
            "help": "run folder, exported or Hugging Face folder or id, random-init:RUN, module:attribute, "
            "or a baseline: kmer, one-hot, codon-freq, aa-composition"
        }
    )
    out: Path = field(metadata={"help": "file to write: .parquet, .npz or .npy"})
    read: InputConfig = field(default_factory=InputConfig, metadata={"help": "sequences"})
    layer: str = field(
        default="last",
        metadata={
            "help": "hidden layer: last (after the final norm), 0 (embeddings) to L, -1 to -L-1, or all"
        },
    )
    pooling: Literal["mean", "max", "last", "cls", "per-residue"] = field(
        default="mean",
        metadata={"help": "mean, max or last of the real tokens, cls, or per-residue: a row for each token"},
    )
    unit: int = field(
        default=0,
        metadata={
            "help": "per-residue: a row for so many letters (3: codons) and not for a token; 0: a token; "
            "one-hot: letters of a word"
        },
    )
    positions: int = field(
        default=0,
        metadata={
            "help": "one-hot: words kept of each record, shorter ones end in zeros; 0: as the longest has"
        },
    )
    running: Running = field(default_factory=Running, metadata={"help": "how the model is run"})
    cache: Path | None = field(
        default=None, metadata={"help": "folder where vectors are kept (default: SEQLOOM_CACHE/embeddings)"}
    )

    def __post_init__(self) -> None:
        check_suffix(self.out, SUFFIXES)
        if self.positions < 0:
            raise ConfigError(f"positions = {self.positions}, allowed: 0 (as the longest record has) or more")
        if self.model in BASELINES:
            self._check_baseline()
        elif self.positions:
            raise ConfigError(f"positions = {self.positions} does nothing for {self.model}, only for one-hot")
        if self.unit < 0 or (self.unit and self.pooling != PER_RESIDUE and self.model != "one-hot"):
            raise ConfigError(f"unit = {self.unit}, allowed: 0, or with pooling {PER_RESIDUE} 1 or more")
        if self.running.seed and not self.model.startswith("random-init:"):
            raise ConfigError(
                f"seed = {self.running.seed} does nothing for {self.model}: its weights are trained"
            )
        self.settings()

    def _check_baseline(self) -> None:
        """Refuses what is about models with weights, and what this baseline does not have."""
        usual, given, name = EmbedSettings(), self.settings(), self.model
        for entry in fields(EmbedSettings):
            if (value := getattr(given, entry.name)) != getattr(usual, entry.name):
                raise ConfigError(
                    f"{entry.name} = {value!r} does nothing for baseline {name!r}: it has no weights"
                )
        if self.cache is not None:
            raise ConfigError(f"cache = {str(self.cache)!r} does nothing for baseline {name!r}: none is kept")
        many = self.pooling == PER_RESIDUE
        if many and name not in WITH_TOKENS:
            raise ConfigError(f"pooling = {PER_RESIDUE!r}, but baseline {name!r} gives one vector a sequence")
        if self.positions and (many or name != "one-hot"):
            what = f"{name!r} by the unit" if many else repr(name)
            raise ConfigError(f"positions = {self.positions} does nothing for baseline {what}")

    def settings(self) -> EmbedSettings:
        """The part that concerns the embedder."""
        pooling = "mean" if self.pooling == PER_RESIDUE else self.pooling
        how = {entry.name: getattr(self.running, entry.name) for entry in fields(Running)}
        return EmbedSettings(layer=self.layer, pooling=pooling, **how)


def embed_file(config: EmbedConfig) -> dict[str, Any]:
    """Writes the embeddings of sequences, in input order (forms: `bioeval.records.embedding_files`).

    Args:
        config: what and how.

    Returns:
        `path`, `n`, `dimensions` (of a layer), `layers`, `model`, `embedding_key`, settings, `dropped`.

    Raises:
        ConfigError: no such model or input, a setting that does not fit.
        DataError: data or model that cannot be used.
        SeqloomError: another process is writing the file.
    """
    many = config.pooling == PER_RESIDUE
    if config.model in BASELINES:
        form, about, records, found = _of_baseline(config)
    else:
        embedder, records = _opened(config), Records(config.read)
        form = Form(layers=int(getattr(embedder, "layers", 1)), many=many)
        about, found = _about(config, embedder, form), _rows(config, embedder, records)
    n = dimensions = 0
    with locked_file(Path(config.out)), embedding_file(Path(config.out), form, about) as out:
        for ids, sequences, rows in found:
            out.write(ids, sequences, rows)
            n, dimensions = n + len(ids), rows[0].shape[-1] // form.layers
    return {"path": str(config.out), "n": n, "dimensions": dimensions, **about, "dropped": records.dropped()}


def _opened(config: EmbedConfig) -> Embedder:
    settings, usual = config.settings(), EmbedSettings()
    embedder = open_model(config.model, settings)
    if not isinstance(getattr(embedder, "settings", None), EmbedSettings):
        fixed = ("layer", "dtype", "max_tokens")  # of a file the backend knows its pooling
        for name in fixed if backend_of(config.model) != "attribute" else (*fixed, "pooling"):
            if (value := getattr(settings, name)) != getattr(usual, name):
                raise ConfigError(f"{name} = {value!r} does nothing for {config.model}: it has its own")
    if config.pooling == PER_RESIDUE and not isinstance(embedder, HasTokens):
        raise ConfigError(f"pooling = {PER_RESIDUE!r}, but {config.model} gives one vector a sequence")
    return embedder


def _of_baseline(config: EmbedConfig) -> tuple[Form, dict[str, Any], Records, Rows]:
    many, records = config.pooling == PER_RESIDUE, Records(config.read)
    asked = Asked(name=config.model, many=many, unit=config.unit, positions=config.positions)
    features = Features(asked, records)
    about = {**features.about(), "layers": 1, "model": config.model, "embedding_key": features.embedder.key,
             "seqloom": biodata.__version__}  # fmt: skip
    return Form(many=many), about, records, features.rows(_LETTERS_AT_ONCE[many])


def _rows(config: EmbedConfig, embedder: Embedder, records: Records) -> Rows:
    cache, many = EmbeddingCache(config.cache), config.pooling == PER_RESIDUE
    for ids, sequences in records.pieces(letters=_LETTERS_AT_ONCE[many]):
        if many:
            assert isinstance(embedder, HasTokens)
            yield ids, sequences, cache.embed_tokens(embedder, sequences, width=config.unit)
        else:
            yield ids, sequences, list(cache.embed(embedder, sequences))


def _about(config: EmbedConfig, embedder: Embedder, form: Form) -> dict[str, Any]:
    own = getattr(embedder, "settings", None)
    if isinstance(own, EmbedSettings):
        stated = {**own.key(), "pooling": config.pooling}
        stated["long_sequences"] = "consecutive windows, pooled together"
    else:
        stated = {"pooling": "its own", **(own or {})}
    more = {"unit": config.unit} if form.many else {}
    return {
        **stated, **more, "layers": form.layers, "model": config.model, "embedding_key": embedder.key,
        "seqloom": biodata.__version__,
    }  # fmt: skip
