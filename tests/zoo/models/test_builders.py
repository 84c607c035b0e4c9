"""What is particular to a builder; what holds for all of them is in test_common.py."""

from __future__ import annotations

import json
import random

import zoo.startup

# isort: split
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.errors import UsageError
from zoo.models.catalog import builder_options
from zoo.models.mlp import width_for_budget

quick = settings(deadline=None, max_examples=30, derandomize=True)


def names_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def count_mlp(num_inputs: int, num_classes: int, width: int, depth: int, batch_normalization: bool) -> int:
    """Trainable parameters, layer by layer."""
    count, before = 0, num_inputs
    for _ in range(depth):
        count += before * width + (2 if batch_normalization else 1) * width
        before = width
    return count + before * num_classes + num_classes


@quick
@given(st.integers(1, 3000), st.integers(2, 200), st.integers(1, 6), st.integers(0, 2_000_000), st.booleans())
def test_the_width_of_a_budget_is_the_largest_that_fits(num_inputs, num_classes, depth, budget, normalised):
    if budget < count_mlp(num_inputs, num_classes, 1, depth, normalised):
        with pytest.raises(UsageError, match="parameter_budget"):
            width_for_budget(num_inputs, num_classes, depth, budget, normalised)
    else:
        width = width_for_budget(num_inputs, num_classes, depth, budget, normalised)
        assert count_mlp(num_inputs, num_classes, width, depth, normalised) <= budget
        assert count_mlp(num_inputs, num_classes, width + 1, depth, normalised) > budget


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_mlp_with_a_budget_keeps_it(depth, normalised):
    options = {"num_layers": depth, "batch_normalization": normalised}
    model = zoo.build("mlp", (8, 8, 1), 10, parameter_budget=5000, units=999, **options)
    widths = {layer.units for layer in model.layers[:-1] if isinstance(layer, keras.layers.Dense)}
    assert len(widths) == 1
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    width = widths.pop()
    assert trainable == count_mlp(64, 10, width, depth, normalised) <= 5000
    assert count_mlp(64, 10, width + 1, depth, normalised) > 5000


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.lists(st.integers(1, 9), max_size=4), st.sampled_from([list, tuple]))
def test_an_mlp_has_the_widths_it_is_given(widths, kind):
    model = zoo.build("mlp", (2,), 3, units=kind(widths))
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [*widths, 3]


def test_the_layers_of_an_mlp_are_named_and_ordered():
    plain = zoo.build("mlp", (2, 2), 3, units=4, num_layers=1)
    assert names_of(plain) == ["inputs", "flatten", "dense1", "dense1_activation", "predictions"]
    full = zoo.build("mlp", (2,), 3, units=(4, 4), batch_normalization=True, dropout=0.5)
    hidden = [
        n.format(i)
        for i in (1, 2)
        for n in ("dense{}", "dense{}_batch_normalization", "dense{}_activation", "dropout{}")
    ]
    assert names_of(full) == ["inputs", *hidden, "predictions"]


@pytest.mark.parametrize("activation", ["relu", "tanh", "elu", "gelu", "swish"])
def test_pooling_before_a_monotone_activation_changes_nothing(activation):
    model = zoo.build("cnn", (8, 8, 1), 3, filters=(4, 5), units=4, activation=activation, dtype="float64")
    layers = model.layers
    for i in (1, 2):
        first, second = f"stage{i}_conv1_activation", f"stage{i}_pool"
        positions = [names_of(model).index(n) for n in (first, second)]
        assert (positions[0] < positions[1]) == (activation in ("gelu", "swish"))  # these are not monotone
    inputs = keras.Input((8, 8, 1), dtype="float64")
    x = inputs
    for i in (1, 2):
        for name in (f"stage{i}_conv1", f"stage{i}_conv1_activation", f"stage{i}_pool"):
            x = model.get_layer(name)(x)
    for layer in layers[names_of(model).index("flatten") :]:
        x = layer(x)
    textbook = keras.Model(inputs, x)
    images = np.random.default_rng(0).random((6, 8, 8, 1))
    found = []
    for net in (model, textbook):
        with tf.GradientTape() as tape:
            outputs = net(images)
            loss = tf.reduce_sum(tf.math.log(outputs[:, 0]))
        found.append([outputs, *tape.gradient(loss, [v.value for v in model.trainable_variables])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_the_layers_of_a_cnn_are_named_and_ordered():
    model = zoo.build("cnn", (8, 8, 1), 3, filters=(2, 3), batch_normalization=True, dropout=0.5, units=4)
    stages = [
        f"stage{i}_{n}"
        for i in (1, 2)
        for n in ("conv1", "conv1_batch_normalization", "pool", "conv1_activation", "dropout")
    ]
    dense = ["flatten", "dense", "dense_batch_normalization", "dense_activation", "dropout"]
    assert names_of(model) == ["inputs", *stages, *dense, "predictions"]
    deep = zoo.build("cnn", (8, 8, 1), 3, filters=2, num_stages=1, convolutions_per_stage=3)
    assert [n for n in names_of(deep) if n.endswith(("1", "2", "3"))] == [f"stage1_conv{j}" for j in (1, 2, 3)]


def test_a_cnn_doubles_its_filters_from_stage_to_stage():
    model = zoo.build("cnn", (16, 16, 1), 3, filters=5, num_stages=4)
    assert [layer.filters for layer in model.layers if "conv1" in layer.name and hasattr(layer, "filters")] == [
        5,
        10,
        20,
        40,
    ]


@pytest.mark.parametrize(("height", "width", "most"), [(8, 8, 3), (7, 100, 2), (100, 4, 2), (28, 28, 4)])
def test_a_cnn_has_at_most_as_many_stages_as_halvings(height, width, most):
    model = zoo.build("cnn", (height, width, 1), 2, filters=1, num_stages=most)
    pooled = model.get_layer(f"stage{most}_pool").output.shape[1:3]
    assert pooled == (height >> most, width >> most)
    with pytest.raises(UsageError, match=f"at most {most} stages"):
        zoo.build("cnn", (height, width, 1), 2, filters=1, num_stages=most + 1)


def test_dropout_only_drops_in_training():
    model = zoo.build("mlp", (2,), 3, units=64, dropout=0.5)
    inputs = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(model(inputs, training=False), model(inputs, training=False))
    assert not np.array_equal(model(inputs, training=True), model(inputs, training=True))


@pytest.mark.parametrize("name", ["softmax", "mlp", "cnn", "resnet20"])
def test_the_seed_decides_the_weights_and_nothing_else_does(name):
    def weights(seed: int) -> list[np.ndarray]:
        return zoo.build(name, (8, 8, 1), 3, seed=seed).get_weights()

    first = weights(0)
    keras.utils.set_random_seed(12345)
    zoo.build("mlp", (2,), 2)
    for a, b in zip(first, weights(0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], weights(1)[0])


def test_building_leaves_the_random_state_of_python_alone():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    zoo.build("mlp", (2,), 2, seed=3)
    assert random.random() == expected


def test_layers_of_equal_shape_start_differently():
    model = zoo.build("mlp", (8,), 8, units=(8, 8))
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])


@pytest.mark.parametrize("name", ["logistic", "softmax", "mlp", "cnn", "resnet20"])
def test_the_kernel_initializer_makes_every_kernel(name):
    model = zoo.build(name, (8, 8, 1), 2, kernel_initializer=keras.initializers.Constant(0.25))
    kernels = [w for w in model.weights if w.name == "kernel"]
    assert kernels
    assert all(np.all(np.asarray(w) == 0.25) for w in kernels)


def test_a_model_remembers_how_it_was_built():
    model = zoo.build("cnn", [8, 8, 1], 3, seed=4, filters=(2, 3), l2=0.5)
    assert model.zoo_build == {
        "name": "cnn",
        "input_shape": [8, 8, 1],
        "num_classes": 3,
        "seed": 4,
        "options": {"filters": (2, 3), "l2": 0.5},
    }


def test_builder_options_are_the_defaults():
    assert builder_options("softmax") == {
        "l1": 0.0,
        "l2": 0.0,
        "penalize_bias": False,
        "kernel_initializer": "glorot_uniform",
        "classifier_activation": "softmax",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("num_classes", "options"),
    [
        (2.5, {}),
        ("3", {}),
        (3, {"units": None}),
        (3, {"units": 3.5}),
        (3, {"dropout": "0.5"}),
        (3, {"activation": "relux"}),
        (3, {"kernel_initializer": "no_such_initializer"}),
    ],
)
def test_values_of_a_wrong_kind_are_usage_errors(num_classes, options):
    try:
        zoo.build("mlp", (2,), num_classes, **options)
    except UsageError:
        return
    pytest.fail("accepted")


@pytest.mark.parametrize("classes", [1, 0, -3, 2.5, True, "3", None])
def test_a_number_of_classes_that_is_none_is_refused(classes):
    with pytest.raises(UsageError, match=f"num_classes must be a whole number of at least 2. .*={classes!r}"):
        zoo.build("softmax", (2,), classes)


@pytest.mark.parametrize(
    "shape", [(8, 9, 1), np.array([8, 9, 1]), tf.zeros([2, 8, 9, 1]).shape[1:], pd.Index([8, 9, 1])], ids=type
)
def test_an_input_shape_may_be_that_of_a_tensor(shape):
    model = zoo.build("softmax", shape, np.int64(2))
    assert model.input_shape == (None, 8, 9, 1)
    assert json.loads(json.dumps(model.zoo_build))["input_shape"] == [8, 9, 1]


@pytest.mark.parametrize(
    "shape", ["89", 8, None, (8, -1), (8, 2.5), (None, 8), np.array(8), tf.TensorShape(None)], ids=repr
)
def test_an_input_shape_that_is_none_is_refused(shape):
    with pytest.raises(UsageError, match=r"input_shape must be positive sizes\. Received: input_shape="):
        zoo.build("softmax", shape, 2)


def test_numpy_integers_are_whole_numbers():
    assert zoo.build("mlp", (2,), 2, units=np.int64(3)).get_layer("dense1").units == 3
    assert zoo.build("cnn", (8, 8, 1), 2, filters=np.int64(3)).get_layer("stage1_conv1").filters == 3
