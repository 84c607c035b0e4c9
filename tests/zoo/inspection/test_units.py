"""Dead units and dead paths, by hand."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, images, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import dead_units, plot_dead_units


def chain() -> keras.Model:
    """Two layers of which each unit fires on some inputs."""
    model = zoo.build("mlp", (4,), 3, units=(6, 5))
    weights = model.get_weights()
    weights[1] += 0.5
    weights[3] += 1
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_finds_the_relus_of_models_of_all_kinds(kind):
    model = KINDS[kind]()
    with unchanged(model):
        found = dead_units(model, images(6), batch_size=4)
    expected = {"nested": ("inner_conv",), "sequential": ("conv",), "subclassed": ("conv",)}
    assert found.layers == expected.get(kind, found.layers)
    assert found.layers
    assert all(a.shape == d.shape == u.shape for a, d, u in zip(found.activity, found.dead, found.unheard, strict=True))


def test_activity_is_the_share_of_inputs_above_zero():
    model = chain()
    kernel, bias, *_ = model.get_weights()
    inputs = images(50, (4,))
    found = dead_units(model, inputs, batch_size=7)
    np.testing.assert_allclose(found.activity[0], (inputs @ kernel + bias > 0).mean(axis=0))
    assert not any(mask.any() for mask in found.dead)


def test_a_unit_that_never_fires_is_dead_and_one_without_outgoing_weights_unheard():
    model = chain()
    weights = model.get_weights()
    weights[1][2] = -100  # the bias of a unit of the first layer
    weights[2][4] = 0  # the outgoing weights of another
    model.set_weights(weights)
    found = dead_units(model, images(50, (4,)))
    assert np.flatnonzero(found.dead[0]).tolist() == [2]
    assert np.flatnonzero(found.unheard[0]).tolist() == [4]
    assert not found.dead[1].any()
    np.testing.assert_allclose(found.shares, [1 / 6, 0])
    assert found.dead_layers == found.dead_paths == ()


def test_a_dead_layer_stops_a_chain():
    model = chain()
    weights = model.get_weights()
    weights[3][:] = -100
    model.set_weights(weights)
    found = dead_units(model, images(50, (4,)))
    assert found.dead_layers == found.layers[1:]
    assert found.dead_paths == found.layers  # what stands before a dead layer is heard by nobody


def test_beside_a_shortcut_only_the_branch_is_dead():
    inputs = keras.Input((4,))
    first = keras.layers.Dense(4, activation="relu", name="first")(inputs)
    branch = keras.layers.Dense(4, activation="relu", bias_initializer=keras.initializers.Constant(-100), name="branch")
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Add()([first, branch(first)]))
    found = dead_units(keras.Model(inputs, outputs), images(50, (4,)))
    assert found.layers == ("first", "branch")
    assert found.dead_paths == ("branch",)


def test_needs_a_relu():
    with pytest.raises(UsageError, match="no layer that ends in a ReLU"):
        dead_units(zoo.build("mlp", (4,), 3, activation="tanh"), images(2, (4,)))
    for batch_size in (0, -1, 2.5):
        with pytest.raises(UsageError, match=f"batch_size={batch_size}"):
            dead_units(chain(), images(2, (4,)), batch_size=batch_size)


def test_draws():
    figure = plot_dead_units(dead_units(chain(), images(9, (4,))))
    assert [axes.get_ylabel() for axes in figure.axes] == ["share of inputs", "share of units"]
    assert figure.axes[0].get_title()
    assert figure.axes[1].get_xlabel() == "layer, from the input to the output"


@pytest.mark.parametrize("function", [tf.nn.relu, keras.ops.relu, tf.nn.relu6])
def test_relu_by_its_other_names_and_several_outputs(function):
    inputs = keras.Input((4,))
    units = keras.layers.Dense(6, activation=function, name="units")(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(2)(units), keras.layers.Dense(1)(units)])
    found = dead_units(model, images(20, (4,)))
    assert found.layers == ("units",)
    assert not found.unheard[0][~found.dead[0]].any()
