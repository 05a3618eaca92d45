"""The `seqloom` command line, which joins biodata, biotrain and bioeval."""
