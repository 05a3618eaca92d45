"""A folder for the Hugging Face hub: Parquet shards with a card, and token ids if a tokenizer is given."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.card import dataset_card
from biodata.dataset import CARD, MANIFEST, Dataset
from biodata.errors import ConfigError
from biodata.export.config import ExportConfig, filled_splits
from biodata.files import (
    atomic_path,
    fingerprint,
    make_folder,
    read_json,
    sha256_file,
    write_json,
    write_text,
)
from biodata.io.parquet import parquet_options
from biodata.progress import progress
from biodata.schema import SPLITS
from biodata.tokenizers.load import load_tokenizer
from biodata.tokenizers.protocol import Tokenizer, id_type
from biodata.tokenizers.rows import strings_of

TOKENIZER = "tokenizer"
_MARK = ".export"


def export_huggingface(config: ExportConfig, dataset: Dataset) -> dict[str, Any]:
    """Writes `OUT/data/*.parquet`, `OUT/README.md` and, last, `OUT/manifest.json`.

    All columns stay. With a tokenizer there is a column `input_ids` (lists of the smallest unsigned
    integers that hold the vocabulary; each row `<bos> ... <eos>`) and the tokenizer lies in
    `OUT/tokenizer`.

    Raises:
        ConfigError: `out` is a file or a folder with something else in it.
    """
    out = config.out
    tokenizer = load_tokenizer(config.tokenizer) if config.tokenizer else None
    _prepare(out)
    files, rows = [], {}
    for split in filled_splits(config, dataset):
        rows[split] = dataset.splits[split]
        for source in dataset.files(split):
            name = f"data/{source.name}"
            _write(source, out / name, tokenizer)
            files.append({"name": name, "split": split, "rows": pq.read_metadata(source).num_rows,
                          "sha256": sha256_file(out / name)})  # fmt: skip
    if tokenizer is not None:
        tokenizer.save(out / TOKENIZER)
    manifest = _manifest(dataset, files)
    write_text(out / CARD, dataset_card(manifest) + _tokens_section(tokenizer))
    write_json(out / MANIFEST, manifest)
    (out / _MARK).unlink()
    names = [CARD, MANIFEST, *(entry["name"] for entry in files)]
    if tokenizer is not None:
        names += [f"{TOKENIZER}/{path.name}" for path in sorted((out / TOKENIZER).iterdir())]
    return {"rows": rows, "files": [str(out / name) for name in names]}


def _manifest(dataset: Dataset, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The dataset's manifest with what is true of the export: its files, rows, splits and fingerprint."""
    splits = {name: sum(f["rows"] for f in files if f["split"] == name) for name in SPLITS}
    own = {"files": files, "rows": sum(splits.values()), "splits": splits, "exported": "hf"}
    whole = {"fingerprint": dataset.manifest.get("fingerprint"), "rows": dataset.manifest.get("rows")}
    made = fingerprint([dataset.manifest.get("build_key"), files])
    return {**dataset.manifest, **own, "exported_from": whole, "fingerprint": made}


def _prepare(out: Path) -> None:
    """Refuses a folder that holds something else, empties one of an earlier export, marks it as ours.

    Raises:
        ConfigError: naming what is there.
    """
    make_folder(out)
    found = sorted(path.name for path in out.iterdir())
    earlier = (out / MANIFEST).is_file() and read_json(out / MANIFEST).get("exported") == "hf"
    if found and not earlier and not (out / _MARK).exists():
        raise ConfigError(f"{out} is not empty ({found[0]!r} is there): give a new or empty folder as --out")
    write_text(out / _MARK, "an unfinished export: run the same command again\n")
    for name in ("data", TOKENIZER):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / MANIFEST).unlink(missing_ok=True)


def _write(source: Path, target: Path, tokenizer: Tokenizer | None) -> None:
    with (
        pq.ParquetFile(source) as file,
        atomic_path(target) as part,
        progress(f"writing {target.name}", file.num_row_groups) as advance,
    ):
        schema = _schema(file.schema_arrow, tokenizer)
        with pq.ParquetWriter(part, schema, **parquet_options(schema)) as writer:
            for group in range(file.num_row_groups):
                table = _with_ids(file.read_row_group(group), tokenizer)
                writer.write_table(table.cast(schema), row_group_size=max(1, len(table)))
                advance(1)


def _schema(schema: pa.Schema, tokenizer: Tokenizer | None) -> pa.Schema:
    if tokenizer is None:
        return schema
    value = pa.from_numpy_dtype(id_type(tokenizer.vocab_size))
    return schema.append(pa.field("input_ids", pa.list_(value), nullable=False))


def _with_ids(table: pa.Table, tokenizer: Tokenizer | None) -> pa.Table:
    if tokenizer is None:
        return table
    encoded = tokenizer.encode_column(strings_of(tokenizer.kind, table))
    ids = pa.ListArray.from_arrays(pa.array(encoded.offsets, pa.int32()), pa.array(encoded.ids))
    return table.append_column("input_ids", ids)


def _tokens_section(tokenizer: Tokenizer | None) -> str:
    if tokenizer is None:
        return ""
    opened = f"{tokenizer.vocab_size:,} tokens; `AutoTokenizer.from_pretrained` opens it"
    return (
        f"\n## Token ids\n\nColumn `input_ids`: the rows by the `{tokenizer.kind}` tokenizer in "
        f"`{TOKENIZER}/` ({opened}), each between `<bos>` (1) and `<eos>` (2).\n"
    )
