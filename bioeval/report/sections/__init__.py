"""The sections of the report, one file each, with a function `render(facts) -> str`."""
