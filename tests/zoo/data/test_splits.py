from __future__ import annotations

import json

import zoo.startup

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo

# isort: split
import tensorflow as tf

from zoo.data.split import Scaling, Split, as_split
from zoo.data.splits import DataSplits, as_splits

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
LABELS = np.arange(20) % 2


def numbered(labels):
    """Example k is the number k."""
    return np.arange(len(labels), dtype=np.float32)[:, np.newaxis], np.asarray(labels)


def numbers(split):
    return split.inputs[:, 0].astype(int)


# validation


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32),
)
def test_a_fraction_is_stratified(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    data = DataSplits.from_arrays(numbered(labels), validation=fraction, seed=seed)
    train, held = numbers(data.train), numbers(data.validation)
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert list(train) == sorted(train)
    assert list(held) == sorted(held)
    for split in (data.train, data.validation):
        np.testing.assert_array_equal(split.labels, labels[numbers(split)])
        assert set(split.labels) == set(labels)
    for k, count in enumerate(counts):
        assert abs((data.validation.labels == k).sum() - fraction * count) <= 1


def test_the_seed_decides_which_examples_a_fraction_takes():
    chosen = [
        tuple(numbers(DataSplits.from_arrays(numbered(np.arange(200) % 2), validation=0.3, seed=s).validation))
        for s in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_class_with_one_example_stays_in_training():
    data = DataSplits.from_arrays(numbered([0] * 10 + [1]), validation=0.5)
    assert 10 in numbers(data.train)


def test_a_validation_split_is_never_empty():
    try:
        data = DataSplits.from_arrays(numbered([0, 1, 2, 3]), validation=0.25)  # nothing can be taken of any class
    except zoo.UsageError:
        return
    assert data.validation is None or len(data.validation)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), count=st.integers(2, 60), seed=st.integers(0, 9))
def test_an_int_takes_the_last_examples(data, count, seed):
    held = data.draw(st.integers(1, count - 1))
    splits = DataSplits.from_arrays(numbered(np.arange(count) % 3), validation=held, seed=seed)
    assert list(numbers(splits.train)) == list(range(count - held))
    assert list(numbers(splits.validation)) == list(range(count - held, count))


@pytest.mark.parametrize("validation", [None, 0, 0.0])
def test_no_validation(validation):
    data = DataSplits.from_arrays(numbered(LABELS), validation=validation)
    assert data.validation is None
    assert len(data.train) == 20


def test_the_test_split_as_validation():
    data = DataSplits.from_arrays(numbered(LABELS), validation="test", test=(np.full((3, 1), 7.0), [0, 1, 1]))
    assert len(data.train) == 20
    assert list(numbers(data.validation)) == list(numbers(data.test)) == [7, 7, 7]


@pytest.mark.parametrize("validation", [True, -0.1, -3, 1.0, 1.5, 20, 21, "tset", "test"])
def test_an_impossible_validation_is_refused(validation):
    with pytest.raises(zoo.UsageError, match="validation"):
        DataSplits.from_arrays(numbered(LABELS), validation=validation)


def test_a_count_may_be_a_numpy_integer():
    data = DataSplits.from_arrays(numbered(LABELS), validation=np.int64(4))
    assert list(numbers(data.validation)) == [16, 17, 18, 19]


# arrays


@pytest.mark.parametrize(
    ("inputs", "dtype", "shape"),
    [
        (np.zeros((4, 5, 6), np.uint8), np.uint8, (5, 6, 1)),
        (np.zeros((4, 5, 6, 3), np.uint8), np.uint8, (5, 6, 3)),
        (np.zeros((4, 5, 6), np.float32), np.float32, (5, 6)),
        (np.zeros((4, 2), np.float64), np.float64, (2,)),
        (np.zeros((4, 2), np.int64), np.float32, (2,)),
        ([[0.5, 1], [2, 3], [4, 5], [6, 7]], np.float64, (2,)),
    ],
)
def test_the_types_of_arrays(inputs, dtype, shape):
    split = Split.from_arrays(inputs, [0, 1, 0, 1])
    assert (split.dtype, split.inputs.dtype, split.input_shape) == (dtype, dtype, shape)
    assert len(split) == 4


@pytest.mark.parametrize("labels", [[0, 2, 1], [[0], [2], [1]], [0.0, 2.0, 1.0], np.array([0, 2, 1], np.uint8)])
def test_the_types_of_labels(labels):
    split = Split.from_arrays(np.zeros((3, 2)), labels)
    assert split.labels.dtype == np.int32
    assert list(split.labels) == [0, 2, 1]
    assert split.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (IMAGES, LABELS[:19], "20 inputs but 19 labels"),
        (IMAGES[:0], LABELS[:0], "no examples"),
        (IMAGES, LABELS - 1, "from 0"),
        (IMAGES, LABELS + 0.5, "fraction"),
        (IMAGES, LABELS + np.nan, "nan"),
        (IMAGES, np.eye(2)[LABELS], "one-hot"),
        (IMAGES, np.array(["cat", "dog"])[LABELS], "label"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(inputs, labels, message):
    with pytest.raises(zoo.DataError, match=message):
        Split.from_arrays(inputs, labels)
    with pytest.raises(zoo.DataError, match=message):
        DataSplits.from_arrays((inputs, labels))


def test_a_label_without_a_class_name_is_refused():
    with pytest.raises(zoo.DataError, match="label 2"):
        Split.from_arrays(np.zeros((3, 2)), [0, 1, 2], class_names=["a", "b"])


def test_one_class_only_still_makes_two_outputs():
    assert Split.from_arrays(np.zeros((3, 2)), [0, 0, 0]).num_classes == 2


def test_classes_are_counted_over_all_splits():
    data = DataSplits.from_arrays((IMAGES, LABELS), validation=(IMAGES[:1], [3]), test=(IMAGES[:1], [4]))
    assert data.num_classes == data.validation.num_classes == data.test.num_classes == 5
    assert data.input_shape == (8, 8, 1)


def test_inputs_of_another_shape_in_the_test_arrays_are_refused():
    with pytest.raises(zoo.DataError):
        DataSplits.from_arrays((IMAGES, LABELS), test=(IMAGES[:, :4, :4], LABELS))


def test_the_fingerprint_tells_data_apart():
    def config(images, labels):
        return DataSplits.from_arrays((images, labels), test=(IMAGES, LABELS)).config

    changed = IMAGES.copy()
    changed[3, 2, 1] ^= 1
    original = config(IMAGES, LABELS)
    assert json.loads(json.dumps(original)) == original
    assert config(IMAGES.copy(), LABELS.copy()) == original
    assert config(changed, LABELS) != original
    assert config(IMAGES, LABELS[::-1]) != original


def test_a_subset_keeps_inputs_labels_and_files_together():
    whole = Split.from_arrays(*numbered([0, 1, 2, 1]))
    whole.files = ["a", "b", "c", "d"]
    part = whole.subset(np.array([3, 0]))
    assert list(numbers(part)) == [3, 0]
    assert list(part.labels) == [1, 0]
    assert part.files == ["d", "a"]
    assert part.class_names == whole.class_names


# what is accepted as data


def test_splits_and_arrays_are_accepted_as_data():
    data = DataSplits.from_arrays((IMAGES, LABELS))
    assert as_splits(data) is data
    assert as_split(data.train) is data.train
    assert len(as_split((IMAGES, LABELS))) == 20
    assert len(as_splits((IMAGES, LABELS)).train) == 18


@pytest.mark.parametrize("convert", [as_split, as_splits])
@pytest.mark.parametrize("data", [None, "digits", IMAGES, (IMAGES, LABELS, LABELS), [1]])
def test_other_things_are_refused(convert, data):
    with pytest.raises(zoo.UsageError, match=f"Received: {type(data).__name__}"):
        convert(data)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, np.newaxis]])
def test_a_batched_dataset_is_accepted_as_data(labels):
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES[..., np.newaxis], labels)).batch(6)
    data = as_splits(dataset)
    assert (len(data.train), data.num_classes, data.input_shape) == (20, 2, (8, 8, 1))
    batches = list(data.train.batches(20).as_numpy_iterator())
    np.testing.assert_array_equal(batches[0][1], LABELS)
    np.testing.assert_allclose(batches[0][0][..., 0], IMAGES / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES, np.eye(2)[LABELS]),
        (IMAGES, LABELS - 1),
        (IMAGES, LABELS + 0.5),
        (IMAGES[:0], LABELS[:0]),
    ],
    ids=["one-hot", "negative", "fractions", "empty"],
)
def test_a_dataset_whose_labels_are_no_class_indices_is_refused(images, labels):
    with pytest.raises(zoo.DataError):
        as_split(tf.data.Dataset.from_tensor_slices((images, labels)).batch(6))


def test_a_dataset_without_batches_of_pairs_is_refused():
    with pytest.raises(zoo.DataError, match="batches"):
        as_split(tf.data.Dataset.from_tensor_slices(IMAGES).batch(6))
    with pytest.raises(zoo.DataError, match="batches"):
        as_split(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)))


# scaling


@settings(deadline=None, max_examples=50)
@given(low=st.floats(-1000, 1000), width=st.floats(0.01, 1000))
def test_scaling_maps_0_to_255_onto_the_range(low, width):
    scaling = Scaling.to_range((low, low + width))
    values = np.arange(256) * scaling.scale + scaling.offset
    np.testing.assert_allclose([values[0], values[-1]], [low, low + width], atol=1e-9)
    np.testing.assert_allclose(np.diff(values), width / 255, atol=1e-9)


@pytest.mark.parametrize("limits", [(1, 1), (1, 0), (0, float("nan"))])
def test_a_range_that_is_none_is_refused(limits):
    with pytest.raises(zoo.UsageError, match="input_range"):
        Scaling.to_range(limits)
