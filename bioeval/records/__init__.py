"""`embed` and `score`: the files that people have, and what models make of them as files."""
