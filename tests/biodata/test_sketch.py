import gzip
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.alphabet import reverse_complement
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.similarity import sketch
from biodata.similarity.search import LONG
from biodata.similarity.sketch import (
    alike,
    bottom_sketch,
    estimated_identity,
    long_pairs,
    mash_distance,
    second_settings,
    sketch_settings,
)
from biodata.splits.audit import AuditSettings, audit
from biodata.splits.split import SplitConfig
from biodata.splits.verify import verify_dataset

BOTH = pytest.mark.parametrize("settings", [sketch_settings, second_settings])


def letters(rng: random.Random, length: int) -> str:
    return "".join(rng.choices("ACGT", k=length))


def substituted(rng: random.Random, text: str, rate: float) -> str:
    changed = list(text)
    for at in rng.sample(range(len(text)), int(rate * len(text))):
        changed[at] = rng.choice("ACGT".replace(changed[at], ""))
    return "".join(changed)


def column(*texts: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def found(texts: list[str], settings: Any = sketch_settings, **how: Any) -> list[tuple[int, int]]:
    chosen = settings(alphabet=how.pop("alphabet", "dna"), identity=0.9, coverage=0.8)
    hits = alike(long_pairs(column(*texts), chosen, **how).hits, chosen)
    return list(zip(hits.query.tolist(), hits.target.tolist()))


def write_fasta(path: Path, texts: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
    return path


def built(*inputs: Path, out: Path) -> tuple[dict[str, Any], dict[str, tuple[str, int]]]:
    """What a build returned, and split and cluster of every id."""
    result = build_dataset(
        BuildConfig(read=ReadConfig(inputs=tuple(map(str, inputs))), split=SplitConfig(threads=2)), out
    )
    table = pa.concat_tables([pq.read_table(path) for path in sorted((out / "data").glob("*.parquet"))])
    names = ("id", "split", "cluster")
    rows = zip(*(table[name].to_pylist() for name in names))
    return result, {name: (split, cluster) for name, split, cluster in rows}


def test_mash_distance_of_the_formula() -> None:
    # Of two sets of n k-mers with a share c in common, j = c / (2 - c), so that D = -ln(c) / k.
    for rate in (0.01, 0.05, 0.1):
        share = math.exp(-21 * rate)
        assert mash_distance(share / (2 - share), 21) == pytest.approx(rate)
    assert mash_distance(1.0, 21) == 0


@BOTH
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.09, 0.12])
def test_the_estimate_is_the_true_rate_of_substitution(settings: Any, rate: float) -> None:
    rng = random.Random(int(rate * 100))
    first = letters(rng, 50_000)
    other = substituted(rng, first, rate)
    how = settings(alphabet="dna", identity=0.9, coverage=0.8)
    a, b, c = (
        bottom_sketch(np.frombuffer(text.encode(), np.uint8), how)
        for text in (first, other, reverse_complement(other))
    )
    assert estimated_identity(a, b, how) == pytest.approx(1 - rate, abs=0.006)
    assert np.array_equal(b, c)


def test_a_sketch_is_the_smallest_hashes_of_all_k_mers_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = sketch_settings(alphabet="dna", identity=0.9, coverage=0.8)
    text = letters(random.Random(3), 30_000) + "N" + letters(random.Random(4), 30_000)
    data = np.frombuffer(text.encode(), np.uint8)
    whole = bottom_sketch(data, how)
    monkeypatch.setattr(sketch, "_CHUNK", 777)
    assert np.array_equal(bottom_sketch(data, how), whole)
    kmers = {text[at : at + 21] for at in range(len(text) - 20)}
    kmers = {min(kmer, reverse_complement(kmer)) for kmer in kmers if "N" not in kmer}
    everything = sketch.replace(how, size=100_000)
    assert len(bottom_sketch(data, everything)) == len(kmers)


@BOTH
def test_pairs_alike_are_found_on_both_strands_and_others_are_not(settings: Any) -> None:
    rng = random.Random(5)
    first = letters(rng, 60_000)
    texts = [
        letters(rng, 60_000),
        first,
        reverse_complement(substituted(rng, first, 0.1)),
        substituted(rng, first, 0.2),
        first[:40_000],  # its lengths do not allow the coverage
        letters(rng, 15_000) + substituted(rng, first[:45_000], 0.6),
        "N" * 60_000,
        "",
    ]
    assert found(texts, settings) == [(1, 2)]
    assert found(texts, settings, split=np.array([0, 0, 2, 1, 0, 1, 2, 0])) == [(1, 2)]
    assert found(texts, settings, split=np.array([0, 2, 2, 1, 0, 1, 2, 0])) == []
    assert found(texts, settings, split=np.array([0, -1, 2, 1, 0, 1, 2, 0])) == []
    assert found([text.replace("N", "") for text in texts[:2]], settings, alphabet="rna") == []


@BOTH
def test_no_pair_falls_between_aligned_and_sketched(settings: Any) -> None:
    rng = random.Random(6)
    text = letters(rng, LONG + 3000)
    near = [text, text[:LONG], text[: LONG - 3000]]
    assert found(near, settings) == [(0, 1), (0, 2)]  # 1 and 2 are aligned


def test_long_proteins_are_compared() -> None:
    rng = random.Random(7)
    first = "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=40_000))
    other = list(first)
    for at in rng.sample(range(40_000), 3000):
        other[at] = rng.choice("ACDEFGHIKLMNPQRSTVWY")
    stranger = "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=40_000))
    for settings in (sketch_settings, second_settings):
        assert found([stranger, first, "".join(other)], settings, alphabet="protein") == [(1, 2)]


def test_an_audit_finds_a_leak_of_long_rows(tmp_path: Path) -> None:
    rng = random.Random(8)
    first = letters(rng, 50_000)
    texts = column(first, letters(rng, 50_000), letters(rng, 300), substituted(rng, first, 0.08))
    split = np.array([0, 0, 1, 2], np.int8)
    result = audit(texts, split, alphabet="dna", settings=AuditSettings(threads=2), workdir=tmp_path)
    assert result.leaking_rows.tolist() == [3]
    assert result.max_identity == pytest.approx(0.92, abs=0.01)
    assert result.search["rows_compared_by_sketch"] == 3
    assert "more than 32,768 letters" in result.method


def test_short_and_long_rows_are_built_together(tmp_path: Path) -> None:
    rng = random.Random(9)
    texts = {f"s{at}": letters(rng, 300) for at in range(30)} | {
        f"u{at}": letters(rng, 40_000) for at in "ab"
    }
    first = letters(rng, 40_000)
    texts |= {"x": first, "y": substituted(rng, first, 0.05), "z": first[:31_000] + letters(rng, 1000)}
    out = tmp_path / "out"
    result, rows = built(write_fasta(tmp_path / "x.fa", texts), out=out)
    assert result["rows"] == 35
    assert len({rows[name] for name in "xyz"}) == 1
    assert result["repair"]["search"]["compared_by_sketch_above_length"] == LONG
    assert result["repair"]["search"]["rows_compared_by_sketch"] == 4
    assert verify_dataset(out)["ok"]


def test_whole_genomes_are_built(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "genome"
    names = ("B_henselae", "GCF_000005845.2_ASM584v2_genomic", "GCF_000008865.2")
    k12, o157, henselae = "NC_000913.3", "NC_002695.2", "NC_005956.1"
    result, rows = built(*(folder / f"{name}.fna.gz" for name in names), out=tmp_path / "out")
    assert result["audit"]["leaking_pairs"] == 0
    assert rows[k12] == rows[o157]
    assert rows[henselae][1] != rows[k12][1]
    assert verify_dataset(tmp_path / "out")["ok"]


def test_the_chromosomes_of_yeast_are_not_alike_but_two_strains_are(real_data: Path) -> None:
    texts: list[list[str]] = []
    names = ("GCF_000005845.2_ASM584v2_genomic.fna.gz", "GCF_000008865.2.fna.gz", "sacCer3.fa.gz")
    for name in names:
        with gzip.open(real_data / "genome" / name, "rt") as handle:
            for line in handle:
                texts.append([]) if line[0] == ">" else texts[-1].append(line.strip().upper())
    whole = column(*("".join(parts) for parts in texts))
    for settings in (sketch_settings, second_settings):
        how = settings(alphabet="dna", identity=0.9, coverage=0.8)
        hits = alike(long_pairs(whole, how).hits, how)
        assert (hits.query.tolist(), hits.target.tolist()) == ([0], [1])
        # average nucleotide identity of these strains is published as 97 to 98 %
        assert hits.identity[0] == pytest.approx(0.975, abs=0.01)
