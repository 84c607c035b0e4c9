"""Activations, filters, weight images and their grids."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from inspected_models import KINDS, SHAPE, cnn, images, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import (
    activations,
    filters,
    image_grid,
    plot_activations,
    plot_filters,
    plot_weight_images,
    weight_images,
)

FIRST = {"cnn": "stage1_conv1", "nested": "inner_conv", "sequential": "conv", "subclassed": "conv", "transfer": "conv1"}


@pytest.mark.parametrize("kind", KINDS)
def test_activations_and_filters_of_models_of_all_kinds(kind):
    model = KINDS[kind]()
    with unchanged(model):
        maps, kernels = activations(model, images(4), FIRST[kind]), filters(model)
    assert maps.shape[0] == 4
    assert maps.shape[-1] == len(kernels)
    np.testing.assert_array_equal(kernels, filters(model, FIRST[kind]))
    last = "head" if kind == "subclassed" else "predictions"
    np.testing.assert_allclose(activations(model, images(4), last), model.predict(images(4), verbose=0), atol=1e-6)


def test_an_activation_is_the_sum_over_its_window():
    model = cnn()
    kernel, bias = model.get_layer("stage1_conv1").get_weights()
    inputs = images(2)
    by_hand = np.einsum("hwc,hwco->o", inputs[1, 2:5, 3:6], kernel) + bias
    np.testing.assert_allclose(activations(model, inputs, "stage1_conv1")[1, 3, 4], by_hand, rtol=1e-5)
    assert np.shares_memory(filters(model), filters(model)) is False
    np.testing.assert_array_equal(filters(model)[3, :, :, 0], kernel[:, :, 0, 3])


def test_bfloat16_comes_as_float32():
    model = cnn(dtype="mixed_bfloat16")
    assert activations(model, images(2), "stage1_conv1").dtype == np.float32


def test_filters_of_depthwise_and_transposed_convolutions():
    layers = [
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="a"),
        keras.layers.Conv2DTranspose(5, 2, name="b"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    assert filters(model).shape == (6, 3, 3, 1)
    assert filters(model, "b").shape == (5, 2, 2, 6)


def test_unknown_and_unfit_layers_are_named():
    model = cnn()
    with pytest.raises(UsageError, match="did you mean 'stage1_conv1'"):
        activations(model, images(1), "stage1_conv")
    with pytest.raises(UsageError, match=r"no two-dimensional convolution\. Received: a Dense"):
        filters(model, "dense")
    with pytest.raises(UsageError, match="has no two-dimensional convolution"):
        filters(zoo.build("softmax", (4,), 3))
    with pytest.raises(UsageError, match=r"shape \(8, 8, 1\)"):
        activations(model, images(1, (9, 8, 1)), "dense")


def test_a_grid_of_64_is_8_by_8():
    stack = np.arange(64 * 6, dtype=float).reshape(64, 3, 2)
    grid = image_grid(stack, scale="joint")
    assert grid.shape == (8 * 4 - 1, 8 * 3 - 1)
    np.testing.assert_array_equal(grid[4:7, 3:5], stack[9])
    assert np.isnan(grid[3]).all()
    assert np.isnan(grid[:, 2]).all()
    each = image_grid(stack)
    assert np.nanmin(each) == 0
    np.testing.assert_allclose(each[4:7, 3:5], (stack[9] - stack[9].min()) / np.ptp(stack[9]))
    assert image_grid(np.ones((5, 2, 2, 3)), columns=5).shape == (2, 14, 3)
    assert np.isnan(image_grid(np.ones((5, 2, 2)))[-1, -1])  # an empty place
    with pytest.raises(UsageError, match="unknown scale 'log'"):
        image_grid(stack, scale="log")
    with pytest.raises(UsageError, match="Received: shape"):
        image_grid(np.ones((3, 3)))


def test_weight_images_look_like_the_input():
    model = zoo.build("softmax", (4, 3, 2), 5)
    kernel = model.get_weights()[0]
    with unchanged(model):
        found = weight_images(model)
    assert found.shape == (5, 4, 3, 2)
    assert found[2, 3, 1, 0] == kernel[3 * 6 + 1 * 2, 2]
    assert weight_images(zoo.build("mlp", (9,), 2), shape=(3, 3)).shape == (128, 3, 3, 1)
    with pytest.raises(UsageError, match="'dense' has 32 inputs"):
        weight_images(cnn())
    with pytest.raises(UsageError, match="Received: layer='flatten'"):
        weight_images(cnn(), layer="flatten")


def test_draws():
    model = cnn(filters=64, num_stages=1)
    maps = plot_activations(activations(model, images(1), "stage1_conv1")[0])
    assert maps.axes[0].get_title() == "64 maps of 8 x 8, each scaled by itself"
    assert [t.get_text() for t in maps.axes[0].get_yticklabels()] == ["0", "8", "16", "24", "32", "40", "48", "56"]
    kernels = plot_filters(filters(model))
    assert kernels.axes[0].get_title() == "64 filters of 3 x 3, one scale"
    assert kernels.axes[1].get_ylabel() == "value in the filter"
    in_colours = plot_filters(np.zeros((4, 3, 3, 3)))
    assert len(in_colours.axes) == 1
    assert "red, green and blue" in in_colours.axes[0].get_title()
    weights = plot_weight_images(weight_images(zoo.build("softmax", SHAPE, 10)))
    assert weights.axes[0].get_xlabel() == "unit (column)"
    with pytest.raises(UsageError, match="of one example"):
        plot_activations(np.zeros((1, 3, 3, 3)))
    with pytest.raises(UsageError, match="Received: channel=1"):
        plot_filters(np.zeros((4, 3, 3, 1)), channel=1)


def test_a_grid_has_columns():
    with pytest.raises(UsageError, match="Received: columns=-1"):
        image_grid(np.zeros((4, 2, 2)), columns=-1)
