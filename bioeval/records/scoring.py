"""`seqloom score`: how natural a model finds sequences or mutants, as a table.

Scores are kept by content as they are made (`bioeval.cache`), so a stopped run goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import biodata
from biodata.curate.rules import RuleLog
from biodata.errors import ConfigError
from biodata.folders import locked_file
from bioeval.backends import ScoreSettings, open_scorer
from bioeval.cache import EmbeddingCache
from bioeval.mutants.config import MutationConfig
from bioeval.mutants.zero_shot import score_mutants
from bioeval.protocols import Scorer, SequenceScores
from bioeval.records.inputs import InputConfig, Records
from bioeval.records.row_files import check_suffix, row_file

_PERPLEXITY = ("log-likelihood", "pseudo-log-likelihood", "elbo")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """What to score and how.

    Raises:
        ConfigError: a value that is not allowed, or does nothing.
    """

    model: str = field(
        metadata={
            "help": "run folder, exported or Hugging Face folder or id, random-init:RUN, module:attribute"
        }
    )
    out: Path = field(metadata={"help": "file to write: .parquet, .csv, .tsv or .jsonl"})
    read: InputConfig = field(default_factory=InputConfig, metadata={"help": "sequences"})
    mutations: MutationConfig = field(default_factory=MutationConfig, metadata={"help": "mutants"})
    scores: ScoreSettings = field(default_factory=ScoreSettings, metadata={"help": "kind of score"})
    cache: Path | None = field(
        default=None, metadata={"help": "folder where scores are kept (default: SEQLOOM_CACHE/embeddings)"}
    )

    def __post_init__(self) -> None:
        check_suffix(self.out)
        if self.mutations.active:
            if len(self.read.inputs) != 1:
                raise ConfigError(f"mutants come from one table, {len(self.read.inputs)} inputs given")
            for name, usual in (
                ("alphabet", "any"),
                ("split", "all"),
                ("sequence_column", ""),
                ("id_column", ""),
            ):
                if getattr(self.read, name) != usual:
                    raise ConfigError(f"{name} does nothing for a table of mutants: leave it out")


def score_file(config: ScoreConfig) -> dict[str, Any]:
    """Writes a row for each sequence or mutant, in the order of the input.

    Columns: `id`, `n_tokens` (that were scored; of mutants, that differ), `score` (nats, summed), and of
    sequences `score_per_token` and `perplexity` (empty where it has no meaning), `standard_error` (0 unless
    `kind` is elbo); `kind`, of mutants the method.

    Args:
        config: what and how.

    Returns:
        `path`, `n`, `kind`, `model`, `key`, `dropped` and means.

    Raises:
        ConfigError: no such model or input, a setting that does not fit.
        DataError: data or model that cannot be used.
        SeqloomError: another process is writing the file.
    """
    scorer, cache = open_scorer(config.model, config.scores), EmbeddingCache(config.cache)
    random_weights = config.model.startswith("random-init:")
    if config.scores.seed and scorer.kind != "elbo" and not random_weights:
        raise ConfigError(
            f"seed = {config.scores.seed} does nothing for {config.model}: it gives {scorer.kind}"
        )
    rows = _mutants if config.mutations.active else _sequences
    with locked_file(Path(config.out)):
        summary = rows(config, scorer, cache)
    return {"path": str(config.out), "model": config.model, "key": scorer.key, **summary}


def _sequences(config: ScoreConfig, scorer: Scorer, cache: EmbeddingCache) -> dict[str, Any]:
    records, total, n_tokens, n = Records(config.read), 0.0, 0, 0
    about: dict[str, Any] = {}
    with row_file(config.out, about) as out:
        for ids, sequences in records.pieces():
            found = cache.score(scorer, sequences)
            about |= _about(scorer, sequences[0])
            out.write(_table(ids, found, scorer.kind))
            total, n_tokens, n = total + found.total.sum(), n_tokens + int(found.n_tokens.sum()), n + len(ids)
    mean = float(total / max(1, n_tokens))
    return {
        "n": n, "kind": scorer.kind, "n_tokens": n_tokens, "mean_per_token": mean,
        "perplexity": math.exp(-mean) if scorer.kind in _PERPLEXITY else None, "dropped": records.dropped(),
    }  # fmt: skip


def _table(ids: list[str], found: SequenceScores, kind: str) -> pa.Table:
    scored = found.n_tokens > 0
    has_perplexity = scored & (kind in _PERPLEXITY)
    with np.errstate(over="ignore"):
        perplexity = np.exp(-found.per_token)
    return pa.table({
        "id": pa.array(ids, pa.string()),
        "n_tokens": pa.array(found.n_tokens),
        "score": pa.array(found.total),
        "score_per_token": pa.array(found.per_token, mask=~scored),
        "perplexity": pa.array(perplexity, mask=~has_perplexity),
        "standard_error": pa.array(found.error),
        "kind": pa.array([kind] * len(ids), pa.string()),
    })  # fmt: skip


def _mutants(config: ScoreConfig, scorer: Scorer, cache: EmbeddingCache) -> dict[str, Any]:
    from bioeval.mutants.table import read_mutants

    log = RuleLog()
    ids, sequences, references = read_mutants(Path(config.read.inputs[0]), config.mutations, log=log)
    found = score_mutants(scorer, sequences, references, method=config.mutations.method, cache=cache)
    table = pa.table({
        "id": pa.array(ids, pa.string()),
        "n_tokens": pa.array(found.n_tokens, mask=found.n_tokens < 0),
        "score": pa.array(found.values),
        "kind": pa.array([found.method] * len(ids), pa.string()),
    })  # fmt: skip
    stated = {**_about(scorer, references[0]), "kind": found.method, "scorer": scorer.kind}
    with row_file(config.out, stated) as out:
        out.write(table)
    return {
        "n": len(ids), "kind": found.method, "scorer": scorer.kind, "mean": float(found.values.mean()),
        "wild_types": len(set(references)), "dropped": dict(log.as_dict()["dropped"]),
    }  # fmt: skip


def _about(scorer: Scorer, sequence: str) -> Mapping[str, Any]:
    describe = getattr(scorer, "describe", None)
    stated = (
        {"kind": scorer.kind, "model": scorer.name, "key": scorer.key}
        if describe is None
        else describe(sequence)
    )
    return {**stated, "seqloom": biodata.__version__}
