"""A name, a folder or arrays -> `DataSplits` (train, validation, test)."""
