"""What is said of arrays that are no data: labels, inputs, sizes, names, options."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.data.folds import check_folds
from zoo.data.split import as_split
from zoo.errors import DataError, UsageError

LABELS = np.arange(40) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1)).astype(np.uint8)
FLOATS = (PIXELS / 255).astype(np.float32)


def with_value(value):
    inputs = FLOATS.copy()
    inputs[7, 1, 1, 0] = value
    return inputs


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 10**9, "from 0, below 100,000. Received: 1000000001"),
        ((LABELS + 2**40).astype(np.uint64), "Received: 1099511627777"),
        (np.full(40, 1e300), r"Received: 1e\+300"),
        (LABELS - 1, "Received: -1"),
        (LABELS + 0.5, "some have a fraction. Received: 0.5"),
        (LABELS + np.nan, "Received: dtype float64, e.g. nan"),
        (["cat", "dog"] * 20, "Received: dtype <U3, e.g. 'cat'"),
        ([None] * 40, "Received: dtype object, e.g. None"),
        ([[1], [2, 3]] * 20, "lists of several lengths"),
        (np.eye(2)[LABELS], "one-hot"),
        (LABELS[:30], "40 inputs but 30 labels; give one label an input"),
        (3, "one class index an example"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_labels_that_are_none_are_refused(labels, words):
    with pytest.raises(DataError, match=words) as refusal:
        zoo.DataSplits.from_arrays((PIXELS, labels))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (with_value(np.nan), "NaN or infinite values, first in example 7; remove or replace"),
        (with_value(np.inf), "NaN or infinite values, first in example 7"),
        (PIXELS[:0], "no examples"),
        (np.full((40, 2), "a"), "must be numbers, .* Received: <U1 of shape"),
        (np.full((40, 2), None), "Received: object of shape"),
        (FLOATS * 1j, "Received: complex64"),
        (np.arange(40.0), r"\(N, ...\) for N examples. Received: float64 of shape \(40,\)"),
        (np.zeros((40, 0)), r"Received: float64 of shape \(40, 0\)"),
        ([[1, 2], [3]] * 20, "no array .* give all the same shape"),
        (np.float32(3), "must be an array"),
        (None, "must be an array, .* Received: None"),
    ],
    ids=lambda value: str(value)[:30].replace("\n", ""),
)
def test_inputs_that_are_none_are_refused(inputs, words):
    with pytest.raises(DataError, match=words) as refusal:
        zoo.DataSplits.from_arrays((inputs, LABELS))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": {0.2}}, "validation must be a fraction"),
        ({"validation": float("nan")}, "Received: nan"),
        ({"test": 5}, r"test must be a pair \(inputs, labels\). Received: 5"),
        ({"test": (PIXELS,)}, "test must be a pair"),
        ({"class_names": "ab"}, "class_names must be a list"),
        ({"class_names": 5}, "class_names must be a list"),
        ({"input_range": (0,)}, r"input_range needs finite low < high. Received: input_range=\(0,\)"),
        ({"input_range": None}, "input_range"),
        ({"input_range": (0, float("inf"))}, "input_range"),
        ({"input_range": ("a", "b")}, "input_range"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"seed": 2**63}, "seed must be a whole number"),
    ],
    ids=str,
)
def test_options_that_are_none_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        zoo.DataSplits.from_arrays((PIXELS, LABELS), **options)


@pytest.mark.parametrize("names", [["a", "a"], ["a\0", "b"], ["a\n", "b"], ["\udcff", "b"], ["\u202ea", "b"]])
def test_class_names_must_differ_and_be_text(names):
    with pytest.raises(DataError, match="class names must differ and be printable; rename one") as refusal:
        zoo.DataSplits.from_arrays((PIXELS, LABELS), class_names=names)
    assert str(refusal.value).isprintable()


def test_class_names_may_look_like_paths_and_options():
    data = zoo.DataSplits.from_arrays((PIXELS, LABELS), class_names=["../a", "-b/c"])
    assert zoo.evaluate(zoo.build("softmax", (4, 4, 1), 2), data.train).class_names == ("../a", "-b/c")


@pytest.mark.parametrize("names", [{"cat": 0, "dog": 1}, {"cat", "dog"}, b"ab", np.array(2), iter("ab")], ids=type)
def test_class_names_without_an_order_are_refused(names):
    with pytest.raises(UsageError, match="class_names must be a list, one name a class"):
        zoo.DataSplits.from_arrays((PIXELS, LABELS), class_names=names)


# what others make: arrays, tables, shapes


@pytest.mark.parametrize(
    "names",
    [
        np.array(["cat", "dog"]),
        np.array(["cat", "dog"], object),
        pd.Index(["cat", "dog"]),
        pd.Series(["cat", "dog"], [5, 6]),
    ],
    ids=["array", "objects", "index", "series"],
)
def test_class_names_may_be_an_array(names):
    data = zoo.DataSplits.from_arrays((PIXELS, LABELS), class_names=names, input_range=np.array([0, 2]))
    assert data.class_names == ("cat", "dog")
    assert json.loads(json.dumps(data.config))["input_range"] == [0, 2]


@pytest.mark.parametrize("classes", [np.array([3, 2]), pd.Index(["3", "2"]), [np.int64(3), np.str_("2")]], ids=type)
def test_classes_may_be_an_array(classes):
    data = zoo.load_dataset("digits", classes=classes)
    assert data.class_names == ("3", "2")
    assert json.loads(json.dumps(data.config))["classes"] in ([3, 2], ["3", "2"], [3, "2"])


@pytest.mark.parametrize(
    "size", [np.array([4, 5]), tf.zeros([1, 4, 5, 3]).shape[1:3], pd.Index([4, 5]), [np.int64(4), 5]], ids=type
)
def test_a_size_may_be_a_shape(size):
    data = zoo.load_dataset("digits", image_size=size, input_range=np.array([-1.0, 1.0]))
    assert data.input_shape == (4, 5, 1)
    assert json.loads(json.dumps(data.config))["image_size"] == [4, 5]


def test_a_pair_may_be_a_list_of_two():
    pair = [PIXELS, LABELS]
    data = zoo.DataSplits.from_arrays(pair, validation=pair, test=pair)
    assert (len(data.train), len(data.validation), len(data.test)) == (40, 40, 40)


def test_a_table_of_several_kinds_of_numbers_is_an_array():
    table = pd.DataFrame({"a": np.arange(40) % 3, "b": LABELS == 1, "c": np.linspace(0, 1, 40)})
    assert table.to_numpy().dtype == object
    np.testing.assert_array_equal(as_split((table, LABELS)).inputs, table.astype(float))
    with pytest.raises(DataError, match=r"must be numbers, .* Received: <U"):
        as_split((table.assign(d="3"), LABELS))


# inputs of another shape than the model's


@pytest.mark.parametrize("shape", [(4, 4, 3), (5, 4, 1), (16,)], ids=str)
def test_inputs_of_another_shape_than_the_model_takes_are_refused(shape):
    model, inputs = zoo.build("softmax", (4, 4, 1), 2), np.zeros((40, *shape), np.float32)
    for use in (
        lambda: zoo.train(model, (inputs, LABELS), verbose=False),
        lambda: zoo.evaluate(model, (inputs, LABELS)),
        lambda: zoo.evaluate(model, tf.data.Dataset.from_tensor_slices((inputs, LABELS)).batch(8)),
        lambda: zoo.measure_robustness(model, (inputs, LABELS), "noise", verbose=False),
    ):
        with pytest.raises(UsageError) as refusal:
            use()
        assert str(refusal.value) == (
            f"the model takes inputs of shape (4, 4, 1), the data have {shape}; build the model with input_shape={shape}"
        )


# datasets of tf.data


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_dataset_with_inputs_that_are_no_numbers_is_refused(value):
    with pytest.raises(DataError, match="NaN or infinite values, first in batch 3; remove or replace them"):
        as_split(tf.data.Dataset.from_tensor_slices((with_value(value), LABELS)).batch(2))


@pytest.mark.parametrize(
    ("labels", "words"), [(LABELS - 1, "Received: -1"), (LABELS + 0.5, "fraction"), (np.eye(2)[LABELS], "one-hot")]
)
def test_a_dataset_with_labels_that_are_none_is_refused(labels, words):
    with pytest.raises(DataError, match=words):
        as_split(tf.data.Dataset.from_tensor_slices((PIXELS, labels)).batch(8))


def test_a_dataset_without_batches_is_refused():
    with pytest.raises(DataError, match="the dataset gives no batches"):
        as_split(tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(8).take(0))


# what is asked of a split


@pytest.mark.parametrize("size", [0, -1, 2.5, "8", True, None])
def test_a_batch_of_nothing_is_refused(size):
    split = as_split((PIXELS, LABELS))
    for ask in (split.batches, split.stored_batches, split.num_batches):
        with pytest.raises(UsageError, match="batch_size must be a whole number of at least 1"):
            ask(size)


def test_more_folds_than_examples_of_a_class_are_refused():
    data = zoo.DataSplits.from_arrays((PIXELS, LABELS))
    assert len(check_folds(data, 20)) == 40
    with pytest.raises(UsageError, match=r"one has 20\. Received: folds=21"):
        check_folds(data, 21)


# names and options of data sets


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits\0", r"unknown data set 'digits\\x00'; did you mean 'digits'"),
        ("-digits", "did you mean 'digits'"),
        ("a\nb", r"unknown data set 'a\\nb'"),
        ("\udcff", r"unknown data set '\\udcff'"),
        ("n" * 300, r"unknown data set 'n{77}\.\.\.'"),
        ("n" * 300 + "/x", "no such folder"),
        ("../digits", "no such folder"),
        ("/dev/null", "no such folder"),
        ("", "name or a folder's path"),
        (None, "name or a folder's path. Received: None"),
        (b"digits", "name or a folder's path"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_names_that_are_none_are_refused(name, words):
    with pytest.raises(UsageError, match=words) as refusal:
        zoo.load_dataset(name)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 2.5}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"classes": 5}, "classes must be a list"),
        ({"classes": "01"}, "classes must be a list"),
        ({"image_size": (8,)}, "image_size must be one or two"),
        ({"image_size": "8"}, "image_size must be one or two"),
        ({"image_size": 2.5}, "image_size must be one or two"),
        ({"image_size": 10**6}, "image_size must be one or two"),
        ({"color_mode": "greyscale"}, "did you mean 'grayscale'"),
        ({"input_range": 5}, "input_range"),
        ({"validation": [0.1]}, "validation must be"),
        ({"seed": "a"}, "seed must be"),
    ],
    ids=str,
)
def test_options_of_the_wrong_kind_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        zoo.load_dataset("digits", **options)


def test_a_numpy_integer_is_a_size():
    assert zoo.load_dataset("digits", image_size=np.int64(4)).input_shape == (4, 4, 1)
