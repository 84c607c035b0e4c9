"""`Split`: labelled examples, in memory or streamed from disk."""

from __future__ import annotations

import collections
import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.labels import checked_labels
from zoo.data.store import Store
from zoo.errors import DataError, UsageError, check_count, one_line
from zoo.plain import plain_list

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
    def to_range(cls, input_range: Sequence[float]) -> Scaling:
        """The scaling that maps 0..255 to (low, high); see `checked_range`."""
        low, high = checked_range(input_range)
        return cls((high - low) / 255.0, low)


class Split:
    """Labelled examples: in memory as one array, or streamed from disk.

    Splits of one source share its `Store`: a subset is a choice of rows, not a copy.

    Attributes:
        labels: (N,) int32 class indices, or `None` for a stream whose labels are only known by reading it.
        store: the examples in memory (uint8 images or float vectors), or `None` for images that are decoded from `files`
            when they are needed, and for a stream.
        rows: (N,) int32 places of the examples in `store`; `None` without one.
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
        store: Store | None = None,
        rows: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        stream: Callable[[], tf.data.Dataset] | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        self.size = size
        self.class_names = tuple(map(str, class_names))
        for name, number in collections.Counter(self.class_names).items():
            if number > 1 or not name.isprintable():
                raise DataError(f"class names must differ and be printable; rename one. Received: {name!r:.80}")
        self.input_shape = tuple(int(n) for n in input_shape)
        self.dtype = np.dtype(dtype)
        self.scaling = scaling
        self.store = store
        self.rows = None
        if store is not None:
            self.rows = np.arange(size, dtype=np.int32) if rows is None else rows.astype(np.int32)
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
            class_names: one name a class, as a list, an array or an Index. Defaults to "0", "1", ... up to the largest label.
            input_range: what 0..255 is mapped to.

        Raises:
            DataError: lengths differ, nothing is there, a label is not an index of `class_names`, or inputs are no finite
                numbers.
        """
        inputs = checked_inputs(inputs)
        labels = checked_labels(labels, len(inputs))
        if inputs.ndim == 3 and inputs.dtype == np.uint8:
            inputs = inputs[..., np.newaxis]  # grey images without a channel axis
        names = (
            [str(k) for k in range(max(int(labels.max()) + 1, 2))] if class_names is None else plain_list(class_names)
        )
        if names is None:
            raise UsageError(f"class_names must be a list, one name a class. Received: class_names={class_names!r:.80}")
        if labels.max() >= len(names):
            raise DataError(f"label {labels.max()} has no class name; give one a class. Received: {len(names)} names")
        return cls(
            size=len(inputs),
            class_names=names,
            input_shape=inputs.shape[1:],
            dtype=inputs.dtype,
            scaling=Scaling.to_range(input_range) if inputs.dtype == np.uint8 else Scaling(),
            store=Store(inputs),
            labels=labels,
        )

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        where = "in memory" if self.store is not None else "from files" if self.files is not None else "streamed"
        return f"Split({self.size} x {self.input_shape} {self.dtype}, {self.num_classes} classes, {where})"

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def num_batches(self, batch_size: int, *, drop_remainder: bool = False) -> int:
        """How many batches `batches` gives."""
        check_count("batch_size", batch_size)
        return self.size // batch_size if drop_remainder else -(-self.size // batch_size)

    @property
    def inputs(self) -> np.ndarray | None:
        """(N, ...) stored inputs of a split in memory, else `None`; a copy where the split is a choice of rows."""
        if self.store is None or self.rows is None:
            return None
        whole = len(self.store) == self.size and bool((np.diff(self.rows) == 1).all())
        return self.store.array if whole else self.store.array[self.rows]

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
            store=self.store,
            rows=None if self.rows is None else self.rows[indices],
            labels=self.labels[indices],
            files=files,
        )

    def compact(self) -> None:
        """Moves the examples into a store of their own, so that those nobody needs can be freed."""
        if self.store is not None and self.rows is not None and len(self.store) > self.size:
            self.store, self.rows = self.store.take(self.rows), np.arange(self.size, dtype=np.int32)

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment: Augmentation | Sequence[str] | None = None,
        drop_remainder: bool = False,
        seed: int = 0,
        first_pass: int = 0,
    ) -> tf.data.Dataset:
        """A `tf.data.Dataset` of (inputs, int32 labels) that plain `model.fit` takes.

        Args:
            batch_size: examples a batch.
            shuffle: whether each pass has a new order, decided by `seed` and the pass alone. A stream (of TFDS or a user's
                own dataset) is mixed through a buffer of 4,096 examples.
            augment: names of `zoo.data.augment.AUGMENTATIONS`, or a function (images, labels) -> (images, labels) on
                whole batches of scaled inputs.
            drop_remainder: whether a last partial batch is left out.
            seed: decides order and augmentation.
            first_pass: what the first pass counts as, for training that is resumed.

        Returns:
            Batches of inputs (batch, *input_shape) in the range that the model takes, float32, or float64 where the inputs are,
            and labels (batch,) int32.

        Raises:
            UsageError: a `batch_size` that is no whole number of at least 1, or an unknown augmentation.
            DataError: an image file that cannot be read, once its batch is asked for; TensorFlow reports it as an error of
                its own, with that message in it.
        """
        from zoo.data import pipeline

        return pipeline.scaled_batches(
            self,
            batch_size,
            shuffle=shuffle,
            augment=augment,
            drop_remainder=drop_remainder,
            seed=seed,
            first_pass=first_pass,
        )

    def stored_batches(self, batch_size: int) -> tf.data.Dataset:
        """Batches of (inputs as stored, int32 labels), in order: raw pixels for exports and reports."""
        from zoo.data import pipeline

        return pipeline.stored_batches(self, batch_size)


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


def checked_range(input_range: Any) -> tuple[float, float]:
    """(low, high) as floats; a UsageError unless both are finite numbers and low < high."""
    ends = plain_list(input_range) or []
    known = [float(end) for end in ends if isinstance(end, numbers.Real) and math.isfinite(end)]
    if len(ends) != 2 or len(known) != 2 or not known[0] < known[1]:
        raise UsageError(f"input_range needs finite low < high. Received: input_range={input_range!r:.80}")
    return known[0], known[1]


def count_examples(inputs: Any) -> int:
    """How many examples there are; a DataError where inputs are nothing that has a number."""
    try:
        return len(inputs)
    except TypeError:
        raise DataError(f"inputs must be an array, (N, ...) for N examples. Received: {inputs!r:.80}") from None


def checked_inputs(inputs: Any) -> np.ndarray:
    """Inputs as uint8 or floats, all finite; a DataError where they are something else."""
    try:
        array = np.asarray(inputs)
        if array.dtype.kind == "O":  # of a table with columns of several kinds, which may all be numbers
            array = np.asarray(array.tolist())
    except ValueError as error:  # of several shapes
        raise DataError(f"the inputs are no array ({one_line(error, 120)}); give all the same shape") from None
    if array.ndim < 2 or 0 in array.shape[1:] or array.dtype.kind not in "biuf":
        shape = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"inputs must be numbers, (N, ...) for N examples. Received: {shape}")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        array = array.astype(np.float32)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0]
        raise DataError(f"the inputs hold NaN or infinite values, first in example {first}; remove or replace them")
    return array
