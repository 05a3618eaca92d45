"""A seeded simulator of gene families, so that clusters, splits and probes can be checked against truth."""
