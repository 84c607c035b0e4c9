"""A fused batch normalisation and a stock one, and what they are given."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np

from zoo.models.normalization import fuse


def pair(shape, seed=0, **options) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """(stock, fused): the same layer twice, with the same weights, none of which is at its initial value."""
    layers = [keras.layers.BatchNormalization(**options) for _ in range(2)]
    random = np.random.default_rng(seed)
    for layer in layers:
        layer.build((None, *shape[1:]))
    for weights in zip(*(layer.weights for layer in layers), strict=True):
        value = random.uniform(0.5, 1.5, weights[0].shape)
        for weight in weights:
            weight.assign(value)
    return layers[0], fuse(layers[1])


def inputs_for(shape, seed=0, offset=0.5) -> np.ndarray:
    return np.random.default_rng(seed + 100).normal(offset, 1, shape)


def assert_close(found, expected, tolerance=1e-5):
    """Within `tolerance` of the largest value, or of one."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(1, np.abs(expected).max())
