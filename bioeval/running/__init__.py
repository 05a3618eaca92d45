"""The parts of `eval run`: what is scored, what probes read, and whom a model is compared with."""
