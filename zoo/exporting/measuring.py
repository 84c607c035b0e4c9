"""The model itself on a split: what exported files are compared with, and what the certificate says of its accuracy."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from zoo.data.images import read_image
from zoo.data.pipeline import scale
from zoo.data.split import Split
from zoo.evaluation.intervals import wilson_interval
from zoo.exporting.checking import Reference, batch_size_for, edge_cases
from zoo.exporting.runtimes import Runtime
from zoo.models.outputs import class_probabilities, known_output_kind

_CHECKED = 512  # examples compared
_ENCODED_PIXELS = 2**24  # of an image that is encoded, about: more than a camera's of now would only take memory
_ORIENTATION = 0x0112  # a tag of EXIF


def model_runtime(model: keras.Model, split: Split, *, in_graph: bool = False) -> Runtime:
    """The model as it was trained: with the scaling of the pipeline, not with the exported layer.

    Args:
        model: the model.
        split: what knows how its inputs are scaled.
        in_graph: whether TensorFlow rewrites the computation, and so rounds in other places.
    """
    kind = known_output_kind(model)

    def probabilities(inputs: tf.Tensor) -> tf.Tensor:
        return class_probabilities(model(scale(inputs, split.scaling), training=False), kind)

    compute = tf.function(probabilities, reduce_retracing=True) if in_graph else probabilities
    return lambda inputs: np.asarray(compute(tf.constant(inputs)))


def measure(run: Runtime, split: Split) -> tuple[Reference, dict[str, Any]]:
    """What a model says of the first 512 examples and the edge cases, and its metrics on the whole split."""
    inputs: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for stored, targets in _stored_batches(split):
        found = run(stored)
        answers.append(found.argmax(axis=1))
        labels.append(targets)
        if sum(map(len, inputs)) < _CHECKED:
            inputs.append(stored)
            probabilities.append(found)
    examples = np.concatenate(inputs)[:_CHECKED]
    edges = edge_cases(examples)
    reference = Reference(examples, np.concatenate(probabilities)[:_CHECKED], edges, run(edges))
    return reference, _metrics(np.concatenate(answers), np.concatenate(labels), split.class_names)


def measure_accuracy(run: Runtime, split: Split) -> dict[str, Any]:
    """Accuracy of an exported file on the whole split, with its 95 % interval."""
    hits = [run(stored).argmax(axis=1) == labels for stored, labels in _stored_batches(split)]
    return _accuracy(np.concatenate(hits))


def encoded_examples(reference: Reference, folder: Path) -> tuple[list[bytes], np.ndarray]:
    """(encoded images, (n, ...) uint8 pixels that `read_image` makes of them): PNG and JPEG, larger ones, and turned ones."""
    _, height, width, channels = reference.inputs.shape
    encoded = []
    for i, example in enumerate(reference.inputs[:6]):
        picture = Image.fromarray(example[..., 0] if channels == 1 else example)
        buffer, exif = io.BytesIO(), Image.Exif()
        times = min(i, math.isqrt(_ENCODED_PIXELS // (6 * height * width)))
        if i % 3:  # larger, by a factor that needs filter and reduction
            size = (3 * times or 1) * width + i, (2 * times or 1) * height + 1
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        exif[_ORIENTATION] = (1, 6, 3)[i % 3]
        picture.save(buffer, "PNG" if i == 0 else "JPEG", **({} if i == 0 else {"quality": 90, "exif": exif}))
        encoded.append(buffer.getvalue())
    pixels = []
    for i, content in enumerate(encoded):
        file = folder / f"{i}.image"
        file.write_bytes(content)
        pixels.append(read_image(file, (height, width), channels))
    return encoded, np.stack(pixels)


def _stored_batches(split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for stored, labels in split.stored_batches(batch_size_for(split.input_shape)):
        yield stored.numpy(), labels.numpy()


def _metrics(predicted: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    hit, recall = predicted == labels, {}
    for k, name in enumerate(class_names):
        of_class = hit[labels == k]
        if len(of_class):
            found = _accuracy(of_class)
            recall[name] = {
                "examples": len(of_class),
                "recall": found["accuracy"],
                "interval": found["accuracy_interval"],
            }
    return {"examples": len(labels), **_accuracy(hit), "recall": recall}


def _accuracy(hit: np.ndarray) -> dict[str, Any]:
    interval = wilson_interval(int(hit.sum()), len(hit))
    return {"accuracy": float(hit.mean()), "accuracy_interval": list(interval)}
