from __future__ import annotations

import socket

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass

import zoo
from zoo.data import tfds_source

tfds = pytest.importorskip("tensorflow_datasets")

COUNT = 40
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")


@pytest.fixture
def no_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    for variable in PROXIES:
        monkeypatch.delenv(variable, raising=False)


class ZooTestPictures(tfds.core.GeneratorBasedBuilder):
    """Forty pictures of different sizes, training examples only."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["dark", "bright"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        random = np.random.default_rng(0)
        for i in range(COUNT):
            shape = (*random.integers(5, 12, 2), 3)
            pixels = random.integers(0, 100, shape) + 100 * (i % 2)
            yield i, {"image": pixels.astype(np.uint8), "label": i % 2}


NAME = "zoo_test_pictures"


def numbers(split):
    """The examples as bytes, to compare them by."""
    return [x.tobytes() for x in split.inputs]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A TFDS data directory with the data set above and nothing else."""
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    ZooTestPictures(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def prepared(directory, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(directory))


@pytest.fixture
def load(prepared):
    def load(**options):
        return zoo.load_dataset(NAME, **({"image_size": (8, 6)} | options))

    return load


# a data set with pictures of different sizes and without a test split


def test_the_last_fifth_is_the_test_split_whatever_seed_and_limit(load):
    data = load(validation=None)
    assert (len(data.train), len(data.test)) == (32, 8)
    assert data.class_names == ("dark", "bright")
    assert data.input_shape == (8, 6, 3)
    for options in ({"seed": 3}, {"limit": 10}, {"validation": 5}):
        assert numbers(load(**options).test) == numbers(data.test)
    streamed = load(in_memory=False, limit=10).test
    np.testing.assert_array_equal(one_pass(streamed.stored_batches(3))[0], data.test.inputs)


def test_no_example_is_in_two_splits(load):
    data = load(validation=0.25)
    assert len({*numbers(data.train), *numbers(data.validation), *numbers(data.test)}) == COUNT
    assert len(data.train) + len(data.validation) + len(data.test) == COUNT


def test_images_and_labels_belong_together(load):
    data = load(validation=None)
    bright = data.train.inputs.mean(axis=(1, 2, 3)) > 100
    np.testing.assert_array_equal(bright, data.train.labels == 1)


@pytest.mark.parametrize("options", [{"validation": 5}, {"validation": None}, {"validation": "test"}])
@pytest.mark.parametrize("more", [{}, {"color_mode": "grayscale"}, {"limit": 13, "input_range": (-1, 1)}])
def test_streamed_batches_equal_those_in_memory(load, options, more):
    held, streamed = load(**options, **more), load(in_memory=False, **options, **more)
    assert streamed.input_shape == held.input_shape
    assert streamed.train.inputs is None
    for name in ("train", "validation", "test"):
        a, b = getattr(held, name), getattr(streamed, name)
        if a is None:
            assert b is None
            continue
        assert len(a) == len(b)
        for x, y in zip(one_pass(a.batches(5)), one_pass(b.batches(5)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_fraction_of_a_stream_is_its_last_part(load):
    data = load(in_memory=False, validation=0.25)
    assert (len(data.train), len(data.validation)) == (24, 8)
    whole = load(validation=None).train.inputs
    np.testing.assert_array_equal(one_pass(data.train.stored_batches(7))[0], whole[:24])
    np.testing.assert_array_equal(one_pass(data.validation.stored_batches(7))[0], whole[24:])


def test_a_stream_gives_the_same_order_in_every_pass(load):
    batches = load(in_memory=False).train.batches(4)
    np.testing.assert_array_equal(one_pass(batches)[0], one_pass(batches)[0])


@pytest.mark.parametrize("validation", [1.0, 1.5, -0.1, 32, 100, -1, "tset", True, float("nan"), [1]], ids=str)
@pytest.mark.parametrize("in_memory", [True, False])
def test_an_impossible_validation_is_refused(load, validation, in_memory):
    with pytest.raises(zoo.UsageError, match="validation"):
        load(validation=validation, in_memory=in_memory)


def test_a_fraction_may_be_a_number_of_numpy(load):
    assert len(load(in_memory=False, validation=np.float32(0.25)).validation) == 8


def test_a_fraction_of_a_stream_that_is_no_example_is_refused(load):
    with pytest.raises(zoo.UsageError, match=r"5 examples are too few to hold out validation=0\.01"):
        load(in_memory=False, limit=5, validation=0.01)


def test_a_limit_that_loses_a_class_says_so(load):
    with pytest.warns(zoo.DataWarning, match="limit=1 leaves no training examples of") as caught:
        load(limit=1, validation=None)
    assert caught[0].filename == __file__


def test_an_order_that_cannot_be_restored_is_told(load, monkeypatch):
    monkeypatch.setitem(tfds_source._SOURCE_ORDER, NAME, (7,))
    with pytest.warns(zoo.DataWarning, match="file order cannot be restored") as caught:
        load(validation=None)
    assert caught[0].filename == __file__


def test_limit_and_classes(load):
    assert len(load(limit=13, validation=None).train) == 13
    swapped = load(classes=("bright", "dark"), validation=None)
    assert swapped.class_names == ("bright", "dark")
    np.testing.assert_array_equal(swapped.train.labels, 1 - load(validation=None).train.labels)
    with pytest.raises(zoo.UsageError, match="classes"):
        load(classes=(1, 0), in_memory=False)


def test_sizes_that_differ_are_refused_with_the_remedy(load):
    with pytest.raises(zoo.UsageError, match=f"{NAME} differ in size; give image_size"):
        load(image_size=None)


def test_loading_a_prepared_data_set_needs_no_network(load, no_network):
    assert len(load().test) == 8


# no network


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_a_data_set_that_is_not_here_without_a_network_is_one_line_that_offers_digits(prepared, no_network, name):
    with pytest.raises(zoo.ZooError) as refusal:
        zoo.load_dataset(name)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(name)
    assert "digits" in message
    assert "TFDS_DATA_DIR" in message
    assert not isinstance(refusal.value, zoo.UsageError)


@pytest.mark.parametrize("name", ["mnistt", "kmnistt/3.0.1", "Fashion_MNIST"])
def test_a_name_that_tfds_does_not_know_is_a_wrong_request(no_network, name):
    with pytest.raises(zoo.UsageError):
        zoo.load_dataset(name)


# MNIST itself


def test_twos_and_threes_of_the_first_20000_images_of_mnist():
    if not tfds.builder("mnist").is_prepared():
        pytest.skip("mnist is not prepared under TFDS_DATA_DIR")
    data = zoo.load_dataset("mnist", limit=20_000, classes=(3, 2), validation=None)
    assert (len(data.train), len(data.test)) == (4005, 2042)
    assert data.class_names == ("3", "2")
    assert data.train.labels[:5].tolist() == [1, 0, 0, 0, 1]  # it begins 5 0 4 1 9 2 1 3 1 4 3 5 3 6 1 7 2
