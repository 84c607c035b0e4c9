"""The zoo's models, called in all the ways that there are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import zoo.startup

import keras
import numpy as np
import tensorflow as tf
from inference_tasks import CONTESTANTS, SHAPES
from tasks import TASKS

import zoo

Run = Callable[[np.ndarray], np.ndarray]


def contestant(task: str, name: str) -> Run:
    """A function from uint8 images to probabilities."""
    shape = SHAPES[task]
    model = zoo.build(TASKS[task].model, shape, 10, **TASKS[task].options)
    if CONTESTANTS[name].format:
        return _exported(model, shape, CONTESTANTS[name].format)
    return {"predict": _predict, "call": _call, "function": _function}[name](model)


def _predict(model: keras.Model) -> Run:
    return lambda images: model.predict(images.astype(np.float32) / 255, batch_size=len(images), verbose=0)


def _call(model: keras.Model) -> Run:
    return lambda images: model(images.astype(np.float32) / 255, training=False).numpy()


def _function(model: keras.Model) -> Run:
    function = tf.function(lambda images: model(tf.cast(images, tf.float32) / 255, training=False))
    return lambda images: function(tf.constant(images)).numpy()


def _exported(model: keras.Model, shape: tuple[int, ...], name: str) -> Run:
    """What a user gets from `load_exported`. Random weights answer anything, so integers may answer otherwise."""
    from zoo.data.split import Split
    from zoo.exporting import exporter
    from zoo.exporting.formats import FORMATS
    from zoo.exporting.runtimes import load_runtime

    split = Split.from_arrays(
        np.random.default_rng(0).integers(0, 256, (64, *shape)).astype(np.uint8), np.arange(64) % 10
    )
    assert split.inputs is not None
    with tempfile.TemporaryDirectory(prefix="inference-benchmark-") as folder:
        path = Path(folder) / FORMATS[name].path
        exporter.write_format(name, model, path, split, split.inputs)
        return load_runtime(name, path)
