"""Short trainings in few words."""

from __future__ import annotations

import zoo.startup

# isort: split
import numpy as np

import zoo

BATCH = 16


def train(model, data, recipe, **options):
    return zoo.train(model, data, recipe, verbose=False, **options)


def sgd(**values) -> zoo.Recipe:
    return zoo.Recipe(**{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": BATCH, "epochs": 2, **values})


def assert_same_weights(weights, others):
    assert len(weights) == len(others) > 0
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)
