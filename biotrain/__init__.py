"""Pretraining: one compact torch loop for every backbone, objective and loss."""
