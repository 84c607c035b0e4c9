"""What every other part of the zoo means by data: `DataSplits`, made of three `Split`s."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.labels import checked_labels, validation_indices
from zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    import tensorflow as tf

    from zoo.data.augment import Augmentation


@dataclasses.dataclass(frozen=True)
class Scaling:
    """How stored inputs become model inputs: `stored * scale + offset`.

    uint8 pixels are scaled to `input_range`; float inputs are the model's inputs already (`scale` 1, `offset` 0).
    """

    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def to_range(cls, low: float, high: float) -> Scaling:
        """The scaling that maps 0..255 to `low`..`high`."""
        if not low < high:
            raise UsageError(f"input_range needs low < high. Received: ({low}, {high})")
        return cls((high - low) / 255.0, float(low))


class Split:
    """Labelled examples: in memory as one array, or streamed from disk.

    Attributes:
        labels: (N,) int32 class indices, or `None` for a stream whose labels are only known by reading it.
        inputs: (N, ...) stored inputs in memory (uint8 images or float vectors), or `None` for images that are decoded from
            `files` when they are needed, and for a stream.
        class_names: one name a class.
        input_shape: shape of one example, without the batch axis.
        dtype: NumPy dtype of the stored inputs.
        scaling: how stored inputs become model inputs.
        files: (N,) paths of the examples where they came from a folder, else `None`.
        stream: gives single (input, label) examples from the beginning, where neither `inputs` nor `files` are known.
    """

    def __init__(
        self,
        *,
        size: int,
        class_names: Sequence[str],
        input_shape: Sequence[int],
        dtype: Any,
        scaling: Scaling,
        inputs: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        stream: Callable[[], tf.data.Dataset] | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        self.size = size
        self.class_names = tuple(map(str, class_names))
        for name in self.class_names:
            if self.class_names.count(name) > 1 or not name.isprintable():
                raise DataError(f"class names must differ and be printable. Received: {name!r}")
        self.input_shape = tuple(int(n) for n in input_shape)
        self.dtype = np.dtype(dtype)
        self.scaling = scaling
        self.inputs = inputs
        self.labels = labels
        self.stream = stream
        self.files = files

    @classmethod
    def from_arrays(
        cls,
        inputs: Any,
        labels: Any,
        *,
        class_names: Sequence[str] | None = None,
        input_range: tuple[float, float] = (0, 1),
    ) -> Split:
        """A split in memory.

        Args:
            inputs: (N, ...) array. uint8 is scaled to `input_range` by `batches`; floats are passed on as they are
                (float64 stays float64); other integers become float32.
            labels: (N,) integer class indices from 0.
            class_names: one name a class. Defaults to "0", "1", ... up to the largest label.
            input_range: what 0..255 is mapped to.

        Raises:
            DataError: lengths differ, nothing is there, or a label is not an index of `class_names`.
        """
        inputs = np.asarray(inputs)
        labels = checked_labels(labels, len(inputs))
        if inputs.dtype != np.uint8 and not np.issubdtype(inputs.dtype, np.floating):
            inputs = inputs.astype(np.float32)
        if np.issubdtype(inputs.dtype, np.floating) and not np.isfinite(inputs).all():
            raise DataError("the inputs hold NaN or infinite values; remove or replace them")
        if inputs.ndim == 3 and inputs.dtype == np.uint8:
            inputs = inputs[..., np.newaxis]  # grey images without a channel axis
        if class_names is None:
            class_names = [str(k) for k in range(max(int(labels.max()) + 1, 2))]
        if labels.max() >= len(class_names):
            raise DataError(f"label {labels.max()} has no class name; {len(class_names)} names were given")
        return cls(
            size=len(inputs),
            class_names=class_names,
            input_shape=inputs.shape[1:],
            dtype=inputs.dtype,
            scaling=Scaling.to_range(*input_range) if inputs.dtype == np.uint8 else Scaling(),
            inputs=inputs,
            labels=labels,
        )

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        where = "in memory" if self.inputs is not None else "from files" if self.files is not None else "streamed"
        return f"Split({self.size} x {self.input_shape} {self.dtype}, {self.num_classes} classes, {where})"

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def num_batches(self, batch_size: int, *, drop_remainder: bool = False) -> int:
        """How many batches `batches` gives."""
        return self.size // batch_size if drop_remainder else -(-self.size // batch_size)

    @functools.cached_property
    def tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(stored inputs, labels) of a split in memory, made once for all pipelines and validations."""
        import tensorflow as tf

        return tf.constant(self.inputs), tf.constant(self.labels)

    def subset(self, indices: np.ndarray) -> Split:
        """The examples at `indices`, in that order; not for a stream."""
        if self.labels is None or self.stream is not None:
            raise UsageError("a stream can only be read from its beginning; load it with in_memory=True")
        files = None if self.files is None else [self.files[i] for i in indices]
        return Split(
            size=len(indices),
            class_names=self.class_names,
            input_shape=self.input_shape,
            dtype=self.dtype,
            scaling=self.scaling,
            inputs=None if self.inputs is None else self.inputs[indices],
            labels=self.labels[indices],
            files=files,
        )

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment: Augmentation | Sequence[str] | None = None,
        drop_remainder: bool = False,
        seed: int = 0,
    ) -> tf.data.Dataset:
        """A `tf.data.Dataset` of (inputs, int32 labels) that plain `model.fit` takes.

        Args:
            batch_size: examples a batch.
            shuffle: whether each pass has a new order, decided by `seed` and the pass. A stream (of TFDS or a user's own
                dataset) is mixed through a buffer of 4,096 examples by `Dataset.shuffle`, which also heeds
                TensorFlow's global seed.
            augment: names of `zoo.data.augment.AUGMENTATIONS`, or a function (images, labels) -> (images, labels) on
                whole batches of scaled inputs.
            drop_remainder: whether a last partial batch is left out.
            seed: decides order and augmentation.
        """
        from zoo.data import pipeline

        return pipeline.scaled_batches(
            self, batch_size, shuffle=shuffle, augment=augment, drop_remainder=drop_remainder, seed=seed
        )

    def stored_batches(self, batch_size: int) -> tf.data.Dataset:
        """Batches of (inputs as stored, int32 labels), in order: raw pixels for exports and reports."""
        from zoo.data import pipeline

        return pipeline.stored_batches(self, batch_size)


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
            class_names: one name a class; by default "0", "1", ...
            input_range: what 0..255 is mapped to, for uint8 inputs.
            seed: decides a stratified validation fraction.

        Raises:
            DataError: lengths differ, an empty array, labels that are no class indices.

        Example:
            >>> images = np.zeros((20, 8, 8), "uint8"); labels = np.arange(20) % 2
            >>> DataSplits.from_arrays((images, labels), validation=0.2).input_shape
            (8, 8, 1)
        """
        if class_names is None:
            pairs = [pair for pair in (train, validation, test) if isinstance(pair, tuple)]
            largest = max(int(checked_labels(labels, len(inputs)).max()) for inputs, labels in pairs)
            class_names = [str(k) for k in range(max(2, largest + 1))]
        train_split = Split.from_arrays(*train, class_names=class_names, input_range=input_range)
        test_split = test and Split.from_arrays(*test, class_names=class_names, input_range=input_range)
        if isinstance(validation, tuple):
            held_out: Split | None = Split.from_arrays(*validation, class_names=class_names, input_range=input_range)
        else:
            train_split, held_out = split_validation(train_split, validation, test_split or None, seed)
        for split in (held_out, test_split):
            if split and split.input_shape != train_split.input_shape:
                raise DataError(
                    f"the training inputs have the shape {train_split.input_shape}, others {split.input_shape}"
                )
        config = {
            "arrays": {
                name: _fingerprint(split)
                for name, split in (("train", train_split), ("validation", held_out), ("test", test_split))
                if split
            },
            "input_range": list(input_range),
            "class_names": list(train_split.class_names),
        }
        return cls(train_split, held_out, test_split or None, config)


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


def as_split(data: Any) -> Split:
    """A `Split` as it is; an (inputs, labels) pair or a batched `tf.data.Dataset` as one."""
    if isinstance(data, Split):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return Split.from_arrays(*data)
    if hasattr(data, "element_spec"):
        from zoo.data import pipeline

        return pipeline.split_from_dataset(data)
    raise UsageError(f"expected a Split, (inputs, labels) or a tf.data.Dataset. Received: {type(data).__name__}")


def split_validation(
    train: Split, validation: float | int | str | None, test: Split | None, seed: int
) -> tuple[Split, Split | None]:
    """Takes a validation split from training data that are no stream; see `load_dataset` for `validation`."""
    if validation is None or (not isinstance(validation, str) and validation == 0):
        return train, None
    if isinstance(validation, str):
        if validation != "test" or test is None:
            raise UsageError(f"validation={validation!r} is not possible here; give a fraction, a count or None")
        return train, test
    assert train.labels is not None
    chosen = validation_indices(train.labels, validation, seed)
    rest = np.setdiff1d(np.arange(len(train)), chosen)
    return train.subset(rest), train.subset(chosen)


def _fingerprint(split: Split) -> dict[str, Any]:
    assert split.inputs is not None
    assert split.labels is not None
    digest = hashlib.sha256(np.ascontiguousarray(split.inputs).data)  # a view: the data are not copied for this
    digest.update(np.ascontiguousarray(split.labels).data)
    return {"shape": list(split.inputs.shape), "dtype": str(split.dtype), "sha256": digest.hexdigest()}
