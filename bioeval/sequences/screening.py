"""Biosecurity screening of generated sequences by a program from outside.

Nothing here judges a sequence; a screener does, and without one the result says "not screened". Understood
are the JSON of commec (ibbis-screening/common-mechanism; formats 0.2 to 0.6), its flags.csv, and JSON or a
table of ids and verdicts, in a file of the output folder or on standard output. Whatever is not understood is
an error.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from biodata.errors import ConfigError, SeqloomError
from biodata.progress import say
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.sequences.config import command_words
from bioeval.sequences.screen_output import read_verdicts

NOT_SCREENED: dict[str, Any] = {
    "status": "not screened", "reason": "no screener was given (--screen COMMAND)",
}  # fmt: skip
_LISTED = 1000


def screen(sequences: SequenceSet, command: str, *, timeout: int = 0) -> dict[str, Any]:
    """Runs a screener on sequences and reads its verdicts.

    Args:
        sequences: all that are to be screened; written to a FASTA under names `s1`, `s2`, ...
        command: split as a shell would, but run without one. `{input}` stands for the FASTA (appended where
            it is not named), `{output}` for an empty folder.
        timeout: seconds, 0 for any.

    Returns:
        `status`: `passed` (every sequence), `flagged` (at least one), `incomplete` (none flagged, some
        without verdict); `program`, `exit_status`, `format`, numbers `passed`, `warned`, `flagged`,
        `unscreened`, and the ids of those that did not pass (at most 1,000 of each).

    Raises:
        ConfigError: there is no such program.
        SeqloomError: it failed, took too long, or gave nothing that can be understood.
    """
    words = command_words(command)
    names = {f"s{row + 1}": sequences.ids[row] for row in range(len(sequences))}
    with TemporaryDirectory(prefix="seqloom-screen-") as folder:
        fasta, out = Path(folder) / "generated.fasta", Path(folder) / "output"
        out.mkdir()
        fasta.write_text("".join(f">{n}\n{t}\n" for n, t in zip(names, sequences.strings())))
        say(f"screening {len(names):,} sequences with {Path(words[0]).name}")
        done = _run(_filled(words, fasta, out), timeout)
        kind, verdicts = read_verdicts(out, done.stdout, names=tuple(names))
        written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    program = Path(words[0]).name
    if kind is None and done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SeqloomError(f"screener {program!r} failed with exit status {done.returncode}: {last}")
    if kind is None and done.stdout.strip():
        raise SeqloomError(
            f"screener {program!r} wrote something that is no table of ids and verdicts: "
            f"{done.stdout.strip().splitlines()[0]!r} (JSON or a table with columns id and status is read)"
        )
    if kind is None and written:
        raise SeqloomError(
            f"screener {program!r} wrote files of which none is a table of ids and verdicts: "
            f"{', '.join(written[:3])} (JSON, or .csv and .tsv with columns id and status, are read)"
        )
    if kind is None:  # silent and content: the exit status speaks for all
        kind, verdicts = "exit status", dict.fromkeys(names, "pass")
    return {"program": program, "exit_status": done.returncode, "format": kind} | _summary(names, verdicts)


def _filled(words: list[str], fasta: Path, out: Path) -> list[str]:
    named = any("{input}" in word for word in words)
    filled = [w.replace("{input}", str(fasta)).replace("{output}", str(out)) for w in words]
    return filled if named else [*filled, str(fasta)]


def _run(words: list[str], timeout: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False,
                              stdin=subprocess.DEVNULL, timeout=timeout or None)  # fmt: skip
    except FileNotFoundError:
        raise ConfigError(f"screener {words[0]!r} is not there (is it installed and on PATH?)") from None
    except PermissionError:
        raise ConfigError(f"screener {words[0]!r} may not be run") from None
    except subprocess.TimeoutExpired:
        raise SeqloomError(
            f"screener {Path(words[0]).name!r} took longer than {timeout} seconds (screen_timeout)"
        ) from None


def _summary(names: dict[str, str], verdicts: dict[str, str]) -> dict[str, Any]:
    groups: dict[str, list[str]] = {"pass": [], "warn": [], "flag": [], "unscreened": []}
    for name, given in names.items():
        groups[verdicts.get(name, "unscreened")].append(given)
    flagged, unscreened = groups["flag"], groups["unscreened"]
    return {
        "status": "flagged" if flagged else "incomplete" if unscreened else "passed",
        "passed": len(groups["pass"]), "warned": len(groups["warn"]),
        "flagged": len(flagged), "unscreened": len(unscreened),
        "flagged_ids": flagged[:_LISTED], "warned_ids": groups["warn"][:_LISTED],
        "unscreened_ids": unscreened[:_LISTED],
    }  # fmt: skip
