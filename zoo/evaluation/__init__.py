"""Model + Split -> predictions and metrics."""
