"""`eval sequences`: generated sequences judged beside natural ones."""
