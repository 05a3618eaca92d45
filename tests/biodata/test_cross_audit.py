import csv
import gzip
import random
import re
from pathlib import Path

import edlib
import pyarrow.parquet as pq
import pytest

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError, DataError
from biodata.splits.cross_audit import audit_against


def mutated(text: str, share: float, rng: random.Random, letters: str) -> str:
    new = list(text)
    for at in rng.sample(range(len(text)), int(share * len(text))):
        new[at] = rng.choice(letters.replace(new[at], ""))
    return "".join(new)


def write_fasta(path: Path, texts: list[str], name: str) -> Path:
    path.write_text("".join(f">{name}{at}\n{text}\n" for at, text in enumerate(texts)))
    return path


def test_genes_planted_in_chromosomes_are_found_on_both_strands(tmp_path: Path) -> None:
    rng = random.Random(1)
    chromosomes = ["".join(rng.choices("ACGT", k=60_000)) for _ in range(2)]
    tests = []
    for at in range(40):
        chromosome, start = chromosomes[at % 2], rng.randrange(50_000)
        text = mutated(
            chromosome[start : start + rng.choice((60, 300, 900))],
            (0.1, 0.08, 0.05, 0.01)[at % 4],
            rng,
            "ACGT",
        )
        tests.append(reverse_complement(text) if at % 3 else text)
    foreign = ["".join(rng.choices("ACGT", k=300)) for _ in range(20)]
    train = write_fasta(tmp_path / "train.fa", chromosomes, "chr")
    test = write_fasta(tmp_path / "test.fa", tests + foreign, "t")
    listing = tmp_path / "pairs.parquet"
    result = audit_against(test, train, alphabet="dna", effort=2, threads=1, listing=listing)
    found = result["audit"]
    assert not result["ok"] and "test rows" in result["problems"][0]
    assert found["leaking_rows"] == 40 and found["train_rows"] == 2 and found["test_rows"] == 60
    assert found["exact"]["queries"] > 10
    pairs = pq.read_table(listing).to_pylist()
    assert {(row["test_id"], row["train_id"]) for row in pairs} == {
        (f"t{at}", f"chr{at % 2}") for at in range(40)
    }


def test_an_unrelated_set_is_clean_and_long_rows_are_taken_in_pieces(tmp_path: Path) -> None:
    rng = random.Random(2)
    train = ["".join(rng.choices("ACGT", k=30_000)) for _ in range(3)]
    clean = ["".join(rng.choices("ACGT", k=9_000)), "".join(rng.choices("ACGT", k=40))]
    seen = mutated(train[1][5_000:15_000], 0.03, rng, "ACGT")
    half = seen[:4_000] + "".join(rng.choices("ACGT", k=6_000))
    source = write_fasta(tmp_path / "train.fa", train, "c")
    ok = audit_against(write_fasta(tmp_path / "a.fa", [*clean, half], "a"), source, alphabet="dna", effort=1)
    assert ok["ok"] and ok["audit"]["leaking_rows"] == 0
    bad = audit_against(write_fasta(tmp_path / "b.fa", [seen], "b"), source, alphabet="dna", effort=1)
    assert bad["audit"]["leaking_rows"] == 1


def test_short_peptides_by_their_split(real_data: Path, tmp_path: Path) -> None:
    with gzip.open(real_data / "tcr" / "tcrdb_PRJNA298417.tsv.gz", "rt") as handle:
        texts = list(dict.fromkeys(row["AASeq"] for row in csv.DictReader(handle, delimiter="\t")))
    texts = [text for text in texts if text.isalpha()][:1500]
    train, test = texts[:1300], texts[1300:]
    table = tmp_path / "t.csv"
    table.write_text(
        "sequence,split\n" + "".join(f"{t},train\n" for t in train) + "".join(f"{t},test\n" for t in test)
    )
    expected = 0
    for text in test:  # every pair, by edlib alone
        most = int((1 - 0.9) / 0.9 * len(text) + 1e-9)
        best = min(edlib.align(text, other, mode="HW")["editDistance"] for other in train)
        expected += best <= most and 1 - best / len(text) >= 0.9 - 1e-9
    found = audit_against(table, table, alphabet="protein", effort=0, threads=1)
    assert found["audit"]["leaking_rows"] == expected > 0
    assert found["audit"]["train_rows"] == 1300


def test_one_line_for_what_cannot_be_compared(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "a.fa", ["ACGT" * 30], "a")
    with pytest.raises(ConfigError, match="say what they hold with alphabet"):
        audit_against(fasta, fasta)
    with pytest.raises(
        ConfigError, match="alphabet is 'nucleotide', allowed for two sets: dna, rna, protein"
    ):
        audit_against(fasta, fasta, alphabet="nucleotide")
    (tmp_path / "x.csv").write_text("sequence,split\nACGT,train\n")
    with pytest.raises(DataError, match="no row of the split 'test'"):
        audit_against(tmp_path / "x.csv", fasta, alphabet="dna")


def test_molecules_are_compared_as_wholes_whatever_they_are_written_in(tmp_path: Path) -> None:
    chain = "[C][C][O][C][N][C][C][S][C][F]"
    train = [chain, chain.replace("[F]", "[Cl]") * 2, "[C][=O]"]
    tests = [chain.replace("[S]", "[P]"), "[C][C][O]", "[I][I][I][I]"]
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.csv").write_text(
        "id,selfies\n" + "".join(f"m{i},{t}\n" for i, t in enumerate(train))
    )
    (tmp_path / "test.csv").write_text("name,SELFIES\n" + "".join(f"t{i},{t}\n" for i, t in enumerate(tests)))
    listing = tmp_path / "pairs.parquet"
    found = audit_against(tmp_path / "test.csv", tmp_path / "train", alphabet="selfies", listing=listing)
    assert found["problems"] == ["1 of 3 test rows (33.3%) are at least 90% identical to a training molecule"]
    assert pq.read_table(listing).to_pylist() == [{"test_id": "t0", "train_id": "m0", "identity": 0.9}]
    (tmp_path / "test.smi").write_text("CCO ethanol\nCCCCCCCCCC decane\n")
    (tmp_path / "train.csv").write_text("smiles,split\nOCC,train\nCCO,train\nC(C,train\nCCO,test\n")
    found = audit_against(tmp_path / "test.smi", tmp_path / "train.csv", alphabet="selfies")["audit"]
    assert (found["leaking_rows"], found["identical_rows"], found["test_rows"]) == (1, 1, 2)
    assert (found["train_rows"], found["train_rows_empty"]) == (3, 1)


def test_every_pair_of_real_molecules(real_data: Path, tmp_path: Path) -> None:
    selfies = pytest.importorskip("selfies", reason="selfies is not installed: pip install selfies")
    with gzip.open(real_data / "smiles" / "selfies_esol.csv.gz", "rt") as handle:
        smiles = [row["smiles"].strip() for row in csv.DictReader(handle)]
    smiles = [text for text in smiles if "N" not in text and "P" not in text][:400]
    tokens = [list(selfies.split_selfies(selfies.encoder(text))) for text in smiles]
    train, tests = tokens[:300], tokens[300:]
    expected = 0
    for test in tests:  # edlib aligns lists of tokens as they are
        expected += any(edlib_identity(test, other) >= 0.8 - 1e-9 for other in train)
    paths = []
    for name, part in (("train", smiles[:300]), ("test", smiles[300:])):
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("smiles\n" + "\n".join(part) + "\n")
    found = audit_against(paths[1], paths[0], alphabet="selfies", identity=0.8)
    assert found["audit"]["leaking_rows"] == expected > 5
    assert found["audit"]["exact"]["pairs"] == 300 * 100


def edlib_identity(a: list[str], b: list[str]) -> float:
    """Matches / columns of the shorter inside the longer, 0 below 0.8 of the longer."""
    short, long = sorted((a, b), key=len)
    if not short:
        return 0.0
    letter = {token: chr(40 + at) for at, token in enumerate(sorted({*a, *b}))}
    found = edlib.align(*("".join(map(letter.__getitem__, x)) for x in (short, long)), mode="HW", task="path")
    counts = {kind: sum(map(int, re.findall(rf"(\d+){kind}", found["cigar"]))) for kind in "=XID"}
    columns = sum(counts.values())
    return counts["="] / columns if columns - counts["I"] >= 0.8 * len(long) - 1e-9 else 0.0
