from __future__ import annotations

import json

import numpy as np
import pytest

import zoo
from zoo.data import tfds_source
from zoo.data.datasets import class_indices, pick_classes
from zoo.data.split import Split

# name -> (examples that are not test, test examples, shape, classes, further options)
EXPECTED = {
    "blobs": (200, 200, (2,), 2, {}),
    "blobs3": (300, 300, (2,), 3, {}),
    "digits": (1442, 355, (8, 8, 1), 10, {}),
    "mnist": (60_000, 10_000, (28, 28, 1), 10, {}),
    "fashion_mnist": (60_000, 10_000, (28, 28, 1), 10, {}),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10, {}),
    "cifar100": (50_000, 10_000, (32, 32, 3), 100, {}),
    "cats_vs_dogs": (18_609, 4_653, (32, 32, 3), 2, {"image_size": 32, "in_memory": True}),
}
FIRST_LABELS = {  # of training, in the order of the source's own file
    "mnist": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
    "fashion_mnist": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
}
EMBEDDED = ["blobs", "blobs3", "digits"]


def load(name, **options):
    if name not in EMBEDDED:
        tfds = pytest.importorskip("tensorflow_datasets")
        if not tfds.builder(name).is_prepared():
            pytest.skip(f"{name} is not prepared under TFDS_DATA_DIR")
    return zoo.load_dataset(name, **EXPECTED[name][-1], **options)


def content(split):
    return [(x.tobytes(), int(y)) for x, y in zip(split.inputs, split.labels, strict=True)]


# every data set


def test_every_data_set_has_an_expectation():
    assert zoo.list_datasets() == sorted(EXPECTED)


@pytest.mark.parametrize("name", zoo.list_datasets())
def test_a_data_set_has_its_shapes_and_classes(name):
    count, test_count, shape, num_classes, _ = EXPECTED[name]
    data = load(name, validation=100)
    assert (data.input_shape, data.num_classes, len(data.class_names)) == (shape, num_classes, num_classes)
    assert (len(data.train), len(data.validation), len(data.test)) == (count - 100, 100, test_count)
    for split in (data.train, data.validation, data.test):
        assert split.class_names == data.class_names
        assert split.inputs.shape == (len(split), *shape)
    for split in (data.train, data.test):
        assert set(split.labels) == set(range(num_classes))
    if name in FIRST_LABELS:
        assert data.train.labels[:10].tolist() == FIRST_LABELS[name]
    if data.train.dtype == np.uint8:
        assert data.train.inputs.min() == 0
        assert data.train.inputs.max() == 255


@pytest.mark.parametrize("options", [{"seed": 7}, {"limit": 100}, {"seed": 8, "limit": 120, "validation": 0.4}])
@pytest.mark.parametrize("name", EMBEDDED)
def test_the_test_split_depends_on_neither_seed_nor_limit(name, options):
    other = load(name, **options)
    assert content(other.test) == content(load(name).test)
    if "limit" in options:
        assert len(other.train) + len(other.validation) == options["limit"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_example_is_in_two_splits(name):
    data = load(name, validation=0.2)
    assert [(data.validation.labels == k).any() for k in range(data.num_classes)] == [True] * data.num_classes
    splits = [set(content(s)) for s in (data.train, data.validation, data.test)]
    assert not splits[0] & splits[1]
    assert not splits[0] & splits[2]
    assert not splits[1] & splits[2]


@pytest.mark.parametrize("name", EMBEDDED)
def test_loading_twice_gives_the_same_and_another_seed_another_validation(name):
    first, again, other = load(name), load(name), load(name, seed=1)
    for split in ("train", "validation", "test"):
        assert content(getattr(first, split)) == content(getattr(again, split))
    assert content(first.validation) != content(other.validation)
    assert sorted(content(first.train) + content(first.validation)) == sorted(
        content(other.train) + content(other.validation)
    )


def test_digits_are_those_of_scikit_learn_in_their_order():
    from sklearn.datasets import load_digits

    data = load("digits", validation=None)
    assert list(data.train.labels[:10]) == list(load_digits().target[:10])
    np.testing.assert_allclose(data.train.inputs[0, ..., 0] / 255, load_digits().images[0] / 16, atol=0.5 / 255)
    counts = np.bincount(load_digits().target)
    np.testing.assert_array_equal(np.bincount(data.test.labels), counts // 5)


# limit, classes, validation: in this order


def test_limit_keeps_the_first_before_classes_and_these_before_validation():
    whole = load("digits", validation=None)
    first = whole.train.subset(np.arange(400))
    kept = np.flatnonzero(np.isin(first.labels, (2, 3)))
    data = load("digits", limit=400, classes=(3, 2), validation=9)
    assert len(data.train) == len(kept) - 9
    assert len(data.validation) == 9
    inputs = np.concatenate([data.train.inputs, data.validation.inputs])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(inputs, first.inputs[kept])
    np.testing.assert_array_equal(labels, first.labels[kept] == 2)
    assert set(data.test.labels) == {0, 1}
    assert len(data.test) == np.isin(whole.test.labels, (2, 3)).sum()


@pytest.mark.parametrize("classes", [(3, 2), ("3", "2"), (3, "2"), [3, 2], (np.int64(3), np.int64(2))])
def test_classes_are_renumbered_in_the_order_given(classes):
    data = load("digits", classes=classes)
    assert data.class_names == ("3", "2")
    assert data.num_classes == 2
    whole = load("digits", validation=None).train
    twos = {x.tobytes() for x in whole.inputs[whole.labels == 2]}
    assert {x.tobytes() for x in data.train.inputs[data.train.labels == 1]} <= twos
    assert not {x.tobytes() for x in data.train.inputs[data.train.labels == 0]} & twos


def test_names_come_before_numbers():
    assert class_indices(["1", "0", "two"], ("1", "two")) == [0, 2]
    assert class_indices(["1", "0", "two"], (1, 2)) == [1, 2]


@pytest.mark.parametrize("classes", [(3,), (), (3, 3), (3, "3"), (3, 10), (3, -1), (3, "three"), (3, "²"), (3, None)])
def test_classes_that_are_none_are_refused(classes):
    with pytest.raises(zoo.UsageError, match="class"):
        load("digits", classes=classes)


def test_the_nearest_class_is_named():
    split = Split.from_arrays(np.zeros((4, 2)), [0, 1, 2, 0], class_names=["ant", "bee", "cow"])
    with pytest.raises(zoo.UsageError, match="did you mean 'bee'"):
        pick_classes(split, ("ant", "bees"))
    with pytest.raises(zoo.DataError, match="no examples"):
        pick_classes(split.subset(np.array([2])), ("ant", "bee"))


def test_picking_classes_leaves_the_original_alone():
    split = Split.from_arrays(np.zeros((4, 2)), [0, 1, 2, 0])
    pick_classes(split, (2, 0))
    assert list(split.labels) == [0, 1, 2, 0]
    assert split.num_classes == 3


def test_a_limit_beyond_the_end_keeps_all():
    assert len(load("digits", limit=10**6, validation=None).train) == EXPECTED["digits"][0]


def test_the_test_split_as_validation():
    data = load("digits", validation="test")
    assert len(data.train) == EXPECTED["digits"][0]
    assert content(data.validation) == content(data.test)


@pytest.mark.filterwarnings("ignore::zoo.DataWarning")
def test_a_limit_below_the_number_of_classes_never_gives_an_empty_validation_split():
    try:
        data = load("digits", limit=5)
    except zoo.UsageError:
        return
    assert data.validation is None or len(data.validation)


# images


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"image_size": 16}, (16, 16, 1)),
        ({"image_size": (4, 6)}, (4, 6, 1)),
        ({"color_mode": "rgb"}, (8, 8, 3)),
        ({"image_size": 5, "color_mode": "rgb"}, (5, 5, 3)),
        ({"color_mode": "grayscale"}, (8, 8, 1)),
    ],
)
def test_digits_in_another_size_and_colour(options, shape):
    data = load("digits", **options)
    plain = load("digits")
    assert data.input_shape == shape
    assert data.train.dtype == np.uint8
    assert abs(data.train.inputs.mean() - plain.train.inputs.mean()) < 3


@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (0, 255)])
def test_digits_in_another_range(limits):
    batch, _ = next(load("digits", input_range=limits).test.batches(355).as_numpy_iterator())
    np.testing.assert_allclose((batch.min(), batch.max()), limits, atol=1e-4)


@pytest.mark.parametrize("option", [{"image_size": 8}, {"color_mode": "rgb"}])
def test_points_have_no_size_and_no_colour(option):
    with pytest.raises(zoo.UsageError, match="points"):
        load("blobs", **option)


def test_the_config_names_every_option_and_reproduces_the_data():
    options = {"seed": 3, "limit": 500, "classes": [4, 9], "validation": 0.2, "image_size": [4, 6]}
    options |= {"input_range": [-1, 1], "color_mode": "rgb"}
    data = load("digits", **options)
    config = json.loads(json.dumps(data.config))
    assert config.items() >= (options | {"name": "digits"}).items()
    again = zoo.load_dataset(config.pop("name"), **config)
    assert content(again.train) == content(data.train)
    assert content(again.validation) == content(data.validation)


def test_options_may_be_numbers_of_numpy():
    data = load("digits", seed=np.int64(1), limit=np.int32(300), validation=np.float64(0.2))
    assert data.config == load("digits", seed=1, limit=300, validation=0.2).config
    assert json.loads(json.dumps(data.config)) == data.config


# what is refused


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -5}, "limit"),
        ({"color_mode": "cmyk"}, "color_mode"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": (8, -1)}, "image_size"),
        ({"input_range": (1, 0)}, "input_range"),
        ({"validation": 1.5}, "validation"),
        ({"validation": 2000}, "validation"),
        ({"validation": "tset"}, "validation"),
        ({"validation": [0.1]}, "validation"),
        ({"validation": np.array([0.1, 0.2])}, "validation"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused_by_name(option, word):
    with pytest.raises(zoo.UsageError, match=word) as refusal:
        load("digits", **option)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("mnsit", "mnist"), ("digit", "digits"), ("cifar-10", "cifar10"), ("blob", "blobs"), ("CIFAR10", "cifar10")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(zoo.UsageError, match=f"unknown data set '{name}'; did you mean .*'{nearest}'") as refusal:
        zoo.load_dataset(name)
    assert str(refusal.value).endswith("; and there is no folder of that name here")


@pytest.mark.parametrize("path", ["./no/such/folder", "/no/such/folder", "..missing", "no\\such"])
def test_a_missing_folder_is_said_to_be_missing(path):
    with pytest.raises(zoo.UsageError, match="no such folder"):
        zoo.load_dataset(path)


def test_names_of_the_table_that_tfds_should_know_are_known_to_it():
    assert all(tfds_source.knows(name) for name in EXPECTED if name not in EMBEDDED)
