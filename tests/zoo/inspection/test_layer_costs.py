"""Weights and multiplications of layers."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.inspection.layer_costs import layer_table


def test_weights_and_multiplications_by_hand():
    """A kernel of h x w x (channels of a group) weights for each map, used at each place of the output."""
    inputs = keras.Input((9, 9, 4))
    x = keras.layers.Conv2D(6, 3, strides=2, name="strided")(inputs)  # 4 x 4
    x = keras.layers.BatchNormalization()(x)  # no kernel: no row
    x = keras.layers.Conv2D(8, 3, padding="same", groups=2, name="grouped")(x)
    x = keras.layers.Dense(10, name="dense")(keras.layers.Flatten()(x))
    table = layer_table(keras.Model(inputs, x)).set_index("layer")
    assert table.loc["strided"].tolist() == ["4 x 4 x 6", 9 * 4 * 6 + 6, 16 * 9 * 4 * 6]
    assert table.loc["grouped"].tolist() == ["4 x 4 x 8", 9 * 3 * 8 + 8, 16 * 9 * 3 * 8]
    assert table.loc["dense"].tolist() == ["10", 128 * 10 + 10, 1280]
    assert len(table) == 3


def test_all_weights_of_a_network_are_there():
    model = zoo.build("cnn", (8, 8, 1), 10, filters=4)
    assert layer_table(model)["weights"].sum() == model.count_params()


def test_depthwise_convolutions_count_and_what_is_counted_otherwise_has_no_row():
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(inputs)
    x = keras.layers.Conv2DTranspose(4, 3, strides=2)(keras.layers.SeparableConv2D(4, 3)(x))
    x = keras.layers.LSTM(5)(keras.layers.Reshape((-1, 4))(x))
    table = layer_table(keras.Model(inputs, x))
    assert table.values.tolist() == [["depthwise", "6 x 6 x 3", 27, 36 * 27]]


def test_outputs_that_are_not_known_are_refused():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="'own' is not functional"):
        layer_table(model)
    of_any_size = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(UsageError, match="inputs of no fixed size"):
        layer_table(of_any_size)
