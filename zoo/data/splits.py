"""What every other part of the zoo means by data: `DataSplits`, made of three `Split`s."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.images import naming_file
from zoo.data.labels import checked_labels, holds_out, validation_indices
from zoo.data.split import Split, as_split, count_examples
from zoo.errors import DataError, UsageError, check_seed
from zoo.plain import plain_list
from zoo.storage import sha256_of_file

_END = 4096  # bytes


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """Training, validation and test data of one problem.

    Attributes:
        train: what the weights are fitted to.
        validation: what early stopping and search look at, or `None`.
        test: what is looked at once, at the end; training and search never touch it. `None` where there is none.
        config: plain values that name the data: the arguments of `load_dataset`, or a fingerprint of arrays.
    """

    train: Split
    validation: Split | None
    test: Split | None
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        return self.train.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.train.num_classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return self.train.input_shape

    @classmethod
    def from_arrays(
        cls,
        train: tuple[Any, Any],
        *,
        validation: tuple[Any, Any] | float | int | str | None = 0.1,
        test: tuple[Any, Any] | None = None,
        class_names: Sequence[str] | None = None,
        input_range: tuple[float, float] = (0, 1),
        seed: int = 0,
    ) -> DataSplits:
        """Data from (inputs, labels) pairs of arrays.

        Args:
            train: (N, ...) inputs and (N,) integer labels; see `Split.from_arrays` for their types.
            validation: a pair of arrays, or what to take from `train` as in `load_dataset`: a stratified fraction, an
                int (the last N), "test" (the test arrays), or `None`.
            test: a pair of arrays, or `None`.
            class_names: one name a class, as a list, an array or an Index; by default "0", "1", ...
            input_range: what 0..255 is mapped to, for uint8 inputs.
            seed: decides a stratified validation fraction.

        Raises:
            UsageError: `train`, `validation` or `test` is no pair, or a `validation`, `seed` or `input_range` that is not
                possible.
            DataError: lengths differ, an empty array, labels that are no class indices, inputs that are no finite numbers.

        Examples:
            >>> images = np.zeros((20, 8, 8), "uint8"); labels = np.arange(20) % 2
            >>> DataSplits.from_arrays((images, labels), validation=0.2).input_shape
            (8, 8, 1)
        """
        pairs = {"train": _pair("train", train)}
        if test is not None:
            pairs["test"] = _pair("test", test)
        if isinstance(validation, tuple | list):
            pairs["validation"] = _pair("validation", validation)
        check_seed(seed)
        if class_names is None:
            largest = max(int(checked_labels(y, count_examples(x)).max()) for x, y in pairs.values())
            class_names = [str(k) for k in range(max(2, largest + 1))]
        splits = {
            name: Split.from_arrays(*pair, class_names=class_names, input_range=input_range)
            for name, pair in pairs.items()
        }
        train_split, held_out, test_split = splits["train"], splits.get("validation"), splits.get("test")
        if not isinstance(validation, tuple | list):
            train_split, held_out = split_validation(train_split, validation, test_split, seed)
        for split in (held_out, test_split):
            if split and split.input_shape != train_split.input_shape:
                raise DataError(
                    f"the training inputs have the shape {train_split.input_shape}, others {split.input_shape}; "
                    "give all the same"
                )
        config = {
            "arrays": {
                name: _fingerprint(split)
                for name, split in (("train", train_split), ("validation", held_out), ("test", test_split))
                if split
            },
            "input_range": plain_list(input_range),
            "class_names": list(train_split.class_names),
        }
        return cls(train_split, held_out, test_split, config)


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UsageError(f"{name} must be a pair (inputs, labels). Received: {given!r:.80}")
    return given[0], given[1]


def as_splits(data: Any) -> DataSplits:
    """`DataSplits` as they are; an (inputs, labels) pair through `DataSplits.from_arrays`; a batched dataset as training data.

    Raises:
        UsageError: `data` is nothing of these.
    """
    if isinstance(data, DataSplits):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return DataSplits.from_arrays(data)
    if hasattr(data, "element_spec"):
        split = as_split(data)
        identity = {"labels_sha256": hashlib.sha256(np.ascontiguousarray(split.labels).data).hexdigest()}
        return DataSplits(split, None, None, {"dataset": str(data.element_spec), "size": len(split), **identity})
    raise UsageError(
        f"data must be DataSplits, (inputs, labels) or a batched tf.data.Dataset. Received: {type(data).__name__}"
    )


def split_validation(
    train: Split, validation: float | int | str | None, test: Split | None, seed: int
) -> tuple[Split, Split | None]:
    """Takes a validation split from training data that are no stream; see `load_dataset` for `validation`."""
    if validation is None or not holds_out(validation):
        return train, None
    if isinstance(validation, str):
        if validation != "test" or test is None:
            raise UsageError(f"validation={validation!r} is not possible here; give a fraction, a count or None")
        return train, test
    assert train.labels is not None
    chosen = validation_indices(train.labels, validation, seed)
    rest = np.setdiff1d(np.arange(len(train)), chosen)
    return train.subset(rest), train.subset(chosen)


def content_sha256(data: DataSplits) -> str:
    """What training and validation data hold, in one number: pixels in memory, labels; names, sizes and ends of image files.

    Of a stream only labels and the number of examples count.
    """
    digest = hashlib.sha256()
    for split in (data.train, data.validation):
        if split is None:
            continue
        digest.update(f"{len(split)} {split.input_shape} {split.dtype} {split.class_names}".encode())
        if split.store is not None:
            digest.update(_fingerprint(split)["sha256"].encode())
        elif split.labels is not None:
            digest.update(np.ascontiguousarray(split.labels).data)
        for file in split.files or ():
            digest.update(Path(file).name.encode() + _ends(Path(file)))
    return digest.hexdigest()


def inputs_sha256(split: Split) -> str | None:
    """What the inputs of one split are, whatever their labels: pixels in memory, whole files; `None` for a stream.

    Raises:
        DataError: a file cannot be read.
    """
    if split.stream is not None:
        return None
    digest = hashlib.sha256(f"{len(split)} {split.input_shape} {split.dtype} {split.scaling}".encode())
    if split.store is not None:
        _update_with_pixels(digest, split)
    else:
        for file in split.files or ():
            with naming_file(file):
                digest.update(sha256_of_file(file).encode())
    return digest.hexdigest()


def _ends(file: Path) -> bytes:
    """A file's size, first and last bytes; reading whole data sets would take minutes."""
    try:
        with file.open("rb") as opened:
            first = opened.read(_END)
            size = opened.seek(0, 2)
            opened.seek(max(0, size - _END))
            return str(size).encode() + first + opened.read()
    except OSError:
        return b"missing"


def _update_with_pixels(digest: hashlib._Hash, split: Split) -> None:
    assert split.store is not None
    assert split.rows is not None
    for start in range(0, len(split), 4096):  # the data are not copied for this
        digest.update(np.ascontiguousarray(split.store.array[split.rows[start : start + 4096]]).data)


def _fingerprint(split: Split) -> dict[str, Any]:
    assert split.labels is not None
    digest = hashlib.sha256()
    _update_with_pixels(digest, split)
    digest.update(np.ascontiguousarray(split.labels).data)
    return {"shape": [len(split), *split.input_shape], "dtype": str(split.dtype), "sha256": digest.hexdigest()}
