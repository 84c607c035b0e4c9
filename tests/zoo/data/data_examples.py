"""Small image folders and whole passes, for the tests beside this file."""

from __future__ import annotations

import numpy as np
from PIL import Image


def save_image(path, shape=(8, 8, 3), seed=0):
    """Saves random pixels and returns them."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)
    return pixels


def save_classes(root, counts, shape=(8, 8, 3)):
    """Makes one folder a class, e.g. `{"cat": 10, "dog": 12}`, of images that all differ; returns `root`."""
    for position, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            save_image(root / name / f"{i:03d}.png", shape, seed=1000 * position + i)
    return root


def one_pass(batches):
    """Every input and label of one pass over batches, as two arrays."""
    pairs = list(batches.as_numpy_iterator())
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
