"""Canaries: made-up sequences that were planted in the training set, to see whether a model repeats them.

Source: Carlini et al. 2019 (arXiv:1802.08232), planted secrets repeated at different rates. A canary that was
drawn at random has no relatives in nature, so that a long piece of it in a generated sequence is memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bioeval.metrics.longest_match import FLAG, chance_length
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.suffixes import longest_matches, longest_of_rows
from bioeval.sequences.inputs import Reading, read_set


def find_canaries(path: Path, generated: SequenceSet, *, column: str = "") -> dict[str, Any]:
    """The longest piece of each canary that the generated sequences hold.

    Args:
        path: file of the canaries; how often each was repeated may stand in its id.
        generated: the sequences that are searched.
        column: of a table the column of the sequences.

    Returns:
        `n`, `repeated` (canaries of which a piece at least twice as long as by chance is there), `whole`
        (found from end to end), and for each canary its `id`, `length`, `longest` piece and `chance` in
        letters.

    Raises:
        ConfigError: no such file.
        DataError: no canary, or letters that the alphabet lacks.
    """
    reading = Reading(generated.letters, column)
    canaries = read_set(path, split="train", limit=0, seed=0, reading=reading).sequences
    longest = longest_of_rows(canaries, longest_matches(canaries, generated))
    chance = chance_length(canaries, generated)
    rows = [
        {"id": name, "length": int(length), "longest": int(found), "chance": round(float(expected), 1)}
        for name, length, found, expected in zip(canaries.ids, canaries.lengths, longest, chance)
    ]
    return {
        "n": len(rows),
        "repeated": sum(row["longest"] >= FLAG * row["chance"] for row in rows),
        "whole": sum(row["longest"] == row["length"] > 0 for row in rows),
        "canaries": rows,
    }
