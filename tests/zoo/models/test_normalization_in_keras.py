"""The fused batch normalisation is a stock layer for the rest of Keras: fit, graphs, files and copies."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import zipfile

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from normalization_passes import assert_close, inputs_for, pair

from zoo.models.normalization import fuse, fused_batch_normalization


def is_fused(layer: keras.layers.Layer) -> bool:
    return "call" in vars(layer)


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_moving_averages_of_many_steps_are_those_of_the_stock_layer(shape):
    stock, fused = pair(shape, momentum=0.8)
    for step in range(10):
        inputs = inputs_for((shape[0] - step % 3, *shape[1:]), seed=step, offset=step).astype(np.float32)
        for layer in (stock, fused):
            layer(inputs, training=True)
    assert_close(fused.moving_mean, stock.moving_mean)
    assert_close(fused.moving_variance, stock.moving_variance)


def test_the_layer_is_the_one_that_was_named():
    layer = fused_batch_normalization(dtype="float32", name="a", momentum=0.75, epsilon=0.125)
    assert type(layer) is keras.layers.BatchNormalization
    assert is_fused(layer)
    assert (layer.name, layer.momentum, layer.epsilon, layer.axis) == ("a", 0.75, 0.125, -1)
    default = fused_batch_normalization(dtype="float32", name="b")
    assert (default.momentum, default.epsilon) == (0.99, 0.001)


@pytest.mark.parametrize("shape", [(None, 5), (None, None, None, 3)], ids=str)
def test_shapes_unknown_to_a_graph_are_kept(shape):
    _, fused = pair(shape)
    stock, _ = pair(shape)
    traced = []

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def train(x):
        outputs = fused(x, training=True)
        traced.append(outputs.shape.as_list())
        return outputs

    for count in (6, 1, 4):
        inputs = inputs_for((count, *(n or 3 for n in shape[1:])), seed=count).astype(np.float32)
        assert_close(train(inputs), stock(inputs, training=True))
    assert traced == [list(shape)]
    assert_close(fused.moving_variance, stock.moving_variance)


def model_with(layers: list[keras.layers.Layer]) -> keras.Model:
    inputs = keras.Input((6, 6, 2), name="inputs")
    x = keras.layers.Conv2D(4, 3, name="conv", kernel_initializer=keras.initializers.GlorotUniform(seed=1))(inputs)
    x = layers[0](x)
    x = keras.layers.Flatten(name="flatten")(keras.layers.Activation("tanh", name="tanh")(x))
    x = layers[1](x)
    initializer = keras.initializers.GlorotUniform(seed=2)
    outputs = keras.layers.Dense(3, activation="softmax", name="predictions", kernel_initializer=initializer)(x)
    return keras.Model(inputs, outputs, name="model")


def models() -> tuple[keras.Model, keras.Model]:
    """(stock, fused)."""

    def layer(i):
        return keras.layers.BatchNormalization(name=f"normalization{i}", momentum=0.8)

    return model_with([layer(0), layer(1)]), model_with([fuse(layer(0)), fuse(layer(1))])


def examples(count=48) -> tuple[np.ndarray, np.ndarray]:
    return inputs_for((count, 6, 6, 2)).astype(np.float32), np.arange(count) % 3


def fit(model: keras.Model) -> keras.Model:
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    model.fit(*examples(), batch_size=10, epochs=3, shuffle=False, verbose=0)
    return model


def test_it_trains_under_fit_as_the_stock_layer_does():
    stock, fused = models()
    before = fused.get_weights()
    for weight, other, old in zip(fit(fused).get_weights(), fit(stock).get_weights(), before, strict=True):
        assert_close(weight, other, 1e-4)
        assert not np.array_equal(weight, old)


def test_a_loop_in_a_graph_updates_the_averages_of_every_step():
    stock, fused = pair((8, 5))
    inputs = tf.constant(np.stack([inputs_for((8, 5), seed=i, offset=i) for i in range(6)]), tf.float32)

    @tf.function
    def train():
        for i in tf.range(6):
            fused(inputs[i], training=True)

    train()
    for i in range(6):
        stock(inputs[i], training=True)
    assert_close(fused.moving_mean, stock.moving_mean)
    assert_close(fused.moving_variance, stock.moving_variance)


def test_the_saved_configuration_is_the_stock_one(tmp_path):
    configurations = []
    for model in models():
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            configurations.append(json.loads(archive.read("config.json")))
    assert configurations[0] == configurations[1]
    assert "zoo" not in json.dumps(configurations[1])


def test_a_saved_model_needs_only_keras(tmp_path):
    model = fit(models()[1])
    model.save(tmp_path / "model.keras")
    np.savez(
        tmp_path / "examples.npz",
        inputs=examples()[0],
        outputs=model(examples()[0], training=False),
        **weights_of(model),
    )
    program = """
import sys
import keras, numpy as np
examples = np.load("examples.npz")
model = keras.saving.load_model("model.keras", safe_mode=True)
outputs = np.asarray(model(examples["inputs"], training=False))
layers = [layer for layer in model.layers if type(layer) is keras.layers.BatchNormalization]
assert len(layers) == 2 and not any("call" in vars(layer) for layer in layers)
for weight in model.weights:
    np.testing.assert_array_equal(weight, examples[weight.path.replace("/", "|")])
np.testing.assert_allclose(outputs, examples["outputs"], atol=1e-6)
assert not [name for name in sys.modules if name.split(".")[0] == "zoo"]
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path.replace("/", "|"): np.array(weight) for weight in model.weights}


def cloned(model: keras.Model) -> keras.Model:
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.parametrize(
    "copied",
    [cloned, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["clone_model", "deepcopy", "pickle"],
)
def test_a_copy_is_a_model_of_its_own(copied):
    original = fit(models()[1])
    inputs, before = examples()[0], original.get_weights()
    duplicate = copied(original)
    assert_close(duplicate(inputs, training=False), original(inputs, training=False), 1e-6)
    expected = original(inputs, training=False).numpy()
    fit(duplicate)  # neither its outputs nor its averages are the original's
    for weight, old in zip(original.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    np.testing.assert_array_equal(original(inputs, training=False), expected)
    for weight, old in zip(duplicate.get_weights(), before, strict=True):
        assert not np.array_equal(weight, old)
    duplicate_alone = keras.models.clone_model(models()[0])
    duplicate_alone.set_weights(duplicate.get_weights())
    assert_close(duplicate(inputs, training=False), duplicate_alone(inputs, training=False), 1e-6)


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_a_copied_layer_has_weights_of_its_own(shape):
    _, layer = pair(shape)
    inputs = inputs_for(shape).astype(np.float32)
    before = layer(inputs, training=False).numpy()
    duplicate = copy.deepcopy(layer)
    np.testing.assert_allclose(duplicate(inputs, training=False), before, atol=1e-6)
    duplicate.gamma.assign(3 * np.ones(shape[-1]))
    duplicate(inputs, training=True)
    np.testing.assert_array_equal(layer(inputs, training=False), before)
    assert np.abs(duplicate(inputs, training=False) - before).max() > 0.1
