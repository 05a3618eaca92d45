"""Files that travel with a model, copied beside its weights: they need torch and transformers alone."""
