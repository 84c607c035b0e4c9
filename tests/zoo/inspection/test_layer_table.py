"""Weights and multiplications of layers."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras

import zoo
from zoo.inspection.layer_table import layer_table


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
