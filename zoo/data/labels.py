"""Labels: what they must be, which classes are meant, and which examples are held out."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError, unknown_name

_MOST_CLASSES = 100_000  # more are a mistake, such as numbers of examples, and would fill the memory with names


def checked_labels(labels: Any, count: int, *, classes: int | None = None) -> np.ndarray:
    """(count,) int32 class indices, below `classes` where a model has so many; or a DataError that says what they are instead."""
    try:
        labels = np.asarray(labels)
    except ValueError:
        raise DataError("labels must be one class index an example. Received: lists of several lengths") from None
    if count == 0:
        raise DataError("there are no examples; give one or more")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"labels must be one class index an example. Received: shape {labels.shape} (one-hot? argmax it)"
        )
    if len(labels) != count:
        raise DataError(f"{count} inputs but {len(labels)} labels; give one label an input")
    if labels.dtype.kind not in "iufb" or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        raise DataError(
            f"labels must be class indices from 0. Received: dtype {labels.dtype}, e.g. {labels.tolist()[0]!r:.80}"
        )
    if not np.issubdtype(labels.dtype, np.integer) and not np.array_equal(labels, np.floor(labels)):
        first = labels[labels != np.floor(labels)][0]
        raise DataError(f"labels must be class indices from 0, and some have a fraction. Received: {first}")
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        strange = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"labels must be class indices from 0, below {_MOST_CLASSES:,}. Received: {strange}")
    if classes is not None and labels.max() >= classes:
        raise DataError(f"labels must be 0 to {classes - 1}, the model's classes. Received: {labels.max()}")
    indices: np.ndarray = labels.astype(np.int32)
    return indices


def holds_out(validation: Any) -> bool:
    """Whether anything is to be held out: not for `None`, nor for 0."""
    return validation is not None and not (isinstance(validation, numbers.Real) and validation == 0)


def check_validation(validation: Any, count: int) -> None:
    """Raises a UsageError unless `validation` can be held out of `count` examples: a fraction below 1, or a smaller count."""
    is_number = isinstance(validation, numbers.Real) and not isinstance(validation, bool)
    if not is_number or not 0 < validation < count:
        raise UsageError(
            f"validation must be a fraction below 1 or a count below {count}. Received: {validation!r:.80}"
        )
    if not isinstance(validation, numbers.Integral) and validation >= 1:
        raise UsageError(f"validation must be below 1 as a fraction; an int is a count. Received: {validation}")


def validation_indices(labels: np.ndarray, validation: float | int, seed: int) -> np.ndarray:
    """Indices to hold out, in file order: the last `validation` examples (int), or a stratified fraction (float).

    Raises:
        UsageError: `validation` is none of these, or nothing would be left to train on or to validate with.
    """
    check_validation(validation, len(labels))
    if isinstance(validation, numbers.Integral):
        return np.arange(len(labels) - validation, len(labels))
    random = np.random.default_rng(seed)
    chosen = []
    for k in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == k))
        take = min(max(1, round(validation * len(members))), len(members) - 1)
        chosen.append(members[:take])
    indices = np.sort(np.concatenate(chosen))
    if not len(indices):
        raise UsageError(
            f"{len(labels)} examples of {len(chosen)} classes are too few to hold out validation={validation}"
        )
    return indices


def class_indices(names: Sequence[str], classes: Sequence[int | str]) -> list[int]:
    """Indices of classes given by index or name; at least two, none twice."""
    indices = []
    for wanted in classes:
        if isinstance(wanted, str) and wanted in names:
            indices.append(list(names).index(wanted))
        elif str(wanted).isdecimal() and int(wanted) < len(names):
            indices.append(int(wanted))
        else:
            raise unknown_name("class", wanted, names)
    if len(indices) < 2 or len(set(indices)) < len(indices):
        raise UsageError(f"classes needs two or more different classes. Received: {list(classes)}")
    return indices
