"""Model + DataSplits + Recipe(s) -> TrainingRun."""
