"""Contacts of residues read from attention maps or from embeddings, by logistic regression on pairs."""
