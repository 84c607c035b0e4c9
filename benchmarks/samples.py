"""The data of all contestants, written once to a file: real where TFDS has them prepared, else made up in the same shape."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

import zoo

CLASSES = 10  # of every data set here

# name -> (shape of an image, TFDS name, test images)
SHAPES = {
    "digits": ((8, 8, 1), None, 355),
    "mnist": ((28, 28, 1), "mnist", 10_000),
    "cifar": ((32, 32, 3), "cifar10", 1024),
}


@dataclasses.dataclass
class Arrays:
    """uint8 images and int32 labels; validation where the task has it."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The validation pair, or `None`."""
        return (
            None if self.x_validation is None or self.y_validation is None else (self.x_validation, self.y_validation)
        )


def prepare(name: str, images: int, path: str) -> tuple[str, bool]:
    """Writes data of a shape to an .npz file; says where they are from and whether TFDS had them prepared.

    Args:
        name: a key of `SHAPES`.
        images: training images that are needed at most.
        path: the file to write.
    """
    shape, tfds_name, tests = SHAPES[name]
    data, source = None, "made up: a noisy pattern for each class"
    if name == "digits":
        data, source = zoo.load_dataset("digits"), "scikit-learn's digits"
    elif tfds_name is not None and is_prepared(tfds_name):
        try:
            data, source = zoo.load_dataset(tfds_name, validation=None), f"{tfds_name}, as TFDS has prepared it"
        except zoo.ZooError as error:
            source += f" ({error})"
    arrays = _from_splits(data) if data else _made_up(shape, images, tests)
    arrays.x, arrays.y = arrays.x[:images], arrays.y[:images]
    arrays.x_test, arrays.y_test = arrays.x_test[: min(tests, images)], arrays.y_test[: min(tests, images)]
    np.savez(path, **{k: v for k, v in vars(arrays).items() if v is not None})
    return source, data is not None and tfds_name is not None


def read(path: Path, images: int) -> Arrays:
    """The arrays of a file that `prepare` wrote, with so many training images.

    Raises:
        DataError: there are not as many, so that a rate of images a second would be wrong.
    """
    with np.load(path) as stored:
        arrays = Arrays(**stored)
    if len(arrays.x) < images:
        raise zoo.DataError(f"{path.name} holds {len(arrays.x)} training images, {images} are needed")
    if len(arrays.x) > images:
        arrays.x, arrays.y = arrays.x[:images].copy(), arrays.y[:images].copy()
    return arrays


def is_prepared(tfds_name: str) -> bool:
    """Whether TFDS's folder holds a data set, so that asking for it downloads nothing."""
    folder = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return (Path(folder).expanduser() / tfds_name).is_dir()


def _from_splits(data: zoo.DataSplits) -> Arrays:
    assert data.train.inputs is not None
    assert data.train.labels is not None
    assert data.test is not None
    assert data.test.inputs is not None
    assert data.test.labels is not None
    held_out = (data.validation.inputs, data.validation.labels) if data.validation else (None, None)
    return Arrays(data.train.inputs, data.train.labels, data.test.inputs, data.test.labels, *held_out)


def _made_up(shape: tuple[int, int, int], images: int, tests: int) -> Arrays:
    """Each class has a coarse pattern; an image is its class's pattern, shifted, under noise."""
    random = np.random.default_rng(0)
    height, width, channels = shape
    coarse = random.integers(0, 48, (CLASSES, height // 4, width // 4, channels), np.uint8)
    patterns = coarse.repeat(4, axis=1).repeat(4, axis=2)
    labels = random.integers(0, CLASSES, images + tests).astype(np.int32)
    inputs = random.integers(0, 208, (images + tests, *shape), np.uint8)
    shifts = random.integers(0, 8, len(labels))
    for shift in range(8):
        chosen = shifts == shift
        inputs[chosen] += np.roll(patterns, shift, axis=2)[labels[chosen]]
    return Arrays(inputs[:images], labels[:images], inputs[images:], labels[images:])
