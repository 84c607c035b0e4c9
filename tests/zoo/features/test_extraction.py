"""Features by their key: the same where the same is computed, whatever its layers are called, and never those of another."""

from __future__ import annotations

from collections.abc import Callable

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.data.split import Split
from zoo.data.splits import inputs_sha256
from zoo.features.extraction import extract_features

Call = Callable[..., keras.KerasTensor]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    return tmp_path / "features"


@pytest.fixture(scope="module")
def data() -> zoo.DataSplits:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), "uint8")
    return zoo.DataSplits.from_arrays((images, np.arange(10) % 2), validation=None)


def convolution(name: str | None = None) -> keras.layers.Layer:
    initializer = keras.initializers.RandomUniform(0.1, 1.0, seed=1)
    return keras.layers.Conv2D(3, 3, kernel_initializer=initializer, name=name)


def network(*layers: Call) -> keras.Model:
    x = inputs = keras.Input((8, 8, 3), name="inputs")
    for layer in (*layers, keras.layers.GlobalAveragePooling2D(name="pool")):
        x = layer(x)
    return keras.Model(inputs, x, name="network")


def check(model: keras.Model, data: zoo.DataSplits) -> None:
    """The features are what the network makes of the images."""
    expected = np.concatenate([model(x, training=False) for x, _ in data.train.batches(4)])
    found = extract_features(model, data).train
    np.testing.assert_allclose(found.store.array[found.rows], expected, rtol=1e-5)


def test_a_layer_named_like_its_function_is_not_another(data, folder):
    for name in ("relu", "tanh"):
        check(network(convolution("a"), keras.layers.Activation(name, name=name)), data)
    assert len(list(folder.iterdir())) == 2


def own_layer(factor: float) -> Call:
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return factor * inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    return Own(name="own")


def own_function(factor: float) -> Call:
    def function(x):
        return factor * x

    return keras.layers.Activation(function, name="own")


OF_A_USER = {
    "layer": own_layer,
    "layer in a model": lambda factor: keras.Sequential([own_layer(factor)], name="model"),
    "layer in a wrapper": lambda factor: keras.layers.TimeDistributed(own_layer(factor), name="wrapper"),
    "lambda layer": lambda factor: keras.layers.Lambda(lambda x: factor * x, name="own"),
    "function": own_function,
    "lambda": lambda factor: keras.layers.Activation(lambda x: factor * x, name="own"),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
@pytest.mark.parametrize("kind", OF_A_USER)
def test_what_the_code_of_a_user_makes_is_not_kept(data, folder, kind):
    for factor in (1.0, 2.0):
        check(network(OF_A_USER[kind](factor), convolution("a")), data)
    assert not folder.exists()


SAME = {
    "layers": lambda n: network(convolution(f"a{n}"), keras.layers.Activation("relu", name=("relu", "other")[n])),
    "a model in it": lambda n: network(keras.Sequential([keras.Input((8, 8, 3)), convolution()])),
}


@pytest.mark.parametrize("kind", SAME)
def test_names_do_not_matter(data, folder, kind):
    for n in (0, 1):
        check(SAME[kind](n), data)
    assert len(list(folder.iterdir())) == 1


def test_a_file_that_changed_in_its_middle_is_another(tmp_path):
    random = np.random.default_rng(0)
    files = [tmp_path / "photos" / name / f"{i}.bmp" for name in "ab" for i in range(3)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64, 64, 3), "uint8")).save(file)
    model = network(convolution("a"))
    for _ in range(2):
        data = zoo.load_dataset(str(tmp_path / "photos"), image_size=8, in_memory=False, validation=None)
        check(model, data)
        for file in files:
            pixels = np.array(Image.open(file))
            pixels[28:36] = 0
            Image.fromarray(pixels).save(file)


def test_other_labels_of_the_same_inputs_need_no_other_features():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), "uint8")
    first, other = (Split.from_arrays(images, labels) for labels in ([0, 1] * 3, [1, 0] * 3))
    assert inputs_sha256(first) == inputs_sha256(other)
    assert inputs_sha256(first) != inputs_sha256(Split.from_arrays(images ^ 1, [0, 1] * 3))


def test_maps_of_open_size_are_not_kept(data, folder):
    inputs = keras.Input((None, None, 3))
    assert extract_features(keras.Model(inputs, convolution("a")(inputs)), data) is None
    assert not folder.exists()
