from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from biodata.errors import ConfigError, DataError
from biodata.tokenizers import TokenizerConfig, load_tokenizer, train_tokenizer
from seqloom_cli.main import app


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    for name, rows in {"train-00000-of-00002": ["ATGGCCTAA"], "train-00001-of-00002": ["ATGGCNTA", "ATG"],
                       "test-00000-of-00001": ["NNN"] * 9}.items():  # fmt: skip
        table = pa.table({"sequence": pa.array(rows, pa.large_string()), "alphabet": ["dna"] * len(rows)})
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    return folder


def test_result_has_the_fields_of_the_contract(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_tokenizer(TokenizerConfig(kind="codon", data=dataset, out=tmp_path / "tok"))
    warning = result.pop("warnings")
    assert result == {
        "path": str(tmp_path / "tok"),
        "kind": "codon",
        "vocab_size": 70,
        "symbols_per_token": 20 / 7,
        "unknown_rate": 2 / 7,
        "rows": 3,
        "letters": 20,
    }
    assert len(warning) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == f"warning: {warning[0]}\n"


def test_same_data_and_config_give_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    for kind in ("codon", "bpe"):
        for name in ("a", "b"):
            train_tokenizer(TokenizerConfig(kind=kind, data=dataset, out=tmp_path / kind / name))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            assert (tmp_path / kind / "a" / file).read_bytes() == (tmp_path / kind / "b" / file).read_bytes()


def test_fixed_vocabularies_refuse_another_size(dataset: Path, tmp_path: Path) -> None:
    config = TokenizerConfig(kind="codon", data=dataset, out=tmp_path / "tok", vocab_size=64)
    with pytest.raises(ConfigError, match="vocab_size = 64, but a codon tokenizer always has 70 tokens"):
        train_tokenizer(config)
    assert not (tmp_path / "tok").exists()
    train_tokenizer(TokenizerConfig(kind="codon", data=dataset, out=tmp_path / "tok", vocab_size=70))


def test_another_tokenizer_is_not_replaced_unasked(dataset: Path, tmp_path: Path) -> None:
    def train(*arguments: str) -> Result:
        command = ["tokenizer", "train", *arguments, "--data", str(dataset), "--out", str(tmp_path / "tok")]
        return CliRunner().invoke(app, command)

    assert train("codon").exit_code == 0
    before = (tmp_path / "tok" / "tokenizer.json").read_bytes()
    assert train("codon").exit_code == 0  # the same again is no other
    refused = train("nuc")
    assert refused.exit_code == 2 and "tok holds another tokenizer" in refused.stderr
    assert "--overwrite" in refused.stderr and (tmp_path / "tok" / "tokenizer.json").read_bytes() == before
    assert train("nuc", "--overwrite").exit_code == 0
    assert load_tokenizer(tmp_path / "tok").kind == "nuc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "codon", "k": 3}, "k and overlap belong to kind kmer"),
        ({"kind": "codon", "alphabet": "protein"}, "a codon tokenizer reads dna"),
        ({"kind": "kmer", "k": 3, "overlap": 3}, "overlap = 3, allowed: 0 to k - 1 = 2"),
        ({"kind": "bpe", "alphabet": "rna"}, "alphabet = 'rna', allowed: dna"),
        ({"kind": "bpe", "vocab_size": 0}, "vocab_size = 0"),
        ({"kind": "bpe", "piece_letters": 8}, "piece_letters = 8, allowed: 16 to 65536"),
        ({"kind": "bpe", "sample_letters": 9}, "sample_letters = 9"),
        ({"kind": "bpe", "seed": -1}, "seed = -1"),
        ({"kind": "codon", "seed": 5}, "seed = 5, but a codon tokenizer draws no sample: leave it out"),
        ({"kind": "kmer", "piece_letters": 64}, "piece_letters = 64, but a kmer tokenizer draws no sample"),
        ({"kind": "selfies", "sample_letters": 5000}, "sample_letters = 5000, but a selfies tokenizer"),
        ({"kind": "wordpeace"}, "unknown tokenizer kind"),
    ],
)
def test_wrong_options_quote_the_value(dataset: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        train_tokenizer(TokenizerConfig(data=dataset, out=tmp_path / "tok", **options))
    assert message in str(error.value)


def test_data_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        train_tokenizer(TokenizerConfig(kind="codon", data=tmp_path / "none", out=tmp_path / "tok"))
    with pytest.raises(ConfigError, match="has no data/train"):
        train_tokenizer(TokenizerConfig(kind="codon", data=tmp_path, out=tmp_path / "tok"))
    pq.write_table(pa.table({"text": ["A"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x.parquet: no column 'sequence' \(found: text\)"):
        train_tokenizer(TokenizerConfig(kind="codon", data=tmp_path / "x.parquet", out=tmp_path / "tok"))
    pq.write_table(pa.table({"sequence": [""]}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match="no letters"):
        train_tokenizer(TokenizerConfig(kind="codon", data=tmp_path / "y.parquet", out=tmp_path / "tok"))


def test_fasta_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\nATGGCC\nTAA\n>b\nATG\n")
    result = train_tokenizer(TokenizerConfig(kind="codon", data=tmp_path / "x.fa", out=tmp_path / "tok"))
    assert (result["rows"], result["letters"], result["symbols_per_token"]) == (2, 12, 3)


def test_real_coding_sequences_have_hardly_any_unknown_codon(real_data: Path, tmp_path: Path) -> None:
    data = real_data / "cds" / "calm_validation_ecoli.fasta.gz"
    result = train_tokenizer(TokenizerConfig(kind="codon", data=data, out=tmp_path / "tok"))
    assert result["symbols_per_token"] == pytest.approx(3, abs=0.01) and result["unknown_rate"] < 0.01


def test_every_option_has_a_help_line() -> None:
    assert all(field.metadata["help"] for field in fields(TokenizerConfig))


def test_foreign_and_broken_folders_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer.json does not exist"):
        load_tokenizer(tmp_path)
    tok = tmp_path / "tok"
    train_tokenizer(TokenizerConfig(kind="codon", data=dataset, out=tok))
    config = (tok / "tokenizer_config.json").read_text()
    for broken, message in {
        config.replace("seqloom", "other"): "no field 'seqloom'",
        config.replace('"kind": "codon"', '"kind": "nuc"'): "its vocabulary is not the one of this kind",
        config.replace('"kind": "codon"', '"kind": "cod0n"'): "unknown tokenizer kind 'cod0n'",
        config.replace('"kind": "codon",\n    "k": 3', '"kind": "kmer"'): "k = None and overlap = 0",
        "{": "not JSON",
    }.items():
        (tok / "tokenizer_config.json").write_text(broken)
        with pytest.raises((DataError, ConfigError), match=message):
            load_tokenizer(tok)
    (tok / "tokenizer_config.json").write_text(config)
    for broken, message in {
        '{"model": 1}': "this is not a tokenizer",
        '{"model": {"vocab": {"a": 1}}}': "ids are not 0 to 0",
    }.items():
        (tok / "tokenizer.json").write_text(broken)
        with pytest.raises(DataError, match=message):
            load_tokenizer(tok)
