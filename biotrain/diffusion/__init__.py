"""Diffusion: models steered by a noise level, schedules, samplers. Nothing is imported here."""
