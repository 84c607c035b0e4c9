"""Cross-validation: the same examples, divided k times."""

from __future__ import annotations

import dataclasses

import numpy as np

from zoo.data.split import Split
from zoo.data.splits import DataSplits
from zoo.data.store import Store
from zoo.errors import UsageError, check_count


def stratified_folds(data: DataSplits, folds: int, *, seed: int = 0) -> list[DataSplits]:
    """Divides training and validation data together into `folds` parts, each of which is the validation data once.

    Every part has the classes in the same proportions (`sklearn.model_selection.StratifiedKFold`, shuffled). The folds share
    one store. Where the validation data are the test data, only the training data are divided.

    Args:
        data: in memory or image files. `test` stays as it is.
        folds: 2 or more.
        seed: decides the division.

    Raises:
        UsageError: a stream, a class with fewer examples than folds, or uint8 pixels in one split and floats in the other.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = check_folds(data, folds)
    held_out = None if data.validation is data.test else data.validation
    whole = data.train if held_out is None else _joined(data.train, held_out)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32).split(np.zeros(len(labels)), labels)
    return [
        dataclasses.replace(data, train=whole.subset(np.sort(train)), validation=whole.subset(np.sort(held)))
        for train, held in parts
    ]


def check_folds(data: DataSplits, folds: int) -> np.ndarray:
    """The labels that are to be divided, training and validation data together; a UsageError where they cannot be."""
    check_count("folds", folds, least=2)
    splits = [data.train, *([] if data.validation is None or data.validation is data.test else [data.validation])]
    if any(split.labels is None or split.stream is not None for split in splits):
        raise UsageError("a stream cannot be divided into folds; load the data with in_memory=True")
    labels = np.concatenate([split.labels for split in splits if split.labels is not None])
    fewest = int(np.bincount(labels, minlength=data.num_classes).min())
    if fewest < folds:
        raise UsageError(f"each class needs an example for each fold, and one has {fewest}. Received: folds={folds}")
    return labels


def _joined(first: Split, second: Split) -> Split:
    """The examples of two splits of the same kind, one after the other."""
    assert first.labels is not None
    assert second.labels is not None
    if first.dtype != second.dtype or first.scaling != second.scaling:
        raise UsageError(
            "training and validation data are stored differently and cannot be divided into folds together. "
            f"Received: {first.dtype} and {second.dtype}"
        )
    store, rows = first.store, None
    if first.store is not None and second.store is not None:
        assert first.rows is not None
        assert second.rows is not None
        if first.store is second.store:
            rows = np.concatenate([first.rows, second.rows])
        else:
            store = Store(np.concatenate([first.store.array[first.rows], second.store.array[second.rows]]))
    files = None if first.files is None or second.files is None else [*first.files, *second.files]
    return Split(
        size=len(first) + len(second),
        class_names=first.class_names,
        input_shape=first.input_shape,
        dtype=first.dtype,
        scaling=first.scaling,
        store=store,
        rows=rows,
        labels=np.concatenate([first.labels, second.labels]),
        files=files,
    )
