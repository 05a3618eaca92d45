"""Datasets in the forms of others: Megatron's `.bin`/`.idx`, FASTA, Hugging Face Parquet; a file for each."""

from __future__ import annotations

from biodata.export.config import EXPORTS, ExportConfig, export_dataset

__all__ = ["EXPORTS", "ExportConfig", "export_dataset"]
