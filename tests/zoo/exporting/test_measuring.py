"""What is measured takes neither more memory nor larger pictures than it needs."""

from __future__ import annotations

import tracemalloc

import numpy as np

from zoo.data.split import Split
from zoo.exporting.checking import Reference
from zoo.exporting.measuring import encoded_examples, measure


def test_images_of_any_size_are_encoded(tmp_path):
    """150 times the pixels of a large input would be more than `read_image` takes."""
    inputs = np.random.default_rng(0).integers(0, 256, (6, 900, 900, 1)).astype(np.uint8)
    encoded, pixels = encoded_examples(Reference(inputs, *[np.zeros(0)] * 3), tmp_path)
    assert len(encoded) == 6
    assert pixels.shape == inputs.shape
    assert max(map(len, encoded)) < 2**23


def test_only_the_answers_of_a_split_are_kept():
    split = Split.from_arrays(np.zeros((6000, 1), np.uint8), np.arange(6000) % 1000)
    tracemalloc.start()
    reference, metrics = measure(lambda inputs: np.eye(1, 1000, 7, dtype=np.float32).repeat(len(inputs), 0), split)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reference.probabilities.shape == (512, 1000)
    assert (metrics["examples"], metrics["accuracy"]) == (6000, 0.001)
    assert metrics["recall"]["7"] == {"examples": 6, "recall": 1.0, "interval": metrics["recall"]["7"]["interval"]}
    assert peak < 14e6  # all probabilities are 24 MB
