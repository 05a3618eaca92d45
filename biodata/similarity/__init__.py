"""How alike sequences are: searches, exact comparisons, sketches and clusters."""
