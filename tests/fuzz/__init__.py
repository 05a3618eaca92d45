"""Mutated files against every reader: `python -m tests.fuzz --help`."""
