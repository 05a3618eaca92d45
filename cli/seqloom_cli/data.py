"""`seqloom data`: files to verified datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from biodata.build import BuildConfig
from biodata.errors import ConfigError, DataError
from biodata.export import EXPORTS, ExportConfig
from biodata.fetch.config import FetchConfig, fetch_folder
from biodata.fetch.names import describe_sources, source_names
from seqloom_cli.commands import Positional, add_command, json_option
from seqloom_cli.needless import refuse_needless
from seqloom_cli.output import one_line_errors, show
from seqloom_cli.texts import built, verified

app = typer.Typer(help="Files and archives to verified datasets.", no_args_is_help=True)

INPUTS = Positional(
    path="read.inputs", metavar="INPUT...", help="files, folders, globs or source names", many=True
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildCommand(BuildConfig):
    """`BuildConfig` with the folder it is written to."""

    out: Path = field(metadata={"help": "dataset folder to write"})


def _build(config: BuildCommand) -> Mapping[str, Any]:
    from biodata.build import build_dataset

    refuse_needless(config)
    return build_dataset(config, config.out)


add_command(
    app, "build", BuildCommand, _build, positional=(INPUTS,), text=built,
    help="Reads, checks, deduplicates, splits by similarity, proves that nothing leaks, writes a dataset.",
)  # fmt: skip


@app.command(
    help="Checks a dataset, ours or any CSV/Parquet with a sequence and a split column; with --against, "
    "a test set against the set a model was trained on. Exit 3: not ok."
)
@one_line_errors
def verify(
    path: Annotated[Path, typer.Argument(help="dataset folder, CSV or Parquet", metavar="DIR")],
    alphabet: Annotated[
        str | None, typer.Option(help="dna, rna, protein or selfies; needed for a CSV or Parquet file")
    ] = None,
    identity: Annotated[
        float | None, typer.Option(help="0 to 1; default: the dataset's own, else 0.9")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(help="0 to 1; default: the dataset's own, else 0.8")
    ] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="of a table: column with the sequences; default: sequence, seq, cds")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="of a table: column with train, validation, test; default: split, set")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="training set: are test rows of DIR in it? dataset, table, any file")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "--output", help="Parquet file for the leaking pairs")
    ] = None,
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    if against is not None:
        from biodata.splits.cross_audit import audit_against

        if sequence_column or split_column:
            raise ConfigError("--sequence-column and --split-column do nothing with --against: name the "
                              "columns `sequence` and `split`")  # fmt: skip
        result = audit_against(path, against, alphabet=alphabet, listing=out,
                               identity=0.9 if identity is None else identity,
                               coverage=0.8 if coverage is None else coverage)  # fmt: skip
    else:
        from biodata.splits.stranger import Columns
        from biodata.splits.verify import verify_dataset

        named = Columns(sequence_column, split_column) if sequence_column or split_column else None
        result = verify_dataset(path, alphabet=alphabet, identity=identity, coverage=coverage, columns=named,
                                listing=out)  # fmt: skip
    show(result, as_json=as_json, text=verified)
    if not result["ok"]:
        raise typer.Exit(DataError.exit_code)


@app.command(help="Says what a file, folder or dataset holds.")
@one_line_errors
def inspect(
    path: Annotated[Path, typer.Argument(help="file, folder or dataset", metavar="PATH")],
    as_json: Annotated[bool, json_option()] = False,
) -> None:
    from biodata.inspect import inspect_path

    show(inspect_path(path), as_json=as_json)


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchCommand(FetchConfig):
    """`FetchConfig` with the folder the files go to."""

    out: Path | None = field(
        default=None, metadata={"help": "folder of the files; default: the cache, where `data build` looks"}
    )


def _fetch(config: FetchCommand) -> Mapping[str, Any]:
    from biodata.fetch.fetch import fetch

    return fetch(config, fetch_folder(config, config.out))


def _plan_fetch(config: FetchCommand) -> Mapping[str, Any]:
    from biodata.fetch.plan import describe, list_wanted, web_for

    return describe(list_wanted(config, web_for(config)), fetch_folder(config, config.out))


add_command(
    app, "fetch", FetchCommand, _fetch, plan=_plan_fetch,
    positional=(Positional(path="sources", metavar="SOURCE...", help="for example refseq:viral or uniref:50",
                           many=True, complete=source_names),),
    help="Downloads files of an archive: resumed, checked, recorded in fetch.json with checksums, licence.",
)  # fmt: skip


def _export(config: ExportConfig) -> Mapping[str, Any]:
    from biodata.export import export_dataset

    return export_dataset(config)


DATASET = Positional(path="data", metavar="DIR", help="dataset folder")
add_command(
    app, "export", ExportConfig, _export, positional=(DATASET,),
    help=f"Writes a dataset in another form: {', '.join(EXPORTS)}.",
)  # fmt: skip


@app.command(help="Where data can come from: archives with their terms, and formats of files.")
@one_line_errors
def sources(as_json: Annotated[bool, json_option()] = False) -> None:
    from biodata.io import READERS

    formats = {"formats": list(READERS), "compression": ["none", "gzip", "bgzip", "bzip2", "zstd"]}
    if as_json:
        show({"sources": describe_sources(), **formats}, as_json=True)
        return
    for about in describe_sources():
        print(f"{about['source']}  {about['title']}")
        for name in ("names", "kinds", "size", "licence", "home"):
            value = about[name]
            text = ", ".join(value) if isinstance(value, list) else value
            print(fill(text, 100, initial_indent=f"    {name:<9}", subsequent_indent=" " * 13))
    show(formats, as_json=False)
