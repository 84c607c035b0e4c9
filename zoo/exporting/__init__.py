"""Model -> .keras, SavedModel, ONNX and LiteRT with a certificate of parity; and back: an export -> a predictor."""
