"""Source names such as `refseq:viral` as inputs of `embed`, `score`, `eval sequences`; a played archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from biodata.build import BuildConfig, build_dataset
from biodata.errors import ConfigError, FetchError
from biodata.ingest import ReadConfig
from bioeval.backends import ScoreSettings
from bioeval.records.embedding import EmbedConfig, embed_file
from bioeval.records.inputs import InputConfig, Records
from bioeval.records.scoring import ScoreConfig, score_file
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences
from tests.archive_layouts import refseq_release, uniref_release
from tests.archive_server import ArchiveServer
from tests.biodata.test_uniref import fasta_of

RNG = np.random.default_rng(0)
CONTIGS = {f"NC_{n}.1": "".join(RNG.choice(list("ACGT"), 150)) for n in range(12)}
UNIREF = fasta_of(8)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """An archive whose files go to a cache of this test."""
    halves = [list(CONTIGS.items())[part] for part in (slice(7), slice(7, None))]
    files = {
        f"plasmid.{n}.1.genomic.fna": "".join(f">{name}\n{s}\n" for name, s in half).encode()
        for n, half in enumerate(halves, 1)
    }
    with ArchiveServer(
        refseq_release({"plasmid": files}) | uniref_release(50, {"uniref50.fasta": UNIREF.encode()})
    ) as running:
        monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("SEQLOOM_MIRRORS", running.mirror_variable)
        monkeypatch.chdir(tmp_path)
        yield running


def read(name: str) -> InputConfig:
    return InputConfig(inputs=(name,))


def test_embed_and_score_take_a_source(server: ArchiveServer, gpt2: Path, tmp_path: Path) -> None:
    said = embed_file(EmbedConfig(model="kmer", read=read("refseq:plasmid"), out=tmp_path / "k.parquet"))
    assert said["n"] == 12 and said["alphabet"] == "dna" and said["dropped"] == {}
    table = pq.read_table(tmp_path / "k.parquet")
    assert table["id"].to_pylist() == list(CONTIGS)
    shares = [row[:4] for row in table["embedding"].to_pylist()]
    assert shares == pytest.approx(np.array([[s.count(x) / 150 for x in "ACGT"] for s in CONTIGS.values()]))
    asked = len(server.asked)
    settings = ScoreSettings(device="cpu")
    out = tmp_path / "s.csv"
    found = score_file(ScoreConfig(model=str(gpt2), read=read("refseq:plasmid"), scores=settings, out=out))
    assert found["n"] == 12 and len(server.asked) == asked  # fetched once
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == list(CONTIGS)


def test_the_source_says_what_its_sequences_are(server: ArchiveServer, tmp_path: Path) -> None:
    said = embed_file(EmbedConfig(model="kmer", read=read("uniref:50"), out=tmp_path / "k.npz"))
    assert (said["n"], said["alphabet"], said["dimensions"]) == (8, "protein", 22 + 22**2 + 1)


def test_the_cache_is_that_of_data_build(server: ArchiveServer, tmp_path: Path) -> None:
    build_dataset(BuildConfig(read=ReadConfig(inputs=("uniref:50",), alphabet="protein")), tmp_path / "set")
    asked = len(server.asked)
    assert sum(len(ids) for ids, _ in Records(read("uniref:50")).pieces()) == 8
    assert len(server.asked) == asked


def test_sequences_are_compared_with_a_source(server: ArchiveServer, tmp_path: Path) -> None:
    generated = tmp_path / "g.fa"
    generated.write_text("".join(f">{n}\n{s[::-1]}\n" for n, s in CONTIGS.items()))
    name, found = Path("refseq:plasmid"), []
    for out in ("a", "b"):
        settings = SequencesConfig(
            generated=generated, reference=name, train=name, metrics=("kmer", "nearest"), kmers=(1, 2),
            resamples=20, persistence_resamples=20, max_sequences=5, out=tmp_path / out,
        )  # fmt: skip
        found.append(evaluate_sequences(settings))
    assert found[0] == found[1]
    made = json.loads((tmp_path / "a" / "results.json").read_text())
    assert made["found"] == {"generated": 12, "reference": 12, "train": 12}
    assert (made["n_reference"], made["n_train"], made["coding"]) == (5, 12, False)
    assert made["inputs"]["reference"]["name"] == "refseq-plasmid-genomic.fna"
    assert str(tmp_path) not in json.dumps(made)


def test_proteins_of_a_source_are_told(server: ArchiveServer, tmp_path: Path) -> None:
    name = Path("uniref:50")
    made = evaluate_sequences(
        SequencesConfig(generated=name, reference=name, metrics=("kmer",), kmers=(1,), resamples=20,
                        persistence_resamples=20, out=tmp_path / "out")
    )  # fmt: skip
    assert made["n_reference"] == 8 and made["metrics"]["kmer_kl_k1"]["value"] == 0


def test_a_wrong_name_is_one_line(server: ArchiveServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="refseq has no part 'plasmids', did you mean 'plasmid'"):
        Records(read("refseq:plasmids"))
    settings = SequencesConfig(generated=Path("refsek:viral"), reference=Path("x.fa"), out=tmp_path / "out")
    with pytest.raises(ConfigError, match="unknown source 'refsek', did you mean 'refseq'"):
        evaluate_sequences(settings)
    with pytest.raises(FetchError):
        Records(read("refseq:viral"))
    asked = len(server.asked)
    with pytest.raises(ConfigError, match="split = 'test', but refseq:plasmid is no dataset folder"):
        Records(InputConfig(inputs=("refseq:plasmid",), split="test"))
    assert len(server.asked) == asked  # told before anything is fetched
