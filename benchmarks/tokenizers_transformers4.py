"""Every kind of tokenizer in transformers 4.57: the same ids as here, from the folder alone, offline.

    python benchmarks/tokenizers_transformers4.py [--venv DIR] [--version 4.57.*] [--json FILE]

Makes an environment of its own with that version of transformers (no torch), saves one tokenizer of each
kind with this environment, opens the folders there with `AutoTokenizer`, and prints a table. Exit code 1 if
any id differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biodata.tokenizers.bpe import train_bpe
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.kmer import KmerTokenizer, codon, six_mer
from biodata.tokenizers.letters import aa, nuc, nuc16
from biodata.tokenizers.protocol import Tokenizer
from biodata.tokenizers.selfies import SelfiesTokenizer
from biodata.tokenizers.sentencepiece import train_sentencepiece
from biodata.tokenizers.unigram import train_unigram
from biodata.tokenizers.wordpiece import train_wordpiece

PIECES = ["ATGATGGCCGCCAAATTTGGG", "GCCATGATGTTTAAACCC"] * 9
ROWS = ["ATGGCCTAA", "AUGgccNNNaaaTTGCA", "", "A", "ATG<mask>GCC", "ATGéGCC", "[C][=O].[N]C", "MKV*x1",
        "<text>A kinase é</text><dna>ACGu<mask>N-R</dna>", "<protein>MK*1</protein> x"]  # fmt: skip
KINDS: dict[str, Callable[[], Tokenizer]] = {
    "codon": codon,
    "6mer": six_mer,
    "kmer (k 4)": lambda: KmerTokenizer("kmer", 4),
    "kmer (k 6, overlap 5)": lambda: KmerTokenizer("kmer", 6, overlap=5),
    "nuc": nuc,
    "nuc16": nuc16,
    "aa": aa,
    "bpe": lambda: train_bpe(PIECES, alphabet="dna", vocab_size=24),
    "wordpiece": lambda: train_wordpiece(PIECES, alphabet="dna", vocab_size=24),
    "unigram": lambda: train_unigram(PIECES, alphabet="dna", vocab_size=20),
    "sentencepiece": lambda: train_sentencepiece(PIECES, alphabet="dna", vocab_size=24),
    "selfies": lambda: SelfiesTokenizer((".", "[=O]", "[C]", "[N]")),
    "joint": lambda: train_joint(["a kinase of escherichia"] * 3, vocab_size=380),
}
THERE = """
import json, sys
import tokenizers, transformers
folders, rows = json.load(sys.stdin)
found = {"versions": [transformers.__version__, tokenizers.__version__]}
for name, folder in folders.items():
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    spaced = name.startswith("kmer") and "overlap" in name
    ids = None if spaced else auto(rows)["input_ids"]
    found[name] = {"ids": ids, "special": auto.convert_tokens_to_ids(
        ["<pad>", "<bos>", "<eos>", "<unk>", "<mask>", "<sep>"]), "size": len(auto)}
    if spaced:
        found[name]["spaced"] = auto("ACGTAC CGTACG GTACGT <unk>")["input_ids"]
print(json.dumps(found))
"""


def make_environment(folder: Path, version: str) -> Path:
    """The Python of an environment with that transformers, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        wanted = f"transformers=={version}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted, "numpy"], check=True)
    return python


def compare(python: Path, work: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Versions there, and for each kind whether its ids are ours."""
    ours = {name: build() for name, build in KINDS.items()}
    folders = {}
    for number, (name, tokenizer) in enumerate(ours.items()):
        folders[name] = str(work / str(number))
        tokenizer.save(Path(folders[name]))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-c", THERE], input=json.dumps([folders, ROWS]), env=environment, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return found["versions"], [_judge(name, tokenizer, found[name]) for name, tokenizer in ours.items()]


def _judge(name: str, tokenizer: Tokenizer, found: dict[str, Any]) -> dict[str, Any]:
    if "spaced" in found:
        same = found["spaced"] == [*tokenizer.encode("ACGTACGT")[:-1], 3, 2]
        note = "k-mers written out with spaces; plain text needs its class, which needs transformers 5"
    else:
        same, note = found["ids"] == [tokenizer.encode(row) for row in ROWS], ""
    fits = found["special"] == list(range(6)) and found["size"] == tokenizer.vocab_size
    return {"kind": name, "vocab_size": tokenizer.vocab_size, "same_ids": same and fits, "note": note}


def main() -> int:
    """Runs the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, help="environment to make or use (default: temporary)")
    parser.add_argument("--version", default="4.57.*", help="of transformers")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        python = make_environment(options.venv or Path(work) / "venv", options.version)
        versions, results = compare(python, Path(work))
    print(
        f"transformers {versions[0]}, tokenizers {versions[1]}\n\n"
        "| kind | tokens | same ids | |\n|---|---|---|---|"
    )
    for row in results:
        print(
            f"| {row['kind']} | {row['vocab_size']} | {'yes' if row['same_ids'] else 'NO'} | {row['note']} |"
        )
    if options.json:
        options.json.write_text(json.dumps({"versions": versions, "kinds": results}, indent=1) + "\n")
    return 0 if all(row["same_ids"] for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
