"""Biosafety exclusion: what is taken for a virus, what passes, and that doubt excludes."""

from __future__ import annotations

import random
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from biodata.configs import from_dict
from biodata.curate.deny_search import find_denied, read_denied
from biodata.curate.exclusion import Evidence, Exclusion, exclusion_entry, exclusion_rules, origin_of
from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.curate.rules import RuleLog
from biodata.curate.taxonomy import Taxonomy
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint
from biodata.ingest import IngestResult, ReadConfig, ingest
from biodata.io.headers import label_column
from biodata.io.raw import RAW_SCHEMA
from biodata.mmseqs import normalised

PHAGE = "Viruses; Duplodnaviria; Heunggongvirae; Uroviricota; Caudoviricetes"
HERPES = "Viruses; Duplodnaviria; Heunggongvirae; Peploviricota; Herviviricetes; Herpesvirales"
OLD_PHAGE = "Viruses; dsDNA viruses, no RNA stage; Caudovirales; Siphoviridae"
TABLES = {"2026.1": "bdd6e55dc548e10deebef839862fb7c68c71661493d481a6b9572beedaa7c462"}
"""Version of the table of rules to the fingerprint of what it says; a new version is a new line here."""
ADENO = "Viruses; Varidnaviria; Bamfordvirae; Preplasmiviricota; Tectiliviricetes; Rowavirales; Adenoviridae"


def evidence(lineage: str = "", **more: str) -> Evidence:
    return Evidence(lineage=tuple(lineage.split("; ")) if lineage else (), **more)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        (evidence(PHAGE), "prokaryotic virus"),
        (evidence(OLD_PHAGE), "prokaryotic virus"),
        (evidence(PHAGE, host="Homo sapiens"), "prokaryotic virus"),  # isolated from a gut
        (evidence(HERPES), "virus"),
        (evidence(ADENO), "virus"),  # one class with phages, so the class does not count
        (evidence("Viruses; Riboviria; Orthornavirae; Lenarviricota; Leviviricetes"), "prokaryotic virus"),
        (evidence("Viruses; Riboviria; Orthornavirae; Lenarviricota; Miaviricetes; Narnaviridae"), "virus"),
        (evidence("Viruses; unclassified viruses", organism="Circular virus x"), "virus"),
        (evidence("Viruses; unclassified viruses", organism="Vibrio phage x"), "prokaryotic virus"),
        (evidence("Viruses", organism="Sputnik virophage"), "virus"),
        (evidence("Viruses; environmental samples", host="Escherichia coli O157"), "prokaryotic virus"),
        (evidence("Viruses; environmental samples", host="Sus scrofa"), "virus"),
        (evidence("Viroids; Pospiviroidae"), "virus"),
        (evidence(organism="Escherichia phage T4"), "prokaryotic virus"),
        (evidence(organism="Escherichia phage T4", host="Homo sapiens"), "virus"),
        (evidence(organism="Influenza A virus"), "virus"),
        (evidence(organism="HIV-1 isolate 7"), "virus"),
        (evidence(organism="Variola major"), "virus"),
        (evidence(division="VRL", organism="Some isolate"), "virus"),
        (evidence(division="PHG", organism="Some isolate"), "prokaryotic virus"),
        (evidence("Bacteria; Pseudomonadota"), "cellular"),
        (evidence("Eukaryota; Metazoa", division="VRL"), "virus"),  # contradiction: doubt excludes
        (evidence("Viruses; environmental samples", host="  "), "virus"),
        (evidence("Viruses; environmental samples", host="candidatus "), "virus"),
        (evidence(organism="Homo sapiens"), "cellular"),
        (evidence(division="BCT"), "cellular"),
        (evidence("other sequences; artificial sequences; vectors", organism="Cloning vector x"), "unknown"),
        (evidence(organism="synthetic construct", division="SYN"), "unknown"),
        (evidence(organism="marine sediment metagenome"), "unknown"),
        (evidence(organism="uncultured organism"), "unknown"),
        (evidence(organism="uncultured soil bacterium"), "cellular"),
        (evidence(organism="unclassified Bradyrhizobium"), "cellular"),
        (evidence(organism="unclassified Riboviria"), "virus"),
        (evidence(organism="viral metagenome"), "virus"),
        (evidence(organism="Myoviridae sp. ctKHS5"), "prokaryotic virus"),
        (evidence(receptor="TRB"), "cellular"),
        (evidence(receptor="IGHV3-23*01"), "cellular"),
        (evidence(receptor="TRNA"), "unknown"),
        (evidence(description="Ebola virus, complete genome"), "virus"),
        (evidence(description="NC_001416.1 Enterobacteria phage lambda"), "prokaryotic virus"),
        (evidence(description="contig 17"), "unknown"),
        (evidence(), "unknown"),
    ],
)
def test_origins(given: Evidence, origin: str) -> None:
    assert origin_of(given)[0] == origin


def test_more_hosts_and_rules() -> None:
    of_new_genus = evidence("Viruses; environmental samples", host="Candidatus Novibacter sp. 3")
    assert origin_of(of_new_genus)[0] == "virus"
    assert origin_of(of_new_genus, more_hosts=("Novibacter",))[0] == "prokaryotic virus"
    rules = exclusion_rules()
    assert rules.version and len(rules.sha256) == 64
    # no group that holds viruses of animals or plants may be let pass
    assert rules.names["viruses"].isdisjoint({"viruses", "herviviricetes", "tectiliviricetes", "riboviria",
                                              "monodnaviria", "varidnaviria", "lenarviricota"})  # fmt: skip


def test_the_table_has_a_new_version_with_every_change() -> None:
    """Manifests and checkpoints name the version: two tables of one version could not be told apart."""
    table = yaml.safe_load((files("biodata.curate") / "exclusion_rules.yaml").read_text())
    version, found = table.pop("version"), fingerprint(table)
    hint = f"raise `version` in exclusion_rules.yaml and add it here, with {found!r}"
    assert version in TABLES, f"the table says it is {version!r}, which is not recorded: {hint}"
    assert TABLES[version] == found, f"the table differs from the one of version {version!r}: {hint}"
    assert exclusion_rules().version == version


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    filled = [
        {"id": f"r{i}", "sequence": "ACGT", "description": "", "line": i + 1, **row}
        for i, row in enumerate(rows)
    ]
    labels = label_column([list(row.pop("labels", {}).items()) for row in filled])
    plain = pa.RecordBatch.from_pylist(
        filled, schema=pa.schema([f for f in RAW_SCHEMA if f.name != "labels"])
    )
    return plain.append_column(RAW_SCHEMA.field("labels"), labels)


ROWS = (
    {"labels": {"lineage": PHAGE}},
    {"labels": {"lineage": HERPES}},
    {"organism": "Homo sapiens", "taxon_id": 9606},
    {"description": "contig"},
    {"labels": {"lineage": "Bacteria; Yersinia"}, "organism": "Yersinia pestis CO92"},
)


def kept(policy: ExclusionPolicy, log: RuleLog) -> list[str]:
    return Exclusion(policy).apply(batch(*ROWS), log)["id"].to_pylist()


def test_organisms_in_descriptions_of_protein_files() -> None:
    said = (
        "OS=Homo sapiens OX=9606 GN=X",
        "x OS=Influenza A virus (A/x(H1N1)) OX=1",
        "x [Mus musculus]",
        "coat protein [Tobacco mosaic virus]",
        "x n=2 Tax=Vibrio phage ICP1 TaxID=979525 RepID=Y",
        "[4Fe-4S]",
    )
    rows = batch(*({"description": text} for text in said))
    assert Exclusion(ExclusionPolicy(exclude=True)).apply(rows, RuleLog())["id"].to_pylist() == [
        "r0",
        "r2",
        "r4",
    ]
    assert Exclusion(ExclusionPolicy(deny_taxa=("9606",))).apply(rows, RuleLog()).num_rows == 5


def test_doubt_excludes_and_everything_is_listed() -> None:
    log = RuleLog(file="x")
    assert kept(ExclusionPolicy(exclude=True), log) == ["r0", "r2", "r4"]
    assert log.as_dict()["dropped"] == {"excluded-unknown-organism": 1, "excluded-virus": 1}
    details = log.table()["detail"].to_pylist()
    assert "Herpesvirales" in details[0] and "unknown_organism keep" in details[1]
    assert log.table()["line"].to_pylist() == [2, 4]


def test_unknown_origin_kept_or_an_error() -> None:
    log = RuleLog(file="x.fa")
    assert kept(ExclusionPolicy(exclude=True, unknown_organism="keep"), log) == ["r0", "r2", "r3", "r4"]
    assert log.as_dict()["changed"] == {"unknown-organism-kept": 1}
    with pytest.raises(DataError, match=r"x\.fa:4: r3: no lineage, division or organism; own"):
        kept(ExclusionPolicy(exclude=True, unknown_organism="error"), log)


def test_deny_list_counts_without_exclusion() -> None:
    for denied in ("yersinia pestis", "Yersinia"):
        log = RuleLog(file="x")
        assert kept(ExclusionPolicy(deny_taxa=(denied, "9606")), log) == ["r0", "r1", "r3"]
        assert log.as_dict()["dropped"] == {"excluded-taxon": 2}
    assert kept(ExclusionPolicy(deny_taxa=("Yersin",)), RuleLog()) == ["r0", "r1", "r2", "r3", "r4"]


def write_taxonomy(folder: Path) -> Path:
    nodes = [
        (1, 1),
        (10239, 1),
        (131567, 1),
        (2, 131567),
        (629, 2),
        (632, 629),
        (2731619, 10239),
        (10292, 10239),
    ]
    names = {1: "root", 10239: "Viruses", 131567: "cellular organisms", 2: "Bacteria", 629: "Yersinia",
             632: "Yersinia pestis", 2731619: "Caudoviricetes", 10292: "Orthoherpesviridae"}  # fmt: skip
    (folder / "nodes.dmp").write_text("".join(f"{a}\t|\t{b}\t|\trank\t|\t\t|\n" for a, b in nodes))
    text = "".join(f"{n}\t|\t{name}\t|\t\t|\tscientific name\t|\n" for n, name in names.items())
    (folder / "names.dmp").write_text(text + '2\t|\t"eubacteria" <x>\t|\t\t|\tsynonym\t|\n')
    return folder


def test_taxonomy_gives_lineages_to_taxon_ids(tmp_path: Path) -> None:
    taxonomy = Taxonomy(write_taxonomy(tmp_path))
    assert [name for _, name in taxonomy.lineage(632)] == [
        "cellular organisms",
        "Bacteria",
        "Yersinia",
        "Yersinia pestis",
    ]
    assert taxonomy.lineage(1) == taxonomy.lineage(777) == taxonomy.lineage(10**7) == ()
    rows = batch(*({"taxon_id": n} for n in (632, 2731619, 10292, 777)))
    policy = ExclusionPolicy(exclude=True, taxonomy=tmp_path)
    log = RuleLog(file="x")
    assert Exclusion(policy).apply(rows, log)["id"].to_pylist() == ["r0", "r1"]
    denied = ExclusionPolicy(deny_taxa=("629",), taxonomy=tmp_path)
    assert Exclusion(denied).apply(rows, RuleLog())["id"].to_pylist() == ["r1", "r2", "r3"]
    (tmp_path / "names.dmp").write_text("no|dump\n")
    with pytest.raises(DataError, match="NCBI taxonomy dump"):
        Taxonomy(tmp_path)
    with pytest.raises(DataError, match=r"nodes\.dmp: no such file"):
        Taxonomy(tmp_path / "nowhere")


def test_molecules_have_no_windows_and_no_organism() -> None:
    for section, values in (("windows", {"window": 9}), ("complexity", {"low_complexity": "mask"}),
                            ("exclusion", {"deny_sequences": "x.fa"})):  # fmt: skip
        with pytest.raises(
            ConfigError, match=f"{next(iter(values))} .*'selfies', allowed: dna, rna, protein"
        ):
            from_dict(ReadConfig, {"alphabet": "selfies", section: values})
    assert not exclusion_entry(ExclusionPolicy(exclude=True), {}, None, alphabet="selfies")["enabled"]


def test_policies_and_the_entry() -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"unknown_organism": "maybe"},
        {"deny_identity": 0},
        {"deny_coverage": 2},
        {"deny_taxa": (" ",)},
    )
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ExclusionPolicy(**wrong)
    assert not ExclusionPolicy().active and ExclusionPolicy(deny_taxa=("9606",)).active
    entry = exclusion_entry(ExclusionPolicy(), {"excluded-similar": 2, "too-short": 1}, "00" * 32)
    assert (
        entry["excluded"] == {"excluded-similar": 2} and entry["deny_list"]["sequences_sha256"] == "00" * 32
    )


def read(tmp_path: Path, inputs: list[Path], **settings: Any) -> IngestResult:
    config = from_dict(ReadConfig, {"inputs": [str(path) for path in inputs], **settings})
    return ingest(config, tmp_path / "out")


def test_real_records(real_data: Path, tmp_path: Path) -> None:
    names = (
        "NC_005816.gb",
        "gbvrl1_start.seq",
        "influA_California.gbff",
        "iro.gb",
        "U87107.embl",
        "pBAD30.gb",
    )
    result = read(tmp_path, [real_data / "genbank" / name for name in names], exclusion={"exclude": True})
    assert result.rows == 2
    rows = pq.read_table(result.shards[0])
    assert rows["organism"].to_pylist() == ["Yersinia pestis biovar Microtus str. 91001", "Homo sapiens"]
    assert dict(result.rules["dropped"]) == {"excluded-unknown-organism": 2, "excluded-virus": 11}


def test_own_fasta_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "own.fa"
    path.write_text(">a\nACGTACGTAA\n>b x\nACGTTTTT\n")
    with pytest.raises(DataError, match=r"excluded-unknown-organism 2; first: a: .*unknown_organism keep"):
        read(tmp_path, [path], exclusion={"exclude": True})
    kept = read(tmp_path, [path], exclusion={"exclude": True, "unknown_organism": "keep"})
    assert kept.rows == 2 and kept.rules["changed"]["unknown-organism-kept"] == 2


# --- similarity


def dna(rng: random.Random, length: int) -> str:
    return "".join(rng.choices("ACGT", k=length))


def mutated(text: str, rate: float, rng: random.Random) -> str:
    return "".join(rng.choice("ACGT".replace(x, "")) if rng.random() < rate else x for x in text)


def rc(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def test_similar_rows_are_found_wherever_they_lie(tmp_path: Path) -> None:
    rng = random.Random(3)
    gene, toxin = dna(rng, 1500), dna(rng, 60)
    rows = [
        dna(rng, 2000),
        mutated(gene, 0.08, rng),
        dna(rng, 20_000)
        + rc(mutated(gene, 0.1, rng))
        + dna(rng, 17_000),  # within a long record, other strand
        mutated(gene, 0.4, rng),
        gene[200:900],  # a part of it
        dna(rng, 500) + gene[:300] + dna(rng, 500),  # less than half of the shorter one
        dna(rng, 300) + rc(toxin) + dna(rng, 300),  # holds a short one
        toxin[5:45],
        dna(rng, 50),
    ]
    path = tmp_path / "denied.fa"
    path.write_text(f">gene\n{gene}\n>toxin\n{toxin.lower()}\n")
    denied = read_denied(path, alphabet="dna")
    texts = normalised(pa.array(rows, pa.large_string()), alphabet="dna")
    found = find_denied(
        texts, denied, alphabet="dna", identity=0.8, coverage=0.5, workdir=tmp_path, threads=1
    )
    assert found == {1: "gene", 2: "gene", 4: "gene", 6: "toxin", 7: "toxin"}


def test_denied_proteins_and_bad_lists(tmp_path: Path) -> None:
    rng = random.Random(4)
    protein = "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=200))
    path = tmp_path / "denied.fa"
    path.write_text(f">p\n{protein}\n")
    texts = normalised(
        pa.array([protein[:150], "MKV" * 30, protein[3:20]], pa.large_string()), alphabet="protein"
    )
    denied = read_denied(path, alphabet="protein")
    found = find_denied(
        texts, denied, alphabet="protein", identity=0.8, coverage=0.5, workdir=tmp_path, threads=1
    )
    assert found == {0: "p", 2: "p"}
    with pytest.raises(DataError, match="denied sequence 'p': letters"):
        read_denied(path, alphabet="dna")
    path.write_text("")
    with pytest.raises(DataError, match="no sequence to deny"):
        read_denied(path, alphabet="dna")
