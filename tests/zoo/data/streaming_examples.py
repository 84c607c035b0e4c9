"""Image folders and streams whose examples are decoded when they are needed."""

from __future__ import annotations

import hashlib

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass

import zoo

# isort: split
import tensorflow as tf

from zoo.data.split import Scaling, Split
from zoo.data.streaming import RepeatableStream

COUNT = 50
PLACES = pytest.mark.parametrize("place", ["memory", "disk", None])


def load(root, **options):
    """All examples of the folder but the test split, decoded when they are needed."""
    return zoo.load_dataset(root, **({"in_memory": False, "validation": None} | options)).train


def remove_files(root):
    for file in root.rglob("*.png"):
        file.unlink()


def left_in(folder):
    """What is in a temporary folder, but for the sources that TensorFlow's AutoGraph keeps there until it ends."""
    autograph = ("__autograph_generated_file", "__pycache__")  # TensorFlow's, and Python's beside them
    return [file for file in folder.iterdir() if not file.name.startswith(autograph)]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def digest(pair):
    return hashlib.sha256(pair[0].tobytes() + pair[1].tobytes()).hexdigest()


class Source:
    """Images that know their number, as a stream that counts how often it was opened and how much was read."""

    def __init__(self, count=COUNT, stream=RepeatableStream):
        self.opened, self.read, self.count = 0, 0, count
        self.split = Split(
            size=count,
            class_names=("a", "b", "c"),
            input_shape=(2, 2, 1),
            dtype=np.uint8,
            scaling=Scaling(),
            stream=stream(self.dataset),
        )

    def dataset(self):
        signature = (tf.TensorSpec((2, 2, 1), tf.uint8), tf.TensorSpec((), tf.int64))
        return tf.data.Dataset.from_generator(self.generate, output_signature=signature)

    def generate(self):
        self.opened += 1
        for number in range(self.count):
            self.read += 1
            yield np.full((2, 2, 1), number, np.uint8), number % 3


def order(batches):
    """One pass over a `Source`: the numbers of its examples, after checking that each has kept its label."""
    images, labels = one_pass(batches)
    numbers = images[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(labels, numbers % 3)
    assert (images == images[:, :1, :1, :1]).all()
    return numbers.tolist()
