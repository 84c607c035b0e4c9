"""What a frozen backbone makes of examples, computed once: where a model is cut, the features, and where they are kept."""
