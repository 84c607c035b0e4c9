"""`Store`: one memory for NumPy and TensorFlow."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import zoo.startup  # noqa: F401  (before TensorFlow)

# isort: split
import numpy as np
import pytest
import tensorflow as tf

from zoo.data.split import Split
from zoo.data.store import Store

DTYPES = pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])


def address(tensor) -> int:
    """Where a tensor's memory starts; neither the buffer protocol nor NumPy copies it."""
    return np.asarray(memoryview(tensor)).ctypes.data


def values(shape, dtype="float32", seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def aligned(array: np.ndarray, past: int = 0) -> np.ndarray:
    """A copy that starts `past` bytes after a multiple of 64."""
    memory = np.zeros(array.nbytes + 64 + past, np.uint8)
    start = -memory.ctypes.data % 64 + past
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert copy.ctypes.data % 64 == past % 64
    return copy


@DTYPES
@pytest.mark.parametrize("shape", [(5, 3, 2), (1,), (64, 1)], ids=str)
@pytest.mark.parametrize("past", [0, 16, 32])
def test_an_array_is_copied_once_into_memory_that_tensorflow_reads(shape, dtype, past):
    original = aligned(values(shape, dtype), past)
    store = Store(original)
    original += 1  # whoever gave it may change it
    assert address(store.tensor) == store.array.ctypes.data != original.ctypes.data
    store.array[0] = 101
    expected = values(shape, dtype)
    expected[0] = 101
    np.testing.assert_array_equal(store.tensor, expected)
    assert store.tensor is store.tensor
    assert store.tensor.dtype.as_numpy_dtype == np.dtype(dtype)
    assert len(store) == shape[0]


@DTYPES
def test_an_empty_store_is_aligned_and_filled_in_place(dtype):
    for shape in [(7, 5), (1, 3, 3, 1), (130,)]:
        store = Store.empty(shape, dtype)
        assert (store.array.shape, store.array.dtype) == (shape, np.dtype(dtype))
        store.array[...] = values(shape, dtype)
        assert address(store.tensor) == store.array.ctypes.data
        np.testing.assert_array_equal(store.tensor, values(shape, dtype))


def test_what_was_given_is_let_go():
    original = values((6, 4))
    store, watched = Store(original), weakref.ref(original)
    del original
    gc.collect()
    assert watched() is None
    assert len(store) == 6


def test_a_copy_of_a_store_is_one_memory_too():
    for copied in (copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))):
        store = Store(values((6, 4)))
        store.tensor  # noqa: B018
        other = copied(store)
        assert address(other.tensor) == other.array.ctypes.data != store.array.ctypes.data
        np.testing.assert_array_equal(other.tensor, values((6, 4)))


def test_what_must_not_be_written_to_is_taken():
    array = values((6, 4))
    array.flags.writeable = False
    np.testing.assert_array_equal(Store(array).tensor, values((6, 4)))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.T,
        lambda a: a[:, 1:3],
        np.asfortranarray,
        lambda a: np.broadcast_to(a[:1], a.shape),
    ],
    ids=["every-second", "backwards", "transposed", "columns", "fortran", "broadcast"],
)
def test_any_layout_of_memory_is_taken(view):
    array = view(aligned(values((6, 4))))
    store = Store(array)
    np.testing.assert_array_equal(store.tensor, array)
    np.testing.assert_array_equal(store.array, array)


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
@pytest.mark.parametrize("past", [0, 16])
def test_either_byte_order_is_taken(dtype, past):
    split = Split.from_arrays(aligned(values((6, 2), dtype), past), [0, 1] * 3)
    (batch, _), *_ = split.batches(6)
    np.testing.assert_array_equal(batch, values((6, 2)))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0, 2)], ids=str)
def test_nothing_is_an_array_too(shape):
    for store in (Store(np.zeros(shape, np.float32)), Store.empty(shape, "float32")):
        assert store.tensor.shape == store.array.shape == shape
        assert store.tensor.dtype == tf.float32
        assert len(store) == shape[0]


def test_the_tensor_is_in_the_memory_of_the_cpu():
    for past in (0, 16):
        assert Store(aligned(values((3, 2)), past)).tensor.device.endswith("CPU:0")


@pytest.mark.parametrize("past", [0, 16])
def test_the_memory_lives_as_long_as_either_needs_it(past):
    def tensor_alone() -> tf.Tensor:
        return Store(aligned(values((500, 40)), past)).tensor

    def array_alone() -> np.ndarray:
        store = Store(aligned(values((500, 40)), past))
        store.tensor  # noqa: B018
        return store.array

    for alone in (tensor_alone, array_alone):
        kept = alone()
        gc.collect()
        others = [np.full((500, 40), -1, np.float32) for _ in range(20)]  # take what was freed
        np.testing.assert_array_equal(kept, values((500, 40)))
        del others


@DTYPES
@pytest.mark.parametrize("rows", [[3, 0, 5], [2, 2, 2, 2], [0, 1, 2, 3, 4, 5], []], ids=str)
def test_take_makes_a_store_of_its_own(rows, dtype):
    store = Store(values((6, 4, 2), dtype))
    taken = store.take(np.array(rows, np.int32))
    np.testing.assert_array_equal(taken.array, store.array[rows])
    assert taken.array.dtype == np.dtype(dtype)
    assert not np.shares_memory(taken.array, store.array)
    np.testing.assert_array_equal(taken.tensor, store.array[rows])
    if rows:
        assert address(taken.tensor) == taken.array.ctypes.data  # never copied again
