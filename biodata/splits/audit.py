"""The audit of a split: is any held-out row like a row of another split?

Independent of how the split was made. Two methods, and a leak found by either counts. (a) An MMseqs2 search
with other k-mers, the highest sensitivity and longer lists than the repair's, with planted near-copies that
say how much it finds; short sequences are compared exactly instead. (b) Edit-distance alignment of held-out
rows with all rows of the other splits (`biodata.splits.exact`). Identity = matching columns / columns of an
alignment that covers `coverage` of both sequences: local in (a), the shorter sequence whole in (b).
Of rows above `LONG` letters two sketches of k-mers are compared instead (`biodata.similarity.sketch`), by the
same rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import ConfigError
from biodata.mmseqs import NUCLEOTIDES, find_mmseqs
from biodata.similarity.molecules import similar_molecules
from biodata.similarity.pairwise import EPSILON, best_identity
from biodata.similarity.search import (
    LONG,
    NO_HITS,
    Hits,
    audit_settings,
    lengths_of,
    merge_hits,
    search,
    select,
)
from biodata.similarity.short import short_below, short_links
from biodata.similarity.sketch import alike, describe, long_pairs, second_settings, sketch_settings
from biodata.splits.exact import ExactResult, ExactSettings, exact_check
from biodata.splits.plant import plant
from biodata.splits.repair import crossing

_NEAR = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """What counts as a leak and how much is compared.

    Attributes:
        identity: least identity of a leaking pair, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
        effort: nominal core-seconds of the exact comparison, 0 for none.
        seed: of the rows sampled and of the planted copies.
        threads: 0 uses every core; results do not depend on it.
        tanimoto: selfies: molecules of this ECFP4 similarity or more leak too, 0 for unchecked.
    """

    identity: float = 0.9
    coverage: float = 0.8
    effort: float = 20.0
    seed: int = 0
    threads: int = 0
    tanimoto: float = 0.0

    def __post_init__(self) -> None:
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        leaks: pairs of rows in different splits that are alike, lower row first.
        leaking_rows: held-out rows (for validation-test pairs the test row) in such a pair.
        max_identity: highest identity between splits at enough coverage, None if below `searched_from`.
    """

    settings: AuditSettings
    leaks: Hits
    leaking_rows: np.ndarray
    max_identity: float | None
    searched_from: float
    method: str
    search: dict[str, Any] = field(default_factory=dict)
    exact: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Fields of the contract and how they were found, as plain values."""
        return {
            "identity": self.settings.identity,
            "coverage": self.settings.coverage,
            "leaking_pairs": len(self.leaks.query),
            "leaking_rows": len(self.leaking_rows),
            "max_identity": self.max_identity,
            "searched_from_identity": self.searched_from,
            "method": self.method,
            "search": self.search,
            "exact": self.exact,
        }


def audit(
    sequences: pa.ChunkedArray, split: np.ndarray, *, alphabet: str, settings: AuditSettings, workdir: Path,
    stop_early: bool = False, selfies: pa.ChunkedArray | None = None,
) -> Audit:  # fmt: skip
    """Searches a split for leaks.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`), rows of all splits.
        split: 0 train, 1 validation, 2 test of each row; rows below 0 are left out.
        workdir: for temporary folders, deleted after use.
        stop_early: leave out (b) where (a) has found a leak already (a repair will follow).
        selfies: the rows as they are written, where molecules are to be compared by fingerprint.
    """
    found, details = _searched(sequences, split, alphabet, settings, workdir)
    short = _short(sequences, split, alphabet, settings)
    long, nearest, sketched = _long(sequences, split, alphabet, settings)
    result = None
    leaks = select(found, found.identity >= settings.identity - EPSILON)
    clean = not len(leaks.query) and not len(short.query) and not len(long.query)
    if settings.effort > 0 and (clean or not stop_early):
        aligned = pc.call_function("binary_length", [sequences])
        aligned = pc.call_function("less_equal", [aligned, pa.scalar(LONG, pa.int64())])
        texts = pc.call_function("if_else", [aligned, sequences, pa.scalar("", pa.large_string())])
        kept = np.where(aligned.to_numpy(), split, -1)
        result = exact_check(texts.to_pylist(), kept, _exact_settings(alphabet, settings))
    every = merge_hits(leaks, short, long, *([result.hits] if result else []))
    chemical = NO_HITS
    if settings.tanimoto > 0 and selfies is not None:
        chemical = similar_molecules(selfies.to_pylist(), tanimoto=settings.tanimoto, split=split)
        details |= {"tanimoto": settings.tanimoto, "pairs_alike_by_tanimoto": len(chemical.query)}
    best = max([found.identity.max(initial=0), every.identity.max(initial=0), nearest])
    every = merge_hits(every, chemical)
    return Audit(
        settings=settings,
        leaks=every,
        leaking_rows=held_out_rows(every, split),
        max_identity=round(float(best), 4) if best > 0 else None,
        searched_from=round(max(0.0, settings.identity - 0.1), 4),
        method=_method(alphabet, result, sketched["rows_compared_by_sketch"]),
        search=details | sketched,
        exact=_exact_summary(result, merge_hits(leaks, short)),
    )


def held_out_rows(hits: Hits, split: np.ndarray) -> np.ndarray:
    """Of each crossing pair the row further from training: validation before train, test before both."""
    hits = crossing(hits, split)
    later = np.where(split[hits.query] > split[hits.target], hits.query, hits.target)
    return np.unique(later)


def _searched(
    sequences: pa.ChunkedArray, split: np.ndarray, alphabet: str, settings: AuditSettings, workdir: Path
) -> tuple[Hits, dict[str, Any]]:
    """Crossing pairs of the search from a little below the threshold, and what it did."""
    if alphabet not in (*NUCLEOTIDES, "protein"):
        return NO_HITS, {"tool": "none: all rows are compared exactly"}
    how = audit_settings(alphabet=alphabet, identity=settings.identity, coverage=settings.coverage)
    length = lengths_of(sequences)
    usable = (length > 0) & (length <= LONG)
    copies, sources, levels = plant(sequences, split, alphabet=alphabet, identity=settings.identity,
                                    seed=settings.seed)  # fmt: skip
    everything = pa.chunked_array([*sequences.chunks, copies])
    planted = np.arange(len(sources)) + len(sequences)
    parts, command = [NO_HITS], ""
    for part in (2, 1):
        queries = np.flatnonzero((split == part) & usable)
        if part == 2:
            queries = np.concatenate([queries, planted])
        targets = np.flatnonzero((split >= 0) & (split < part) & usable)
        hits, used = search(everything, how, alphabet=alphabet, queries=queries, targets=targets,
                            workdir=workdir, threads=settings.threads)  # fmt: skip
        parts.append(hits)
        command = used or command
    hits = Hits(*(np.concatenate(columns) for columns in zip(*parts)))
    own = hits.query < len(sequences)
    hits = _realigned(hits, everything, alphabet, settings)
    control = select(hits, ~own & (hits.identity >= settings.identity - EPSILON))
    recovered = np.unique(control.query[sources[control.query - len(sequences)] == control.target])
    found_of = np.isin(planted, recovered)
    by_level = {f"{level:g}": [int(found_of[levels == level].sum()), int((levels == level).sum())]
                for level in np.unique(levels)}  # fmt: skip
    details = {"tool": "MMseqs2", "version": find_mmseqs().version, "command": command,
               "planted": len(sources), "planted_found": len(recovered),
               "planted_found_by_identity": by_level}  # fmt: skip
    return merge_hits(select(hits, own)), details


def _realigned(hits: Hits, sequences: pa.ChunkedArray, alphabet: str, settings: AuditSettings) -> Hits:
    """Hits whose identity just below the threshold, where a local alignment may open a gap, is edlib's."""
    value = hits.identity.copy()
    near = (value < settings.identity - EPSILON) & (value >= settings.identity - _NEAR)
    for at in np.flatnonzero(near).tolist():
        a, b = sequences[int(hits.query[at])].as_py(), sequences[int(hits.target[at])].as_py()
        value[at] = max(
            value[at],
            best_identity(
                a, b, identity=settings.identity, coverage=settings.coverage, both_strands=alphabet == "dna"
            ),
        )
    return Hits(hits.query, hits.target, value)


def _short(sequences: pa.ChunkedArray, split: np.ndarray, alphabet: str, settings: AuditSettings) -> Hits:
    """Crossing pairs whose shorter sequence is too short for k-mer searches, all of them."""
    links = short_links(sequences, split >= 0, alphabet=alphabet, identity=settings.identity,
                        coverage=settings.coverage)  # fmt: skip
    return crossing(links, split)


def _long(
    sequences: pa.ChunkedArray, split: np.ndarray, alphabet: str, settings: AuditSettings
) -> tuple[Hits, float, dict[str, Any]]:
    """Crossing pairs with a row above `LONG` that either of two sketches finds, and the highest estimate."""
    parts, nearest, described = [NO_HITS], 0.0, []
    for choose in (sketch_settings, second_settings):
        how = choose(alphabet=alphabet, identity=settings.identity, coverage=settings.coverage)
        found = long_pairs(sequences, how, split=split)
        parts.append(alike(found.hits, how))
        nearest = max(nearest, found.hits.identity.max(initial=0))
        described.append(describe(found, how))
    first, second = described
    if "sketch" in second:
        first["second_sketch"] = second["sketch"]
    return merge_hits(*parts), float(nearest), first


def _exact_settings(alphabet: str, settings: AuditSettings) -> ExactSettings:
    return ExactSettings(
        identity=settings.identity, coverage=settings.coverage, both_strands=alphabet == "dna",
        q=6 if alphabet in NUCLEOTIDES else 3, effort=settings.effort, seed=settings.seed,
    )  # fmt: skip


def _exact_summary(result: ExactResult | None, searched: Hits) -> dict[str, Any]:
    if result is None:
        return {"queries": 0, "pairs": 0, "leaking": 0, "complete": False, "recall_of_search": None}
    exact = merge_hits(result.hits)
    known = set(zip(searched.query.tolist(), searched.target.tolist()))
    both = sum(pair in known for pair in zip(exact.query.tolist(), exact.target.tolist()))
    count = len(exact.query)
    return {"queries": len(result.queries), "pairs": result.pairs, "leaking": count,
            "complete": result.complete,
            "recall_of_search": round(both / count, 4) if count else None}  # fmt: skip


def _method(alphabet: str, result: ExactResult | None, long: int) -> str:
    below = short_below(alphabet)
    parts = []
    if alphabet in (*NUCLEOTIDES, "protein"):
        parts = ["MMseqs2 search of held-out rows against the other splits",
                 f"all pairs exactly where a sequence has fewer than {below} letters"]  # fmt: skip
    else:
        parts = ["all pairs exactly"]
    if result is not None:
        rows = "all held-out rows" if result.complete else f"{len(result.queries)} sampled held-out rows"
        parts.append(f"edit-distance alignment of {rows} with every row in their length window")
    if long:
        parts.append(f"the {long} rows of more than {LONG:,} letters by two k-mer sketches instead, "
                     "which estimate identity and approximate coverage")  # fmt: skip
    return "; ".join(parts)
