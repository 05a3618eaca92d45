"""Mutants: how they are written, tables of them, and what models say of them without training."""
