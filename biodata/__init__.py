"""Archives and files in, verified Arrow datasets and tokenizers out. Never imports torch."""

__version__ = "0.1.0"
