"""A published network ready to classify photographs: model, image size and class names from one name."""

from __future__ import annotations

import dataclasses
import os

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import catalog
from zoo.weights.convert import count_classes
from zoo.weights.fetch import find_weights
from zoo.weights.labels import classes_of_size
from zoo.weights.sources import SOURCES


@dataclasses.dataclass(frozen=True)
class PublishedModel:
    """A model with published weights.

    Attributes:
        model: takes RGB images in [0, 1], gives probabilities.
        image_size: height and width that it was made for.
        class_names: one for each output; "class 0", "class 1", ... where the file's classes are of no known list.
    """

    model: keras.Model
    image_size: int
    class_names: list[str]


def load_published(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    image_size: int | None = None,
    dtype: str = "float32",
) -> PublishedModel:
    """Builds a model of the catalog with all that a weight file has, its last layer included.

    Args:
        name: a name of the catalog that has published weights.
        weights: a name of the table or the path of a file, as in `zoo.build`; `None` for the first of the table.
        image_size: height and width of the images; by default what the weights were made for.
        dtype: as in `zoo.build`.

    Raises:
        UsageError: an unknown model or name, or a model without published weights.
        WeightsError: the weights cannot be had or read, or do not fit.
    """
    catalog.builder(name)  # answers unknown names
    if name not in SOURCES:
        raise UsageError(f"{name} has no published weights. Models that have: {', '.join(sorted(SOURCES))}")
    chosen = next(iter(SOURCES[name])) if weights is None else weights
    file = find_weights(name, chosen)
    assert file is not None
    count, size = count_classes(name, file), image_size or file.source.image_size
    model = catalog.build(name, (size, size, 3), count, weights=chosen, dtype=dtype)
    classes = classes_of_size(count)
    names = [f"class {k}" for k in range(count)] if classes is None else [c.name for c in classes]
    return PublishedModel(model, size, names)
