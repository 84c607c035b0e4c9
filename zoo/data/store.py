"""`Store`: examples in memory, once, for NumPy and TensorFlow alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_ALIGNMENT = 64  # bytes; TensorFlow reads memory in place only where a buffer starts at a multiple of it


class Store:
    """An array of examples that several splits share, and that TensorFlow reads in place.

    Args:
        array: (N, ...) examples; they are copied, so that whoever gave them can change them.

    Attributes:
        array: the examples; what changes here changes for TensorFlow too.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = _aligned(array.shape, array.dtype.newbyteorder("="))
        self.array[...] = array
        self._tensor: tf.Tensor | None = None

    @classmethod
    def empty(cls, shape: Sequence[int], dtype: Any) -> Store:
        """A store to be filled through `array`."""
        store = cls.__new__(cls)
        store.array, store._tensor = _aligned(shape, np.dtype(dtype)), None
        return store

    @classmethod
    def mapped(cls, array: np.ndarray) -> Store:
        """A store that is a memory map of a .npy file, which is read as it is needed; the file stays as it is.

        Args:
            array: what `np.load(file, mmap_mode="c")` gave; the format puts the values where TensorFlow can read them.
        """
        store = cls.__new__(cls)
        store.array, store._tensor = np.asarray(array), None
        return store

    def __len__(self) -> int:
        return len(self.array)

    def __reduce__(self) -> tuple[type[Store], tuple[np.ndarray]]:
        return Store, (self.array,)  # without the tensor, which is the same memory

    @property
    def tensor(self) -> tf.Tensor:
        """The examples as a tensor in the CPU's memory."""
        if self._tensor is None:
            import tensorflow as tf

            self._tensor = tf.experimental.dlpack.from_dlpack(self.array.__dlpack__())
        return self._tensor

    def take(self, rows: np.ndarray) -> Store:
        """A store of its own with some of the examples, in the order of `rows`."""
        taken = Store.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        np.take(self.array, rows, axis=0, out=taken.array, mode="clip")  # any other mode takes the memory once more
        return taken


def _aligned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array at a place from which TensorFlow can read it."""
    memory = np.empty(int(np.prod(shape)) * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : memory.size - _ALIGNMENT + start].view(dtype).reshape(shape)
