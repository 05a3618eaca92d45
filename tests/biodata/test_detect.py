"""Formats by content, and files by name."""

from __future__ import annotations

import gzip

import pytest

from biodata.errors import ConfigError, DataError
from biodata.io.detect import UnknownFormatError, detect_format, expand_inputs

GENBANK = b"LOCUS       X 4 bp DNA linear SYN 01-JAN-2000\nORIGIN\n        1 acgt\n//\n"
EMBL = b"ID   X1; SV 1; linear; genomic DNA; STD; PRO; 4 BP.\nSQ   \n     acgt\n//\n"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b">a\nACGT\n", "fasta"),
        (b"\xef\xbb\xbf\r\n\r\n>a\r\nACGT", "fasta"),
        (b"; an old comment\n\n>a\nACGT\n", "fasta"),
        (b">LOCUS       is only a name\nACGT\n", "fasta"),
        (GENBANK, "genbank"),
        (b"GBVRL1.SEQ   Genetic Sequence Data Bank\n\n  72061 loci\n\n" + GENBANK, "genbank"),
        (GENBANK.replace(b"\n", b"\r\n"), "genbank"),
        (EMBL, "embl"),
        (gzip.compress(b"\n" + EMBL, mtime=0), "embl"),
        (b"@r1\nACGT\n+\nIIII\n", "fastq"),
        (b"id,sequence\na,ACGT\n", "table"),
        (b"Name;CDS\na;ACGT\n", "table"),
        (b"smiles\nCCO\nC1CC1\n", "smiles"),
        (b"CC(C)Cl ZINC1\n", "smiles"),
        (b"1\tCC(=O)[O-]\n2\tC\n", "smiles"),
        (b"id,smiles\na,CCO\n", "table"),
        (b'"sequence_id"\t"sequence"\t"v_call"\na\tACGT\tIGHV1\n', "airr"),
        (b'"{""Run"": ""R1""}"\nsequence,locus\nACGT,H\n', "oas"),
        (b'{"Run": "R1"}\n', "oas"),
        (b"RunId\tAASeq\tVregion\n", "tcrdb"),
        (b"gene\tcdr3\tantigen.epitope\n", "vdjdb"),
    ],
)
def test_formats(content, kind, tmp_path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    assert detect_format(path) == kind


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"a,b\nx,ACGT\n", b"ID   P1_HUMAN Reviewed; 4 AA.\n", b"ACGT\nACGT\n"]
)
def test_unknown_format_quotes_the_first_line(content, tmp_path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(UnknownFormatError) as error:
        detect_format(path)
    assert str(path) in str(error.value)
    assert content.strip().split(b"\n")[0].decode() in str(error.value)


def test_real_formats(real_data) -> None:
    folder = real_data / "genbank"
    suffixes = {".faa": "fasta", ".fna": "fasta", ".ffn": "fasta", ".embl": "embl"}
    for path in folder.iterdir():
        expected = "fasta" if ".fasta" in path.name else suffixes.get(path.suffix, "genbank")
        assert detect_format(path) == expected, path.name


def test_damaged_is_not_unknown(tmp_path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b">a\nACGT\n", mtime=0)[:-6])
    with pytest.raises(DataError) as error:
        detect_format(path)
    assert not isinstance(error.value, UnknownFormatError)


def test_expand_inputs(tmp_path) -> None:
    for name in ("b.fa", "a.fa", "deep/c.gb", ".hidden/d.fa"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    names = [p.relative_to(tmp_path).as_posix() for p in expand_inputs([tmp_path, tmp_path / "a.fa"])]
    assert names == ["a.fa", "b.fa", "deep/c.gb"]
    assert [p.name for p in expand_inputs([str(tmp_path / "**" / "*.gb")])] == ["c.gb"]


@pytest.mark.parametrize("name", ["none.fa", "*.xyz"])
def test_missing_input(name, tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        expand_inputs([str(tmp_path / name)])


def test_empty_folder(tmp_path) -> None:
    with pytest.raises(ConfigError, match="empty folder"):
        expand_inputs([str(tmp_path)])
