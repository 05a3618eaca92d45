"""The screening hook: verdicts of several formats, and no silence when a screener fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from biodata.errors import ConfigError, SeqloomError
from biodata.files import read_json
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.report.sections.sequence_drawings import screening_line
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences
from bioeval.sequences.screen_output import read_verdicts
from bioeval.sequences.screening import screen

THREE = SequenceSet.from_strings(["ACGTACGT", "GGGGCCCC", "TTTTAAAA"], ["a one", "b/two", "c"])


def command(tmp_path: Path, body: str) -> str:
    """A screener of a few lines of Python; `fasta`, `out` and `names` are there."""
    script = tmp_path / "screener.py"
    script.write_text(
        "import csv, json, pathlib, sys\n"
        "fasta, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "names = [line[1:].strip() for line in open(fasta) if line[0] == '>']\n" + body
    )
    return f"{sys.executable} {script} {{input}} {{output}}"


COMMEC = """
states = ['Pass', 'Flag', 'Warning (Cleared)']
rows = {n: {'query': n, 'status': {'screen_status': s}, 'hits': []} for n, s in zip(names, states)}
said = {'commec_info': {'json_output_version': '0.6'}, 'queries': rows}
(out / 'x.output.json').write_text(json.dumps(said))
"""


def test_commecs_json(tmp_path: Path) -> None:
    found = screen(THREE, command(tmp_path, COMMEC))
    assert (found["status"], found["format"]) == ("flagged", "commec JSON")
    assert (found["passed"], found["flagged"], found["unscreened"]) == (2, 1, 0)
    assert found["flagged_ids"] == ["b/two"] and found["program"] == Path(sys.executable).name


def test_commecs_older_json_and_its_skips(tmp_path: Path) -> None:
    rows = [{"query": "s1", "recommendation": {"commec_recommendation": "Pass"}},
            {"query": "s2", "recommendation": {"commec_recommendation": "Error"}}]  # fmt: skip
    (tmp_path / "o.json").write_text(json.dumps({"queries": rows}))
    kind, verdicts = read_verdicts(tmp_path, "", names=("s1", "s2", "s3"))
    assert kind == "commec JSON" and verdicts == {"s1": "pass", "s2": "unscreened"}


def test_commecs_flags(tmp_path: Path) -> None:
    (tmp_path / "flags.csv").write_text(
        "filename,biorisk,virulence_factor,regulated_virus,regulated_bacteria,regulated_eukaryote,"
        "mixed_regulated_and_non_reg,benign\n"
        "s1.screen,P,P,P,P,P,P,-\ns2.screen,P,P,F,P,P,P,P\ns3.screen,F,P,P,P,P,P,P\n"
        "s4.screen,P,P,F,P,P,P,F\ns5.screen,P,P,Err,Err,Err,Err,-\n"
    )
    kind, verdicts = read_verdicts(tmp_path, "", names=tuple(f"s{i}" for i in range(1, 6)))
    assert kind == "commec flags.csv"
    assert list(verdicts.values()) == ["pass", "pass", "flag", "flag", "unscreened"]


@pytest.mark.parametrize(
    ("body", "status", "numbers"),
    [
        ("print('id\\tstatus'); [print(n, 'pass', sep='\\t') for n in names]", "passed", (3, 0, 0, 0)),
        ("print(json.dumps([{'id': n, 'verdict': 'warn'} for n in names]))", "passed", (0, 3, 0, 0)),
        ("print(json.dumps({names[0]: 'pass', names[2]: 'pass'}))", "incomplete", (2, 0, 0, 1)),
        ("print(json.dumps({n: 'perhaps' for n in names}))", "incomplete", (0, 0, 0, 3)),
        ("print(json.dumps({n: n == 's3' for n in names})); sys.exit(1)", "flagged", (2, 0, 1, 0)),
        ("pass", "passed", (3, 0, 0, 0)),
    ],
)
def test_tables_json_and_exit_status(
    tmp_path: Path, body: str, status: str, numbers: tuple[int, ...]
) -> None:
    found = screen(THREE, command(tmp_path, body))
    assert found["status"] == status
    assert tuple(found[k] for k in ("passed", "warned", "flagged", "unscreened")) == numbers


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('no database', file=sys.stderr); sys.exit(7)", "failed with exit status 7: no database"),
        ("print('all is well')", "no table of ids and verdicts: 'all is well'"),
        ("print('id,status'); print('another,pass')", "no table of ids and verdicts"),
        ("(out / 'r').mkdir(); (out / 'r' / 'new.json').write_text('{\"queries\": 3}')",
         "wrote files of which none is a table of ids and verdicts: r/new.json"),
        ("(out / 'verdicts.txt').write_text('s1 flag')", "none is a table of ids and verdicts: verdicts.txt"),
    ],
)  # fmt: skip
def test_failure_is_one_line_and_never_a_pass(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(SeqloomError, match=message):
        screen(THREE, command(tmp_path, body))


def test_no_program_and_no_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'no-such-screener' is not there"):
        screen(THREE, "no-such-screener --fast")
    with pytest.raises(SeqloomError, match="longer than 1 seconds"):
        screen(THREE, command(tmp_path, "import time; time.sleep(30)"), timeout=1)


def test_results_and_report_say_it(tmp_path: Path) -> None:
    fasta = tmp_path / "g.fa"
    fasta.write_text("".join(f">g{i}\n{'ACGTTGCA' * (9 + i)}\n" for i in range(12)))
    common = {"generated": fasta, "reference": fasta, "metrics": ("composition",), "resamples": 20}
    made = evaluate_sequences(SequencesConfig(out=tmp_path / "a", **common))
    assert made["screening"]["status"] == "not screened" and "not screened" in screening_line(made)
    assert made["not_run"]["kmer"] == "not chosen (--metrics)" and "composition" not in made["not_run"]
    config = SequencesConfig(out=tmp_path / "b", screen=command(tmp_path, COMMEC), max_sequences=5, **common)
    made = evaluate_sequences(config)
    # all twelve go to the screener, though five are drawn for the metrics; nine got no verdict
    assert made["screening"]["unscreened"] == 9 and made["screening"]["flagged"] == 1
    assert "1 flagged" in screening_line(read_json(tmp_path / "b" / "results.json"))
    with pytest.raises(SeqloomError, match="exit status 3"):
        evaluate_sequences(
            SequencesConfig(out=tmp_path / "c", screen=command(tmp_path, "sys.exit(3)"), **common)
        )
    assert not (tmp_path / "c").exists()
