"""How many held-out rows plain LinClust leaves similar to training rows, and what repair and audit cost.

Run `python benchmarks/split_leakage.py [--out FILE.json] [--rows N] [--only NAME] [--default-kmer]`; prints
Markdown tables and writes the same as JSON. Data: the folder in SEQLOOM_REAL_DATA, or `../shared/data`. Real
sets of all alphabets; every set ends in the audit of what is left, which must find nothing. CPU seconds are
those of this process and of MMseqs2. The last table is the memory of MMseqs2's nucleotide search by k-mer
length; `--default-kmer` adds its own choice, which takes 8 GB.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.mmseqs import available_threads, create_database, find_mmseqs, normalised
from biodata.splits.audit import audit
from biodata.splits.split import PURGED, SplitConfig, repair_again, split_rows

COLUMNS = ("data", "alphabet", "by", "identity", "rows", "kept", "purged", "units", "joined", "largest_%",
           "plain_leak_%", "leaking_rows", "rounds", "exact_rows", "planted", "linclust_cpu", "split_cpu",
           "audit_cpu")  # fmt: skip
Texts = Callable[[], Iterator[str]]


def fasta(*paths: Path, prefix: str = "") -> Iterator[str]:
    """Sequences of gzipped FASTA files whose header begins with `prefix`."""
    for path in paths:
        with gzip.open(path, "rt") as handle:
            for record in handle.read().removeprefix(">").split("\n>"):
                if record.startswith(prefix):
                    yield "".join(record.split("\n")[1:]).upper()


def table_column(path: Path, name: str, delimiter: str = ",") -> Iterator[str]:
    """One column of a gzipped table."""
    with gzip.open(path, "rt") as handle:
        for row in csv.DictReader(handle, delimiter=delimiter):
            yield row[name]


def molecules(path: Path) -> Iterator[str]:
    """SELFIES of a gzipped file of SMILES."""
    from selfies import EncoderError, encoder

    with gzip.open(path, "rt") as handle:
        for line in handle:
            try:
                yield encoder(line.split()[0]) or ""
            except EncoderError:
                continue


def data_sets(data: Path) -> dict[str, tuple[str, dict[str, Any], Texts]]:
    """Name to alphabet, split settings and sequences."""
    cds, protein, mrna, tcr = data / "cds", data / "protein", data / "mrna", data / "tcr"
    oas = data / "antibody" / "OAS_Jaffe_2022_1279067_1_Paired_sequences.fasta.gz"
    zinc, cov = data / "smiles" / "jtnn_zinc_test.txt.gz", mrna / "CoV_Vaccine_Degradation.csv.gz"
    regression = protein / "mmseqs2_regression_query.fasta.gz"
    cdr3 = [tcr / f"tcrdb_PRJNA{number}.tsv.gz" for number in (298417, 377207, 318421)]
    return {
        "CDS of seven species": ("dna", {}, lambda: fasta(*sorted(cds.glob("calm_validation_*.fasta.gz")))),
        "E. coli genes": ("dna", {}, lambda: fasta(cds / "ecoli_CP033092_genes.fasta.gz")),
        "proteins, MMseqs2 set": ("protein", {}, lambda: fasta(regression)),
        "OAS heavy chains, 0.9": ("dna", {}, lambda: fasta(oas, prefix="heavy")),
        "OAS heavy chains, 0.95": ("dna", {"identity": 0.95}, lambda: fasta(oas, prefix="heavy")),
        "antibody CDS": ("dna", {}, lambda: table_column(mrna / "antibody_inframe.csv.gz", "cds")),
        "TCR CDR3": ("protein", {}, lambda: (x for f in cdr3 for x in table_column(f, "AASeq", "\t"))),
        "CoV degradation": ("rna", {}, lambda: table_column(cov, "Sequence")),
        "ZINC molecules": ("selfies", {"by": "random"}, lambda: molecules(zinc)),
        "ZINC molecules, scaffold": ("selfies", {"by": "scaffold", "tanimoto": 0.9}, lambda: molecules(zinc)),
    }  # fmt: skip


def cpu() -> float:
    """CPU seconds of this process and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def bare_linclust(texts: list[str], folder: Path, threads: int) -> float:
    """CPU seconds of `mmseqs easy-linclust` at the same thresholds."""
    path = folder / "all.fasta"
    path.write_text("".join(f">{at}\n{text}\n" for at, text in enumerate(texts)))
    words = f"easy-linclust {path} {folder / 'bare'} {folder / 'tmp'} --min-seq-id 0.9 -c 0.8 --cov-mode 0"
    start = cpu()
    words += f" -v 1 --threads {threads}"
    subprocess.run([str(find_mmseqs().binary), *words.split()], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return cpu() - start


def measure(
    name: str, alphabet: str, settings: dict[str, Any], texts: list[str], threads: int
) -> dict[str, Any]:
    """One row of the table."""
    config = SplitConfig(threads=threads, **settings)
    raw = pa.chunked_array([pa.array(texts, pa.large_string())])
    column = normalised(raw, alphabet=alphabet)
    selfies = raw if alphabet == "selfies" else None
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bare = bare_linclust(texts, work, threads) if alphabet != "selfies" else 0.0
        start = cpu()
        split = split_rows(column, config, alphabet=alphabet, workdir=work,
                           columns={"sequence": raw} if selfies is not None else None)  # fmt: skip
        split_seconds, audit_seconds, rounds = cpu() - start, 0.0, 0
        while True:
            start = cpu()
            found = audit(column, split.split, alphabet=alphabet, settings=config.audit_settings(),
                          workdir=work, stop_early=True, selfies=selfies)  # fmt: skip
            audit_seconds += cpu() - start
            if not len(found.leaks.query):
                break
            split, rounds = repair_again(split, found.leaks, config), rounds + 1
    info, plain, purged = split.info, split.info["plain"], int((split.split == PURGED).sum())
    planted = found.search.get("planted_found_by_identity", {})
    return {
        "data": name, "alphabet": alphabet, "by": config.by, "identity": config.identity, "rows": len(texts),
        "kept": len(texts) - purged, "purged": purged, "units": info["clustering"]["clusters"],
        "joined": info["joined"]["clusters"],
        "largest_%": round(100 * info["joined"]["largest_cluster"] / len(texts), 2),
        "component_%": round(100 * info["joined"]["largest_component"] / len(texts), 2),
        "plain_leak_%": round(100 * plain["leaking_rows"] / max(1, plain["held_out_rows"]), 2),
        "leaking_rows": len(found.leaking_rows), "rounds": rounds,
        "exact_rows": f"{found.exact['queries']}{'' if found.exact['complete'] else ' of a sample'}",
        "planted": " ".join(f"{level}: {a}/{b}" for level, (a, b) in planted.items()) or "all pairs exact",
        "linclust_cpu": round(bare, 1), "split_cpu": round(split_seconds, 1),
        "audit_cpu": round(audit_seconds, 1), "exact": found.exact, "search": found.search,
    }  # fmt: skip


def search_memory(texts: list[str], kmer: int) -> dict[str, Any]:
    """Peak MB of MMseqs2's nucleotide search of a set against itself, and the pairs it finds."""
    column = normalised(pa.array(texts, pa.large_string()), alphabet="dna")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        create_database("q", column, rows=np.arange(len(texts)), alphabet="dna", folder=folder)
        words = "search q q hits tmp --search-type 3 --strand 2 --min-seq-id 0.9 -c 0.8 --cov-mode 0 -a 1"
        words += f" --max-seqs 300 -v 1 --threads 1 {f'-k {kmer}' if kmer else ''}"
        code = ("import resource, subprocess, sys\n"
                "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")  # fmt: skip
        command = ["python3", "-c", code, str(find_mmseqs().binary), *words.split()]
        start = cpu()
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        seconds = cpu() - start
        tsv = [str(find_mmseqs().binary), "convertalis", "q", "q", "hits", "hits.tsv", "--search-type", "3",
               "--format-output", "query,target", "-v", "1"]  # fmt: skip
        subprocess.run(tsv, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        lines = (folder / "hits.tsv").read_text().splitlines()
    pairs = {tuple(sorted(line.split("\t"))) for line in lines if len(set(line.split("\t"))) == 2}
    return {"-k": kmer or "MMseqs2's own", "peak_MB": int(done.stdout) // 1024, "pairs": len(pairs),
            "cpu": round(seconds, 1)}  # fmt: skip


def row(values: dict[str, Any], columns: tuple[str, ...]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(str(values[column]) for column in columns) + " |"


def main() -> None:
    """Measures every data set and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", "--json", type=Path, default=Path("split_leakage.json"))
    parser.add_argument("--rows", type=int, default=0, help="rows sampled of each data set, 0 for all")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    parser.add_argument("--only", default="", help="data sets whose name has this in it")
    parser.add_argument("--default-kmer", action="store_true", help="also MMseqs2's own k: takes 8 GB")
    options = parser.parse_args()
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("SEQLOOM_REAL_DATA", default))
    results = []
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for name, (alphabet, settings, read) in data_sets(data).items():
        if options.only not in name:
            continue
        texts = [text for text in dict.fromkeys(read()) if text and (alphabet == "selfies" or text.isalpha())]
        if options.rows and len(texts) > options.rows:
            texts = random.Random(0).sample(texts, options.rows)
        found = measure(name, alphabet, settings, texts, available_threads(options.threads))
        results.append(found)
        print(row(found, COLUMNS), flush=True)
    genes = list(fasta(data / "cds" / "ecoli_CP033092_genes.fasta.gz"))
    memory = []
    print("\n| -k | peak_MB | pairs | cpu |\n|---|---|---|---|", flush=True)
    for kmer in (11, 12, 13, *([0] if options.default_kmer else [])):
        memory.append(search_memory(genes, kmer))
        print(row(memory[-1], ("-k", "peak_MB", "pairs", "cpu")), flush=True)
    found = {"mmseqs": find_mmseqs().version, "results": results, "search_memory": memory}
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
