"""`eval distances`: groups of sequences compared within and between, at equal windows and numbers."""
