"""Second readings: right letters, right places, and never in another split than their row."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from biodata.build import BuildConfig, build_dataset
from biodata.configs import from_dict
from biodata.curate.reverse import Readings, check_kind, other_reading, plan_readings
from biodata.dataset import open_dataset
from biodata.errors import ConfigError
from biodata.schema import SCHEMA, SPLITS, BioSequence, Feature, table_from_records
from biodata.splits.verify import verify_dataset


@given(st.text(alphabet="ACGTRYSWKMBDHVN", max_size=50))
def test_reverse_complements_are_biopythons(text: str) -> None:
    assert other_reading(text, "reverse-complement", "dna") == str(Seq(text).reverse_complement())
    rna = text.replace("T", "U")
    assert other_reading(rna, "reverse-complement", "rna") == str(Seq(rna).reverse_complement_rna())
    assert other_reading(other_reading(text, "reversed", "protein"), "reversed", "protein") == text


def test_places_and_features_are_turned() -> None:
    gene = Feature(type="gene", start=1, end=4, strand=1, attributes={"location": "2..4", "gene": "g"})
    records = [
        BioSequence(
            id="w",
            sequence="AACCGT",
            alphabet="dna",
            parent="p",
            start=10,
            end=16,
            strand=1,
            features=(gene,),
        ),
        BioSequence(id="x", sequence="AAAC", alphabet="dna", text="said"),
    ]
    readings = Readings("reverse-complement", "dna", np.array([2, 2], np.int8))
    table = readings.expand(table_from_records(records), 0)
    assert table.schema.equals(SCHEMA)
    found = [BioSequence.from_row(row) for row in table.to_pylist()]
    assert [r.id for r in found] == ["w", "w:rc", "x", "x:rc"]
    turned, other = found[1], found[3]
    assert (turned.sequence, turned.parent, turned.start, turned.end, turned.strand) == (
        "ACGGTT",
        "p",
        10,
        16,
        -1,
    )
    assert turned.features == (Feature(type="gene", start=2, end=5, strand=-1, attributes={"gene": "g"}),)
    assert (other.parent, other.start, other.end, other.strand, other.text) == ("x", 0, 4, -1, "said")
    assert table["checksum"].to_pylist() == [r.checksum for r in found]
    only_second = Readings("reverse-complement", "dna", np.array([1, 1, 2], np.int8))
    assert only_second.expand(table_from_records(records[1:]), 2).num_rows == 2


def test_what_is_there_is_not_added_twice(tmp_path: Path) -> None:
    texts = ["AACC", "GGTT", "ACGT", "AAAA"]  # the second is the first's complement, the third its own
    records = [BioSequence(id=str(i), sequence=text, alphabet="dna") for i, text in enumerate(texts)]
    pq.write_table(table_from_records(records), tmp_path / "stage.parquet")
    readings = plan_readings([tmp_path / "stage.parquet"], "reverse-complement", alphabet="dna")
    assert readings.copies.tolist() == [1, 1, 1, 2]
    assert readings.counts() == {"reading-added": 1, "reading-there": 3}


def test_readings_that_make_no_sense() -> None:
    for kind, alphabet in (("reverse-complement", "protein"), ("reversed", "dna")):
        with pytest.raises(ConfigError, match="augment is"):
            from_dict(BuildConfig, {"read": {"alphabet": alphabet}, "curate": {"augment": kind}})
    check_kind("none", "selfies")


@pytest.mark.parametrize(
    ("alphabet", "letters", "kind", "suffix"),
    [("dna", "ACGT", "reverse-complement", ":rc"), ("rna", "ACGU", "reverse-complement", ":rc"),
     ("protein", "ACDEFGHIKLMNPQRSTVWY", "reversed", ":reversed")],
)  # fmt: skip
def test_they_stay_in_their_split(
    tmp_path: Path, alphabet: str, letters: str, kind: Any, suffix: str
) -> None:
    rng = random.Random(5)
    texts = ["".join(rng.choices(letters, k=150)) for _ in range(40)]
    if alphabet == "rna":  # on one strand only these two are unlike, but their readings are not
        texts.append(other_reading(texts[0], "reverse-complement", "rna"))
        texts[-1] = texts[-1][:70] + "A" + texts[-1][71:]
    path = tmp_path / "x.fa"
    path.write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts)))
    config = from_dict(BuildConfig, {
        "read": {"inputs": [str(path)], "alphabet": alphabet}, "curate": {"augment": kind},
        "split": {"threads": 1, "exact_effort": 1},
    })  # fmt: skip
    out = tmp_path / "out"
    result = build_dataset(config, out)
    dataset = open_dataset(out)
    home, rows = {}, []
    for split in SPLITS:
        rows = dataset.table(split).to_pylist()
        assert len(rows) == result["splits"][split]
        for row, second in zip(rows[::2], rows[1::2]):
            assert second["id"] == row["id"] + suffix and second["cluster"] == row["cluster"]
            assert second["sequence"] == other_reading(row["sequence"], kind, alphabet)
            home[row["id"]] = split
    labels = [x["labels"] for x in rows[1::2]]
    assert kind != "reversed" or labels[0] == [{"name": "direction", "value": None, "text": "C>N"}]
    assert result["rows"] == 2 * len(home)
    assert dataset.manifest["changed"]["reading-added"] == len(texts)
    assert alphabet != "rna" or len({home[x] for x in ("s0", "s40") if x in home}) == 1
    found = verify_dataset(out, threads=1, effort=1)
    assert found["ok"], found["problems"]
    assert pa.concat_tables([dataset.table(s) for s in SPLITS]).num_rows == result["rows"]
