"""Images to be augmented."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import numpy as np
from data_examples import one_pass
from hypothesis import settings

# isort: split
import tensorflow as tf

from zoo.data.augment import AUGMENTATIONS
from zoo.data.split import Split

COUNT, HEIGHT, WIDTH, CHANNELS = 48, 8, 16, 3
IMAGES = np.random.default_rng(0).random((COUNT, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
LABELS = np.arange(COUNT) % 5
SAME = np.tile(IMAGES[:1], (COUNT, 1, 1, 1))  # so that only the draws differ


def split(images=IMAGES):
    return Split.from_arrays(images, LABELS)


def augmented(names, images=IMAGES, **options):
    return one_pass(split(images).batches(8, augment=names, **options))[0]


def drawn(name, images, seed=0, dtype=tf.int64):
    return AUGMENTATIONS[name](tf.constant(images), tf.constant([seed, 1], dtype)).numpy()


def random_images(*shape, dtype=np.float32):
    return np.random.default_rng(1).random(shape).astype(dtype)


few_examples = settings(max_examples=30, deadline=None)
