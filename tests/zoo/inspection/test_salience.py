"""Saliency and Grad-CAM against plain tapes and NumPy."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, SHAPE, cnn, images, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import grad_cam, plot_grad_cam, plot_saliency, saliency


def test_saliency_of_a_linear_model_is_its_weights():
    model = zoo.build("softmax", SHAPE, 3)
    kernel = model.get_weights()[0]
    with unchanged(model):
        found = saliency(model, images(4), classes=[0, 1, 2, 1])
    np.testing.assert_allclose(found, kernel.T[[0, 1, 2, 1]].reshape(4, *SHAPE), rtol=1e-6)
    chosen = model.predict(images(4), verbose=0).argmax(axis=1)
    np.testing.assert_allclose(saliency(model, images(4)), kernel.T[chosen].reshape(4, *SHAPE), rtol=1e-6)


def test_one_sigmoid_unit_has_two_classes():
    model = zoo.build("logistic", (2,), 2)
    for_one = saliency(model, images(3, (2,)), classes=1)
    np.testing.assert_allclose(for_one, np.tile(model.get_weights()[0].T, (3, 1)), rtol=1e-6)
    np.testing.assert_array_equal(saliency(model, images(3, (2,)), classes=0), -for_one)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_all_kinds(kind):
    model = KINDS[kind]()
    with unchanged(model):
        slopes, heat = saliency(model, images(4)), grad_cam(model, images(4))
    assert slopes.shape == (4, *SHAPE)
    assert np.abs(slopes).max() > 0
    assert heat.shape == (4, 8, 8)
    assert heat.min() >= 0


def test_grad_cam_is_the_formula():
    """Behind a global mean and a dense layer, α_k is the class's weight over the number of places (CAM; Zhou et al., 2016)."""
    inputs = keras.Input(SHAPE)
    maps = keras.layers.Conv2D(5, 3, name="conv")(inputs)
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, outputs)
    weights = model.get_weights()[2][:, 1]
    given = keras.Model(inputs, maps).predict(images(2), verbose=0)
    heat = grad_cam(model, images(2), classes=1, resize=False)
    np.testing.assert_allclose(heat, np.maximum(0, given @ weights / 36), rtol=1e-4, atol=1e-7)
    resized = tf.image.resize(heat[..., None], (8, 8))[..., 0]
    np.testing.assert_allclose(grad_cam(model, images(2), classes=1, layer="conv"), resized, rtol=1e-5)


def test_refuses():
    with pytest.raises(UsageError, match=r"classes must be 0 to 2\. Received: classes=3"):
        saliency(cnn(), images(2), classes=3)
    with pytest.raises(UsageError, match="needs maps"):
        grad_cam(cnn(), images(2), layer="dense")
    with pytest.raises(UsageError, match="did you mean 'stage2_conv1'"):
        grad_cam(cnn(), images(2), layer="stage2_conv")


@pytest.mark.parametrize("channels", [1, 3])
def test_draws(channels):
    shown = images(3, (8, 8, channels))
    slopes = plot_saliency(shown, shown, titles=["a", "b", "c"])
    assert [axes.get_title() for axes in slopes.axes[:3]] == ["a", "b", "c"]
    assert slopes.axes[3].get_ylabel() == "|∂score/∂pixel|"
    heat = plot_grad_cam(shown, shown[..., 0])
    assert heat.axes[3].get_ylabel() == "Grad-CAM"
    assert heat.axes[-1].get_ylabel() == "share of its largest"
    with pytest.raises(UsageError, match="one map an image"):
        plot_grad_cam(shown, shown[:2, ..., 0])
    with pytest.raises(UsageError, match=r"Received: 3 images, .*, 1 titles"):
        plot_saliency(shown, shown, titles=["a"])
    with pytest.raises(UsageError, match=r"one or more. Received: 0 images"):
        plot_grad_cam(shown[:0], shown[:0, ..., 0])


def test_a_separable_convolution_is_one_too():
    layers = [keras.layers.Conv2D(3, 3, padding="same"), keras.layers.SeparableConv2D(4, 3, name="last")]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input(SHAPE), *layers, *head])
    heat = grad_cam(model, images(2), resize=False)
    np.testing.assert_array_equal(heat, grad_cam(model, images(2), layer="last", resize=False))


def test_refuses_what_has_no_single_score_or_gradient():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(2)(inputs)])
    with pytest.raises(UsageError, match="Received: 2 outputs"):
        saliency(model, images(2, (4,)))
    with pytest.raises(UsageError, match=r"one class, or one for each of 3. Received: \(2,\)"):
        saliency(KINDS["sequential"](), images(3), classes=[0, 1])
    layers = [keras.layers.Embedding(7, 2), keras.layers.Flatten(), keras.layers.Dense(3)]
    with pytest.raises(UsageError, match=r"one input of floats. Received: .* int32"):
        saliency(keras.Sequential([keras.Input((4,), dtype="int32"), *layers]), np.ones((2, 4), int))
    with pytest.raises(UsageError, match="no gradient in its input; a layer between them rounds or looks up"):
        saliency(keras.Sequential([keras.Input((4,)), *layers]), np.ones((2, 4)))
