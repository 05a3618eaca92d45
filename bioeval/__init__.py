"""Scores one can trust: probes, sequence-validation metrics, leaderboards."""
