"""`seqloom tokenizer`: make, look at and apply tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from biodata.tokenizers import TOKENIZERS
from biodata.tokenizers.config import TokenizerConfig
from seqloom_cli.commands import Positional, add_command, json_option
from seqloom_cli.output import one_line_errors, show, show_columns

app = typer.Typer(help="Make and apply tokenizers.", no_args_is_help=True)


@app.command(help="The kinds of tokenizers.")
@one_line_errors
def kinds(as_json: Annotated[bool, json_option()] = False) -> None:
    show({"kinds": list(TOKENIZERS), "aliases": dict(TOKENIZERS.aliases)}, as_json=as_json)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainCommand(TokenizerConfig):
    """`TokenizerConfig`, and whether a tokenizer that is there already may go."""

    overwrite: bool = field(default=False, metadata={"help": "replace another tokenizer in the folder"})


def _train(config: TrainCommand) -> Mapping[str, Any]:
    from biodata.tokenizers import train_tokenizer

    return train_tokenizer(config, replace=config.overwrite)


KIND = Positional(
    path="kind", metavar="KIND", help=f"one of {', '.join(TOKENIZERS)}", complete=lambda: list(TOKENIZERS)
)
add_command(
    app, "train", TrainCommand, _train, positional=(KIND,),
    help="Makes a tokenizer, measures it on data and writes it so that AutoTokenizer opens it.",
)  # fmt: skip


@app.command(help="Encodes sequences: ids to a Parquet file, or the first records as text.")
@one_line_errors
def encode(
    tokenizer: Annotated[Path, typer.Argument(help="tokenizer folder", metavar="TOK")],
    path: Annotated[Path, typer.Argument(help="FASTA or GenBank file, or dataset folder", metavar="PATH")],
    out: Annotated[
        Path | None, typer.Option("--out", "--output", help="Parquet file with columns id, ids")
    ] = None,
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    from biodata.tokenizers.apply import encode_path

    show(encode_path(tokenizer, path, out=out), as_json=as_json)


@app.command(help="Measures tokenizers on the same data: length, vocabulary, codon frame, information kept.")
@one_line_errors
def compare(
    tokenizers: Annotated[list[Path], typer.Argument(help="tokenizer folders", metavar="TOK...")],
    data_: Annotated[Path, typer.Option("--data", help="dataset folder, Parquet or sequence file")],
    plot: Annotated[Path | None, typer.Option(help="Zipf plot, SVG or PNG")] = None,
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    from biodata.tokenizers.compare import compare_tokenizers

    result = compare_tokenizers(tokenizers, data_, plot=plot)
    if as_json:
        show(result, as_json=True)
        return
    show_columns(result["tokenizers"], skip=("warnings",))
    if plot:
        show({"plot": plot}, as_json=False)
