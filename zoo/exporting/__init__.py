"""Model -> .keras and SavedModel, with a parity certificate."""
