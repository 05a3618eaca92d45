"""What is mutated: small files of every format, made here, and the beginnings of real files."""

from __future__ import annotations

import csv
import io
import json
import os
import zlib
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import SeqloomError
from biodata.io import READERS
from biodata.io.detect import detect_format
from biodata.io.streams import open_binary
from biodata.schema import BioSequence, Feature, table_from_records

Seed = tuple[str, str, bytes]
"""Format, name, plain content."""

_HEAD = 24_000  # bytes of a real file that are kept
_MOST_PER_FORMAT = 24

GENBANK = b"""\
LOCUS       XX000001                 120 bp    DNA     circular BCT 01-JAN-2020
DEFINITION  Made plasmid, complete
            sequence.
ACCESSION   XX000001
VERSION     XX000001.1
KEYWORDS    .
SOURCE      Escherichia coli
  ORGANISM  Escherichia coli
            Bacteria; Pseudomonadota; Gammaproteobacteria.
REFERENCE   1  (bases 1 to 120)
  AUTHORS   Nobody,N.
  PUBMED    12345678
FEATURES             Location/Qualifiers
     source          1..120
                     /organism="Escherichia coli"
                     /mol_type="genomic DNA"
                     /db_xref="taxon:562"
     gene            complement(join(110..120,1..7))
                     /gene="abcA"
     CDS             13..48
                     /gene="abcB"
                     /codon_start=1
                     /transl_table=11
                     /product="a ""quoted"" product that is written on
                     two lines"
                     /pseudo
                     /db_xref="GI:1"
                     /db_xref="GeneID:2"
                     /translation="MKKLLAAAAAG"
     misc_feature    order(50..60,J00194.1:100..202,70^71)
                     /note="x"
ORIGIN
        1 acgtacgtac gtatgaaaaa acttctagca gctgcggctg caggttaagt acgtacgtac
       61 acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt
//
"""
EMBL = b"""\
ID   X00001; SV 1; linear; genomic DNA; STD; PRO; 60 BP.
AC   X00001;
DT   01-JAN-1990 (Rel. 1, Created)
DE   made sequence
OS   Escherichia coli
OC   Bacteria; Pseudomonadota.
FH   Key             Location/Qualifiers
FT   source          1..60
FT                   /organism="Escherichia coli"
FT                   /db_xref="taxon:562"
FT   CDS             1..36
FT                   /product="x"
SQ   Sequence 60 BP; 18 A; 12 C; 15 G; 15 T; 0 other;
     atgaaaaaac ttctagcagc tgcggctgca ggttaagtac gtacgtacac gtacgtacgt        60
//
"""
UNIREF = (
    b">UniRef90_A0A8C0C0Z5 NADP-retinol dehydrogenase n=1 Tax=Buteo japonicus TaxID=224669 RepID=A0A8C0\n"
    b"MKKLLAAAAGMKKLLAAAAGMKV\n>UniRef50_Q1 n=2 odd n=3 Tax=x (y) RepID=Q1\nMKV\n"
)
UNIREF_XML = b"""\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<UniRef90 xmlns="http://uniprot.org/uniref" releaseDate="2020-01-01" version="2020_01">
<entry id="UniRef90_P1" updated="2020-01-01"><name>Cluster: Cytochrome c</name>
<property type="member count" value="2"/><property type="common taxon" value="Homo sapiens"/>
<property type="common taxon ID" value="9606"/>
<representativeMember><dbReference type="UniProtKB ID" id="CYC_HUMAN"><property type="isSeed" value="true"/>
</dbReference><sequence length="12" checksum="8EAB3B4B8E2E8B4D">MGDVEKGKKIFI</sequence></representativeMember>
<member><dbReference type="UniProtKB ID" id="CYC_PANTR"/></member></entry>
<entry id="UniRef90_P2" updated="2020-01-01"><name>Cluster: &lt;x&gt;</name>
<representativeMember><dbReference type="UniParc ID" id="UPI1"/><sequence length="3">MKV</sequence>
</representativeMember></entry>
</UniRef90>
"""
_CHAIN = "CAGGTGCAGCTGGTGCAGTCTGGGGCTGAGGTGAAGAAGCCTGGGGCCTGTGCGAGAGGCTGGGGCCAAGGGACC"
_AIRR = {
    "sequence_id": "r1", "sequence": _CHAIN, "rev_comp": "F", "productive": "T", "v_call": "IGHV1-2*01",
    "d_call": "", "j_call": "IGHJ4*01", "sequence_alignment": _CHAIN, "germline_alignment": _CHAIN,
    "junction": "TGTGCGAGAGGCTGG",
    "junction_aa": "CARGW", "locus": "IGH", "vj_in_frame": "T",
    "stop_codon": "F",
    "v_sequence_start": "1", "v_sequence_end": "50", "j_sequence_start": "60", "j_sequence_end": "75",
    "cdr3": "GCGAGAGGC", "cdr3_start": "55.0", "cdr3_end": "63.0", "fwr1": "CAGGTGCAG", "fwr1_start": "1",
    "fwr1_end": "9", "Redundancy": "2", "ANARCI_status": "no",
}  # fmt: skip


def _table(rows: list[dict[str, str]], separator: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _oas() -> bytes:
    text = io.StringIO()
    about = {"Run": "SRR1", "Species": "human", "Author": "A et al.", "Age": 33, "Chain": "Heavy"}
    csv.writer(text, lineterminator="\n").writerow([json.dumps(about)])
    return text.getvalue().encode() + _table([_AIRR, {**_AIRR, "sequence_id": "r2"}], ",")


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="snappy")
    return out.getvalue()


def _seqloom() -> bytes:
    feature = Feature(type="CDS", start=0, end=9, strand=1, attributes={"location": "1..9"})
    rows = [
        BioSequence(id=f"s{i}", sequence="ATGAAATAA" * i, alphabet="dna", features=(feature,)) for i in (1, 2)
    ]
    return _parquet(table_from_records(rows))


@lru_cache(maxsize=1)
def made() -> tuple[Seed, ...]:
    """A file of every format in `READERS`."""
    files = {
        "fasta": b">a first\nACGTACGTAC\nGTNNRY-acgt*\n>b\n\n> c third\nMKKLL\n;comment\nAUGGCU\n",
        "genbank": GENBANK + GENBANK.replace(b"XX000001", b"XX000002"),
        "embl": EMBL,
        "fastq": b"@r1 d\nACGTN\n+\nIIII!\n@r2\nAC\nGT\n+r2\nII\nII\n",
        "uniref": UNIREF,
        "uniref-xml": UNIREF_XML,
        "airr": _table([_AIRR, {**_AIRR, "sequence_id": "r2", "productive": "F"}], "\t"),
        "oas": _oas(),
        "table": b'id,sequence,stability,kind\na,ACGTACGT,1.5,x\nb,"ACGTAA",nan,"y, z"\nc,ACG,,\n',
        "tcrdb": b"RunId\tAASeq\tVregion\tDregion\tJregion\tcloneFraction\n"
        b"SRR1\tCASSLGTEAFF\tTRBV1\tUnknown\tTRBJ1\t0.1\n",
        "vdjdb": b"cdr3.alpha\tv.alpha\tj.alpha\tcdr3.beta\tv.beta\tj.beta\tspecies\tantigen.epitope\tmhc.a\n"
        b"CAVRDSNYQLIW\tTRAV3\tTRAJ33\tCASSLGTEAFF\tTRBV1\tTRBJ1-1\tHomoSapiens\tNLVPMVATV\tHLA-A*02:01\n",
        "smiles": b"smiles zinc_id\nCCO ZINC1\nc1ccccc1C(=O)O ZINC2\n[Na+].[Cl-] ZINC3\nC/C=C\\C ZINC4\n",
        "parquet": _parquet(pa.table({"id": ["a", "b"], "sequence": ["ACGT", None], "y": [1.5, None]})),
        "seqloom": _seqloom(),
    }
    missing = sorted(set(READERS) - set(files))
    if missing:
        raise AssertionError(f"no seed for the formats {', '.join(missing)}: add one to tests/fuzz/seeds.py")
    return tuple((kind, f"made.{kind}", data) for kind, data in files.items())


@lru_cache(maxsize=1)
def real() -> tuple[Seed, ...]:
    """The beginnings of real files, if there are any (see `real_data` in tests/conftest.py)."""
    folder = os.environ.get("SEQLOOM_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    found: dict[str, list[Seed]] = {}
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.suffix != ".md"]
    # in an order that mixes the folders and does not depend on where they are
    for path in sorted(paths, key=lambda p: zlib.crc32(p.name.encode())):
        try:
            kind = detect_format(path)
            if len(found.setdefault(kind, [])) < _MOST_PER_FORMAT:
                found[kind].append((kind, path.name, _head(path, kind)))
        except SeqloomError:
            continue
    return tuple(seed for kind in sorted(found) for seed in found[kind])


def _head(path: Path, kind: str) -> bytes:
    if kind in ("parquet", "seqloom"):
        return (
            path.read_bytes()
            if path.stat().st_size < 2 * _HEAD
            else _parquet(pq.read_table(path).slice(0, 50))
        )
    with open_binary(path) as stream:
        data = stream.read(8 * _HEAD)
    if kind == "uniref-xml":
        return data[: data.rfind(b"</entry>") + 8] + b"\n</UniRef90>\n" if len(data) == 8 * _HEAD else data
    if len(data) <= _HEAD:
        return data
    end = (
        data.find(b"\n//\n", _HEAD // 2) + 4
        if kind in ("genbank", "embl")
        else data.rfind(b"\n", 0, _HEAD) + 1
    )
    return data[: min(end, 4 * _HEAD)] if end > 4 else data[:_HEAD]
