"""What the outputs of published weights stand for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.errors import UsageError, check_count, unknown_name
from zoo.plain import plain_list

# Names and order: ImageNet's from its sorted WordNet ids with torchvision's names, each of which is unique; CIFAR's
# from the data sets themselves. A line is a name, or an id, a tab and a name.
_DIRECTORY = Path(__file__).parent / "classes"


class ClassName(NamedTuple):
    """A class of a list: its id (ImageNet's WordNet id, elsewhere the index of the output) and its name."""

    class_id: str
    name: str


class Prediction(NamedTuple):
    """One guess: the class and its probability."""

    class_id: str
    name: str
    probability: float


@functools.cache
def list_classes(name: str) -> tuple[ClassName, ...]:
    """The classes of "imagenet", "cifar10" or "cifar100", in the order of a model's outputs."""
    known = {file.stem: file for file in _DIRECTORY.glob("*.txt")}
    if name not in known:
        raise unknown_name("class list", name, known)
    lines = known[name].read_text(encoding="utf-8").splitlines()
    return tuple(
        ClassName(line.partition("\t")[0] if "\t" in line else str(i), line.rpartition("\t")[2])
        for i, line in enumerate(lines)
    )


def decode_predictions(
    probabilities: np.ndarray, *, top: int = 5, classes: str | Sequence[str] | None = None
) -> list[list[Prediction]]:
    """The most probable classes of each image, the most probable first.

    Args:
        probabilities: (N, K), what a model gives for N images.
        top: how many classes of each; at most K.
        classes: "imagenet", "cifar10", "cifar100", or K names of your own. By default the one of these lists that has K
            classes.

    Returns:
        For each image a list of `(class_id, name, probability)`, as `keras.applications` gives them.

    Raises:
        UsageError: the list has another number of classes than the model has outputs.

    Examples:
        >>> import numpy as np
        >>> decode_predictions(np.eye(10)[[3]], top=1)
        [[Prediction(class_id='3', name='cat', probability=1.0)]]
    """
    try:
        scores = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError):
        raise UsageError("probabilities must be an array of numbers with the shape (images, classes)") from None
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise UsageError(
            f"probabilities must be finite numbers with the shape (images, classes). Received: {scores.shape}"
        )
    check_count("top", top)
    names = _names(scores.shape[1], classes)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [Prediction(names[k].class_id, names[k].name, float(row[k])) for k in chosen]
        for row, chosen in zip(scores, best, strict=True)
    ]


def classes_of_size(count: int) -> tuple[ClassName, ...] | None:
    """The classes of the list that has so many; `None` where none has."""
    lists = (list_classes(file.stem) for file in _DIRECTORY.glob("*.txt"))
    return next((classes for classes in lists if len(classes) == count), None)


def _names(count: int, classes: str | Sequence[str] | None) -> Sequence[ClassName]:
    if classes is None:
        found = classes_of_size(count)
        if found is None:
            raise UsageError(f"no class list has {count} classes; give classes=, a name for each output")
        return found
    own = plain_list(classes)
    if own is None and not isinstance(classes, str):
        lists = ", ".join(sorted(file.stem for file in _DIRECTORY.glob("*.txt")))
        raise UsageError(f"classes must be a list of names, or one of {lists}. Received: classes={classes!r:.80}")
    names = list_classes(classes) if own is None else [ClassName(str(i), str(n)) for i, n in enumerate(own)]
    if len(names) != count:
        raise UsageError(f"the model has {count} outputs, and classes= has {len(names)} names; give one name an output")
    return names
