"""Splits that share a store, and batches of its rows: NumPy's fancy indexing is the referee."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import zoo.startup  # noqa: F401  (before TensorFlow)

# isort: split
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.pipeline import MemoryBatches, shuffled
from zoo.data.split import Split


def numbered(count: int, dtype="float32") -> Split:
    """Example k holds k and -k, and has the label k modulo 3."""
    k = np.arange(count)
    return Split.from_arrays(np.stack([k, -k], axis=1).astype(dtype), k % 3, class_names=["a", "b", "c"])


def one_pass(batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(batches.as_numpy_iterator())
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


def test_a_subset_shares_the_store():
    split = numbered(10)
    subset = split.subset(np.array([7, 2, 2]))
    assert subset.store is split.store
    assert subset.subset(np.array([1])).store is split.store
    assert (len(subset), len(subset.labels), subset.num_batches(2)) == (3, 3, 2)
    np.testing.assert_array_equal(subset.inputs, split.store.array[subset.rows])
    assert np.shares_memory(split.inputs, split.store.array)  # nothing is copied to look at the whole


@pytest.mark.parametrize("rows", [[1, 0, 2], [0, 1, 1], [2, 1, 0]], ids=str)
def test_a_subset_as_long_as_the_whole_is_not_taken_for_it(rows):
    split = numbered(3)
    np.testing.assert_array_equal(split.subset(np.array(rows)).inputs, split.inputs[rows])


@st.composite
def chains(draw):
    """A number of examples, and index arrays that each choose from what the one before has left."""
    count = draw(st.integers(1, 30))
    chain, left = [], count
    for _ in range(draw(st.integers(0, 4))):
        indices = draw(st.lists(st.integers(-left, left - 1), min_size=1, max_size=40))
        kind = draw(st.sampled_from([np.int64, np.int32, np.int8]))
        chain.append(np.array(indices, kind))
        left = len(indices)
    return count, chain


@settings(deadline=None, max_examples=12, derandomize=True)
@given(chains(), st.integers(1, 12), st.booleans(), st.booleans())
def test_subsets_of_subsets_are_numpys_fancy_indexing(chain, batch_size, in_bytes, compact):
    count, indices = chain
    split = numbered(count, "uint8" if in_bytes else "float32")
    inputs, labels = split.inputs, split.labels
    for chosen in indices:
        split, inputs, labels = split.subset(chosen), inputs[chosen], labels[chosen]
    if compact:
        split.compact()
    assert len(split) == len(inputs)
    np.testing.assert_array_equal(split.inputs, inputs)
    np.testing.assert_array_equal(split.labels, labels)
    scale = split.scaling.scale
    for batches, factor in ((split.stored_batches(batch_size), 1.0), (split.batches(batch_size), scale)):
        x, y = one_pass(batches)
        np.testing.assert_allclose(x, inputs * np.float32(factor), rtol=1e-6)
        np.testing.assert_array_equal(y, labels)


def test_a_compact_split_has_a_store_of_its_own():
    whole = numbered(10)
    rows = np.array([7, 2, 5])
    subset, other = whole.subset(rows), whole.subset(np.array([1, 7]))
    subset.compact()
    assert len(subset.store) == 3
    np.testing.assert_array_equal(subset.rows, [0, 1, 2])
    np.testing.assert_array_equal(subset.inputs, whole.inputs[rows])
    np.testing.assert_array_equal(one_pass(subset.stored_batches(2))[0], whole.inputs[rows])
    np.testing.assert_array_equal(subset.labels, whole.labels[rows])
    assert other.store is whole.store  # who shared it before still does
    np.testing.assert_array_equal(other.inputs, whole.inputs[[1, 7]])


def test_compacting_frees_what_nobody_needs():
    whole = numbered(10)
    train, rest = whole.subset(np.arange(4)), whole.subset(np.arange(4, 6))
    store = weakref.ref(whole.store)
    del whole
    train.compact()
    gc.collect()
    assert store() is not None
    rest.compact()
    gc.collect()
    assert store() is None


def test_a_whole_split_is_compact_already():
    whole = numbered(10)
    store = whole.store
    whole.compact()
    assert whole.store is store


# Batches of rows


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.integers(1, 30), st.integers(1, 35), st.booleans(), st.booleans(), st.integers(0, 2**40))
def test_batches_in_a_graph_are_those_of_the_dataset(count, batch_size, shuffle, drop, seed):
    split = numbered(40).subset(np.arange(40)[::-1][:count])
    batches = split.batches(batch_size, shuffle=shuffle, drop_remainder=drop, seed=seed)
    memory = MemoryBatches(split, batch_size, shuffle=shuffle, drop_remainder=drop)
    for number in range(3):
        expected = list(batches.as_numpy_iterator())
        assert memory.steps == len(expected)
        order = memory.order(seed, tf.constant(number, tf.int64))
        for step, (inputs, labels) in enumerate(expected):
            found = memory.batch(order, tf.constant(step, tf.int64))
            np.testing.assert_array_equal(found[0], inputs)
            np.testing.assert_array_equal(found[1], labels)


def test_the_order_is_a_permutation_that_seed_and_pass_decide():
    orders = {(seed, n): shuffled(50, seed, n).numpy().tolist() for seed in (0, 1, 2**40) for n in (0, 1, 2)}
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == len(orders)
    assert shuffled(50, tf.constant(1), tf.constant(2)).numpy().tolist() == orders[1, 2]  # whatever the integers' type


MEMORY = """
import gc, json, pathlib
import zoo.startup  # noqa: F401  (before TensorFlow)
import numpy as np
import tensorflow as tf
import zoo

def memory(field):
    tf.reduce_sum(tf.constant(np.ones((3, 3))))  # TensorFlow lets go of NumPy's memory when it is next called
    gc.collect()
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split(field)[1].split()[0])

def used(data):
    for split in (data.train, data.validation, data.test):
        for batches in (split.batches(500, shuffle=True, augment=lambda x, y: (x, y)), split.stored_batches(500)):
            for inputs, labels in batches.take(3):
                pass
    model = zoo.build("softmax", data.input_shape, data.num_classes)
    zoo.train(model, data, zoo.Recipe(batch_size=500, epochs=1), verbose=False)
    return data

def splits(array):
    array[...] = 7  # touched, or it takes no memory
    labels = np.arange(len(array)) % 10
    return zoo.DataSplits.from_arrays((array, labels), validation=0.2, test=(array[:500], labels[:500]))

used(splits(np.empty((1000, 1000), np.uint8)))  # what TensorFlow takes once and for all
before = memory("VmRSS:")
kept = used(splits(np.empty((100_000, 1000), np.uint8)))
grown = [(memory(field) - before) / 1e8 for field in ("VmRSS:", "VmHWM:")]
print(json.dumps(grown))
"""


@pytest.fixture(scope="module", autouse=True)
def memory_process(request):
    """Runs beside the other tests, where a chosen test waits for it."""
    if not any(
        item.name == "test_splits_pipelines_and_training_hold_the_examples_once" for item in request.session.items
    ):
        yield None
        return
    command = [sys.executable, "-c", MEMORY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_splits_pipelines_and_training_hold_the_examples_once(memory_process):
    output, _ = memory_process.communicate()
    assert memory_process.returncode == 0, output
    grown = json.loads(output.strip().splitlines()[-1])  # in units of the array of 100 MB: at the end, at most
    assert 0.9 < grown[0] < 1.3, grown
    assert grown[1] < 2.3, grown  # the array that was given, and the one that is kept
