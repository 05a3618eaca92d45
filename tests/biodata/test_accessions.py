"""Records that several files hold, against a dictionary."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa

from biodata.curate.accessions import Accessions, accession_column
from biodata.curate.rules import RuleLog
from biodata.schema import BioSequence, table_from_records


def test_first_file_keeps_its_rows_whatever_the_batches_and_the_memory(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = [
        (f"file-{number // 500}", rng.choice([None, f"NC_{rng.randrange(900)}.1"])) for number in range(3000)
    ]
    owner: dict[str, str] = {}
    expected = [name is not None and owner.setdefault(name, file) != file for file, name in rows]
    log, found = RuleLog(), []
    seen = Accessions(tmp_path, memory_rows=50)
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        ids = [str(start + i) for i in range(len(part))]
        accession = pa.array([name for _, name in part], pa.string())
        batch = pa.record_batch({"id": ids, "line": list(range(len(part))), "accession": accession})
        found += seen.repeated(batch, part[0][0], log).tolist()
    seen.close()
    assert found == expected and sum(expected) > 100
    listed = log.table()
    assert listed["id"].to_pylist() == [str(i) for i, gone in enumerate(expected) if gone]
    details = [f"the record is in {owner[str(rows[i][1])]}" for i, gone in enumerate(expected) if gone]
    assert listed["detail"].to_pylist() == details
    assert list(tmp_path.iterdir()) == []


def test_rows_that_were_cut_count_for_their_record() -> None:
    rows = [
        BioSequence(id="WP_1.1", sequence="ATG", alphabet="dna", parent="NC_1.1", start=0, end=3, strand=1),
        BioSequence(id="NC_2.1", sequence="ATG", alphabet="dna"),
    ]
    batch = table_from_records(rows).to_batches()[0]
    assert accession_column(batch, "genbank").to_pylist() == ["genbank NC_1.1", "genbank NC_2.1"]
