"""Writes simulated genes as archives publish them: a GenBank flat file, a CDS FASTA, a table of labels."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqIO import write as write_records
from Bio.SeqRecord import SeqRecord

from biodata.codon import translate
from biodata.files import atomic_path, write_json, write_text
from biodata.simulate.families import Gene, SimulateConfig, planted_property, simulate_families
from biodata.simulate.species import Species, get_species

DEFECTS = {
    "inner-stop": 6,
    "partial-codon": 5,
    "duplicate": 8,
    "lower-case": 7,
    "ambiguous": 4,
}
"""Defective records planted in the FASTA file, by kind."""
PSEUDO = 3
"""Genes marked `/pseudo` in the GenBank file."""


def simulate_archive(config: SimulateConfig, out: Path) -> dict[str, object]:
    """Writes `genomes.gbff.gz`, `genes.fna.gz`, `property.csv` and `truth.json` into a folder.

    Every fifth gene of a species goes to the FASTA file, the others onto a chromosome, on both strands, some
    of them in two exons. Equal configs give equal bytes.

    Returns:
        The content of `truth.json`: families, property ceiling, planted defects.
    """
    genes = simulate_families(config)
    observed, signal = planted_property(genes, noise=config.noise, seed=config.seed)
    rng = np.random.default_rng([config.seed, 2_000_003])
    loose = [gene for i, gene in enumerate(genes) if i % 5 == 4]
    placed = [gene for i, gene in enumerate(genes) if i % 5 != 4]
    records = [_chromosome(get_species(name), [g for g in placed if g.species == name], rng)
               for name in config.species]  # fmt: skip
    text = io.StringIO()
    write_records(records, text, "genbank")
    _write_gzip(out / "genomes.gbff.gz", text.getvalue())
    _write_gzip(out / "genes.fna.gz", _fasta(loose, rng))
    rows = "".join(f"{gene.id},{value:.6f}\n" for gene, value in zip(genes, observed))
    write_text(out / "property.csv", "id,stability\n" + rows)
    truth = {
        "genes": len(genes),
        "families": {gene.id: gene.family for gene in genes},
        "signal": {gene.id: round(float(s), 6) for gene, s in zip(genes, signal)},
        "best_possible_spearman": round(_spearman(observed, signal), 4),
        "planted": {**DEFECTS, "pseudo": PSEUDO},
    }
    write_json(out / "truth.json", truth)
    return truth


def _chromosome(species: Species, genes: Sequence[Gene], rng: np.random.Generator) -> SeqRecord:
    parts: list[str] = []
    features: list[SeqFeature] = []
    position = 0
    for number, gene in enumerate(genes):
        spacer = _random_dna(int(rng.integers(40, 160)), species.gc, rng)
        block, exons = _exons(gene.sequence, species.gc, rng) if rng.random() < 0.2 else (gene.sequence, None)
        reverse = rng.random() < 0.5
        parts += [spacer, str(Seq(block).reverse_complement()) if reverse else block]
        start = position + len(spacer)
        position = start + len(block)
        features.append(_cds(gene, start, len(block), exons, reverse, pseudo=number < _pseudo_quota(genes)))
    record = SeqRecord(Seq("".join(parts)), id=f"SIM{species.taxon_id}.1", name=f"SIM{species.taxon_id}")
    record.description = f"Simulated chromosome under the codon usage of {species.name}"
    record.annotations.update(
        molecule_type="DNA", organism=species.name, date="01-JAN-2025", topology="linear"
    )
    source = SeqFeature(SimpleLocation(0, len(record), 1), type="source")
    source.qualifiers.update(organism=[species.name], db_xref=[f"taxon:{species.taxon_id}"])
    record.features = [source, *features]
    return record


def _pseudo_quota(genes: Sequence[Gene]) -> int:
    return PSEUDO if genes and genes[0].family == 0 else 0


def _exons(sequence: str, gc: float, rng: np.random.Generator) -> tuple[str, tuple[int, int]]:
    cut = int(rng.integers(10, len(sequence) - 10))
    intron = "GT" + _random_dna(int(rng.integers(30, 90)), gc, rng) + "AG"
    return sequence[:cut] + intron + sequence[cut:], (cut, cut + len(intron))


def _cds(
    gene: Gene, start: int, length: int, exons: tuple[int, int] | None, reverse: bool, *, pseudo: bool
) -> SeqFeature:
    ends = [(0, length)] if exons is None else [(0, exons[0]), (exons[1], length)]
    if reverse:
        ends = [(length - b, length - a) for a, b in ends]
    strand = -1 if reverse else 1
    pieces = [SimpleLocation(start + a, start + b, strand) for a, b in ends]
    location = pieces[0] if len(pieces) == 1 else CompoundLocation(pieces)
    feature = SeqFeature(location, type="CDS")
    feature.qualifiers.update(
        locus_tag=[gene.id], protein_id=[gene.id], product=[f"simulated protein of family {gene.family}"],
        codon_start=["1"], transl_table=["1"],
    )  # fmt: skip
    if pseudo:
        feature.qualifiers["pseudo"] = [""]
    else:
        feature.qualifiers["translation"] = [translate(gene.sequence).rstrip("*")]
    return feature


def _fasta(genes: Sequence[Gene], rng: np.random.Generator) -> str:
    lines = []
    soft_masked = set(rng.choice(len(genes), size=min(DEFECTS["lower-case"], len(genes)), replace=False))
    for i, gene in enumerate(genes):
        sequence = gene.sequence
        if i in soft_masked:
            sequence = sequence[:30] + sequence[30:60].lower() + sequence[60:]
        lines.append(_entry(gene.id, f"{gene.species} simulated gene of family {gene.family}", sequence))
    lines += [_entry(name, "planted defect", s) for name, s in _defects(genes, rng)]
    return "".join(lines)


def _defects(genes: Sequence[Gene], rng: np.random.Generator) -> list[tuple[str, str]]:
    kinds = ("inner-stop", "partial-codon", "duplicate", "ambiguous")
    found = []
    for kind in kinds:
        for number in range(DEFECTS[kind]):
            gene = genes[int(rng.integers(len(genes)))]
            found.append((f"DEFECT_{kind}_{number}", _spoil(gene.sequence, kind, number)))
    return found


def _spoil(sequence: str, kind: str, number: int) -> str:
    cut = 30 + 3 * number
    if kind == "inner-stop":
        return sequence[:cut] + "TAA" + sequence[cut + 3 :]
    if kind == "partial-codon":
        return sequence[:cut] + "A" + sequence[cut:]
    if kind == "ambiguous":
        return sequence[:cut] + "NNR" + sequence[cut + 3 :]
    return sequence


def _entry(name: str, description: str, sequence: str) -> str:
    lines = "\n".join(sequence[i : i + 60] for i in range(0, len(sequence), 60))
    return f">{name} {description}\n{lines}\n"


def _random_dna(length: int, gc: float, rng: np.random.Generator) -> str:
    weights = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    return "".join(np.array(list("ACGT"))[rng.choice(4, size=length, p=weights)])


def _write_gzip(path: Path, text: str) -> None:
    # no time in the gzip header, so that equal content means equal bytes
    with atomic_path(path) as part:
        part.write_bytes(gzip.compress(text.encode(), mtime=0))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks_a, ranks_b = (np.argsort(np.argsort(x)).astype(float) for x in (a, b))
    return float(np.corrcoef(ranks_a, ranks_b)[0, 1])
