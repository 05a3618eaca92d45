"""Which row goes into which split, what repairs a split, and what proves that it does not leak."""
