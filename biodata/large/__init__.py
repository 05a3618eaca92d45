"""Similar pairs, clusters and audit of sets that do not fit into memory, in time linear in their size."""
