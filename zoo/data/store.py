"""`Store`: examples in memory, once, for NumPy and TensorFlow alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_ALIGNMENT = 64  # bytes; TensorFlow reads memory in place only where a buffer starts at a multiple of it


class Store:
    """An array of stored examples that several splits share; TensorFlow reads the same memory.

    Args:
        array: (N, ...) examples. One that is not aligned as TensorFlow needs it is copied when `tensor` is first asked for.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        self._tensor: tf.Tensor | None = None

    @classmethod
    def empty(cls, shape: Sequence[int], dtype: Any) -> Store:
        """A store to be filled through `array`, aligned so that it is never copied."""
        dtype = np.dtype(dtype)
        memory = np.empty(int(np.prod(shape)) * dtype.itemsize + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return cls(memory[start : memory.size - _ALIGNMENT + start].view(dtype).reshape(shape))

    def __len__(self) -> int:
        return len(self.array)

    @property
    def tensor(self) -> tf.Tensor:
        """The examples as a tensor in the CPU's memory."""
        if self._tensor is None:
            import tensorflow as tf

            if self.array.ctypes.data % _ALIGNMENT or not self.array.flags.writeable:
                aligned = Store.empty(self.array.shape, self.array.dtype).array
                aligned[...] = self.array
                self.array = aligned  # what was given is let go
            self._tensor = tf.experimental.dlpack.from_dlpack(self.array.__dlpack__())
        return self._tensor

    def take(self, rows: np.ndarray) -> Store:
        """A store of its own with some of the examples, in the order of `rows`."""
        taken = Store.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        np.take(self.array, rows, axis=0, out=taken.array)
        return taken
