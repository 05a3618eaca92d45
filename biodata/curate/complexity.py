"""Low complexity: symmetric DUST for nucleotides, the entropy windows of SEG for proteins.

DUST scores a stretch of l triplets, of which t occurs c_t times, by sum_t c_t (c_t - 1) / 2 / (l - 1).
SDUST masks every stretch of up to 64 letters that scores above 2 and that no part of it outscores (Morgulis
et al. 2006, doi:10.1089/cmb.2006.13.1028). SEG slides a window of 12 residues; its complexity is the Shannon
entropy of its composition in bits, 0 to log2(12) = 3.6; a window of at most 2.2 bits triggers and is extended
over the windows of at most 2.5 bits that overlap it (Wootton & Federhen 1993,
doi:10.1016/0097-8485(93)85006-X). The last step of SEG, which trims a segment to its least probable part, is
left out, so segments reach further than SEG's.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.curate.complexity_policy import ComplexityPolicy
from biodata.curate.rules import RuleLog

Intervals = list[tuple[int, int]]

DUST_WINDOW, DUST_THRESHOLD = 64, 20  # 20 is a score of 2, NCBI's default
SEG_WINDOW, SEG_TRIGGER, SEG_EXTENSION = 12, 2.2, 2.5
_MASK = {"dna": b"N", "rna": b"N", "protein": b"X"}


def filter_complexity(
    batch: pa.RecordBatch, *, policy: ComplexityPolicy, alphabet: str, log: RuleLog
) -> pa.RecordBatch:  # fmt: skip
    """Drops rows of low complexity or of too many ambiguity codes, or masks what is of low complexity.

    Args:
        batch: columns `id`, `line` and `sequence`, valid letters in upper case.
        policy: what to do.
        alphabet: `dna`, `rna` or `protein`.
        log: takes `too-ambiguous`, `low-complexity` and `low-complexity-masked`.
    """
    if policy.max_ambiguous < 1:
        batch = _drop_above(
            batch, ambiguous_parts(batch["sequence"], alphabet), policy.max_ambiguous, "too-ambiguous", log
        )
    if policy.low_complexity == "keep" or not batch.num_rows:
        return batch
    texts = batch["sequence"].to_pylist()
    found = [low_complexity(text, alphabet) for text in texts]
    letters = np.array([sum(end - start for start, end in row) for row in found], np.int64)
    if policy.low_complexity == "mask":
        return _masked(batch, texts, found, letters, _MASK[alphabet], log)
    parts = letters / np.maximum([len(text) for text in texts], 1)
    return _drop_above(batch, parts, policy.max_low_complexity, "low-complexity", log)


def low_complexity(sequence: str, alphabet: str) -> Intervals:
    """The stretches of low complexity of a sequence, 0-based and half-open, in order, apart from each other.

    >>> low_complexity("A" * 40, "dna")
    [(0, 40)]
    >>> low_complexity("MKVLITGAGSGIGLELARQFAQ" + "Q" * 20, "protein")
    [(13, 42)]
    """
    if alphabet == "protein":
        return _seg(sequence)
    from pydustmasker import DustMasker

    if len(sequence) < 4:  # the least it takes; a stretch above the threshold is longer
        return []
    text = sequence.replace("U", "T")
    return [(a, b) for a, b in DustMasker(text, DUST_WINDOW, DUST_THRESHOLD).intervals]


def window_entropies(sequence: str, window: int = SEG_WINDOW) -> npt.NDArray[np.float64]:
    """Shannon entropy in bits of the composition of every window of a protein; empty if it is shorter.

    >>> window_entropies("AAAAAACCCCCC").round(3), window_entropies("A" * 13)
    (array([1.]), array([0., 0.]))
    """
    codes = np.frombuffer(sequence.encode(), np.uint8)
    if len(codes) < window:
        return np.zeros(0)
    total = np.zeros(len(codes) - window + 1)
    for letter in np.unique(codes):
        before = np.concatenate([[0], np.cumsum(codes == letter)])
        counts = before[window:] - before[:-window]
        total += _LOGS[counts] if window == SEG_WINDOW else _log_terms(window)[counts]
    return np.abs(total)  # not -0.0


def ambiguous_parts(sequences: pa.Array, alphabet: str) -> npt.NDArray[np.float64]:
    """Part of each sequence that stands for several letters (N, R, X, B, ...), 0 to 1; 0 of an empty one."""
    sure = np.zeros(256, np.int64)
    sure[list(b"ACGTU" if alphabet != "protein" else b"ACDEFGHIKLMNPQRSTVWYUO*")] = 1
    texts = [np.frombuffer(text.encode(), np.uint8) for text in sequences.to_pylist()]
    return np.array([1 - sure[text].mean() if len(text) else 0.0 for text in texts])


def _log_terms(window: int) -> npt.NDArray[np.float64]:
    shares = np.arange(window + 1) / window
    return -shares * np.log2(np.maximum(shares, 1 / window))


_LOGS = _log_terms(SEG_WINDOW)


def _seg(sequence: str) -> Intervals:
    entropy = window_entropies(sequence)
    near = np.flatnonzero(np.diff(np.concatenate([[0], (entropy <= SEG_EXTENSION).view(np.int8), [0]])))
    found: Intervals = []
    for start, end in zip(near[::2].tolist(), near[1::2].tolist()):
        if entropy[start:end].min() > SEG_TRIGGER:
            continue
        stop = end - 1 + SEG_WINDOW
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def _drop_above(
    batch: pa.RecordBatch, parts: npt.NDArray[np.float64], most: float, reason: str, log: RuleLog
) -> pa.RecordBatch:
    broken = parts > most
    if not broken.any():
        return batch
    rows = pa.array(broken)
    details = [f"{part:.1%} of the letters, at most {most:.1%} wanted" for part in parts[broken].tolist()]
    log.drop(reason, batch["id"].filter(rows), lines=batch["line"].filter(rows), detail=details)
    return batch.filter(pa.array(~broken))


def _masked(
    batch: pa.RecordBatch, texts: list[str], found: list[Intervals], letters: npt.NDArray[np.int64],
    mask: bytes, log: RuleLog,
) -> pa.RecordBatch:  # fmt: skip
    at = np.flatnonzero(letters)
    if not len(at):
        return batch
    rows = pa.array(at)
    log.change("low-complexity-masked", ids=batch["id"].take(rows), lines=batch["line"].take(rows),
               detail=[f"{n} letters" for n in letters[at].tolist()])  # fmt: skip
    masked = [_with_mask(text, row, mask) if row else text for text, row in zip(texts, found)]
    index = batch.schema.get_field_index("sequence")
    return batch.set_column(index, batch.schema.field(index), pa.array(masked, pa.large_string()))


def _with_mask(text: str, intervals: Intervals, mask: bytes) -> str:
    ends = [0, *(at for pair in intervals for at in pair), len(text)]
    pieces = [text[a:b] if i % 2 == 0 else mask.decode() * (b - a) for i, (a, b) in enumerate(pairwise(ends))]
    return "".join(pieces)
