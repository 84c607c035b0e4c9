"""Published weight files -> a model's variables."""
