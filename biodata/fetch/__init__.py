"""Files from archives: listed, downloaded whole or not at all, checked, and recorded in `fetch.json`."""
