"""A folder of many small images: how long it takes to look through it, and a pass over its images takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from stopwatch import memory

import zoo

_CLASSES, _SIDE, _BATCH, _PASSES = 10, 16, 128, 4


def make(folder: Path, images: int) -> None:
    """Writes so many JPEG files of a few hundred bytes, no two the same, in ten classes."""
    random = np.random.default_rng(0)
    for label in range(_CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(images):
        pixels = random.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"class{number % _CLASSES}" / f"{number:06d}.jpg", quality=75)


def measure(folder: Path, *, in_memory: bool) -> dict[str, Any]:
    """Loads a folder, and passes over its training images.

    Returns:
        `images` of the training split, `load` seconds, `passes`: seconds of each pass, the first one decodes what is not in
        memory; `resident`: MB before loading and after the last pass.
    """
    before = memory()["resident"]
    started = time.perf_counter()
    data = zoo.load_dataset(folder, in_memory=in_memory)
    passes = [time.perf_counter() - started]
    for number in range(_PASSES):
        started, seen = time.perf_counter(), 0
        for inputs, _ in data.train.batches(_BATCH, shuffle=True, seed=number):
            seen += len(inputs)
        if seen != len(data.train):
            raise RuntimeError(f"a pass had {seen} images of {len(data.train)}")
        passes.append(time.perf_counter() - started)
    files = sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)
    after = memory()["resident"]
    return {
        "files": files,
        "images": len(data.train),
        "load": passes[0],
        "passes": passes[1:],
        "resident": [before, after],
    }
