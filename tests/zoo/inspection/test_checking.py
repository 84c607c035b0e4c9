"""check_gradients: every model of the catalog passes, and a layer with a wrong gradient is named."""

from __future__ import annotations

from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, SHAPE, chain, cnn, images, sparse_loss, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import check_gradients, plot_gradient_check

FAST: dict[str, Any] = {"epsilons": (1e-4, 1e-6), "count": 1}
# name -> (input shape, classes, options of the builder, options of the check); big ones at a few layers of each kind
CASES: dict[str, tuple[tuple[int, ...], int, dict[str, Any], dict[str, Any]]] = {
    "logistic": ((4,), 2, {"l2": 2**-5}, {}),
    "softmax": ((4,), 3, {"l1": 2**-7}, {}),
    "mlp": ((4,), 3, {"units": (8, 6), "batch_normalization": True, "dropout": 0.25}, {"training": True}),
    "cnn": ((6, 6, 1), 3, {"filters": 3, "units": 5, "l2": 2**-5, "dropout": 0.5}, {"training": True}),
    "resnet20": (
        (8, 8, 3),
        4,
        {"l2": 2**-9},
        {"training": True, "layers": ("conv1*", "stage2_block1*", "predictions"), **FAST},
    ),
    "resnet50": (
        (32, 32, 3),
        4,
        {},
        {"training": False, "layers": ("stage2_block1_conv1*", "predictions"), **FAST},
    ),
    "alexnet": ((67, 67, 3), 4, {}, {"layers": ("conv1*", "conv5*"), **FAST}),
    "transfer": (
        SHAPE,
        3,
        {"weights": None, "image_size": 12, "units": 5},
        {"layers": ("conv1", "head_*"), **FAST},
    ),
}
# Of the layers of a case: resnet20 and the beginning of resnet50, alexnet without what is not stock.
SAME_LAYERS = {"resnet18", "resnet32", "resnet34", "resnet44", "resnet56", "alexnet_v2"}


def test_every_model_has_a_case():
    assert sorted({*CASES, *SAME_LAYERS}) == zoo.list_models()


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_model_passes_and_is_not_changed(name):
    shape, classes, options, check = CASES[name]
    model = zoo.build(name, shape, classes, **options)
    inputs, labels = images(3, shape), np.arange(3) % classes
    with unchanged(model):
        found = check_gradients(model, inputs, labels, **check)
    assert found.passed, (found.faults, found.table[~found.table.passed], [c for c in found.layers if not c.passed])
    assert found.tensors
    assert found.layers
    # TensorFlow resizes images in float32; our local response normalisation has its float64 form.
    assert [place.split("_")[0] for place in found.in_float32] == (["resize"] if name == "transfer" else [])
    assert not any(t.in_float32 for t in found.tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_takes_models_of_all_kinds(kind):
    model = KINDS[kind]()
    loss = sparse_loss if kind == "subclassed" else None
    layers = ("conv1", "predictions") if kind == "transfer" else ("*",)
    with unchanged(model):
        found = check_gradients(model, images(3), [0, 1, 2], loss=loss, layers=layers, **FAST)
    assert found.passed, (found.faults, found.table, found.layers)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_takes_other_dtypes(dtype):
    model = cnn(batch_normalization=True, dtype=dtype)
    with unchanged(model):
        found = check_gradients(model, images(6), [0, 1, 2] * 2, training=True, **FAST)
    assert found.passed, found.layers
    widest = max(check.own_error for check in found.layers)
    assert (1e-4 < widest < 0.1) if dtype == "mixed_bfloat16" else widest < 1e-9


def test_differences_are_those_of_the_loss():
    model = zoo.build("mlp", (4,), 3, units=5, activation="tanh", dtype="float64")
    inputs, labels = images(6, (4,)).astype(np.float64), np.arange(6) % 3
    found = check_gradients(model, inputs, labels, count=3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(sparse_loss(labels, model(tf.constant(inputs))))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for check, gradient in zip(found.tensors, gradients, strict=True):
        np.testing.assert_allclose(check.autodiff, gradient.numpy().ravel()[check.entries], rtol=1e-12)
        np.testing.assert_allclose(check.differences[:, 3], check.autodiff, rtol=1e-6, atol=1e-9)
        assert check.errors[0] > 1e3 * check.errors[2]  # ε² over two decades, and something left
        np.testing.assert_allclose(abs(check.autodiff[0]), np.abs(gradient).max())


@keras.saving.register_keras_serializable("tests")
class Wrong(keras.layers.Layer):
    """Doubles, and says that it does something else."""

    def __init__(self, factor: float = 1.9, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def double(x):
            return 2 * x, lambda upstream: upstream * self.factor

        return double(inputs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"factor": self.factor}


class WrongWeights(keras.layers.Dense):
    """A dense layer whose kernel gets half of its gradient; known to nobody by its name."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        @tf.custom_gradient
        def product(x, w):
            return x @ w, lambda up: (up @ tf.transpose(w), 0.5 * tf.transpose(x) @ up)

        return product(inputs, tf.convert_to_tensor(self.kernel)) + self.bias


@pytest.mark.parametrize("factor", [1.9, 2.002])
def test_a_wrong_gradient_is_found_in_its_layer(factor):
    found = check_gradients(chain(Wrong(factor, name="culprit")), images(5, (4,)), [0, 1, 2, 0, 1])
    assert not found.passed
    assert found.faults == ("culprit",)
    assert set(found.table.layer[~found.table.passed]) == {"first"}  # before it, and through no fault of its own
    assert check_gradients(chain(Wrong(2.0)), images(5, (4,)), [0, 1, 2, 0, 1]).passed


def test_a_wrong_gradient_of_weights_is_found_in_its_layer():
    found = check_gradients(chain(WrongWeights(5, name="culprit")), images(5, (4,)), [0, 1, 2, 0, 1])
    assert found.faults == ("culprit",)
    failing = found.table[~found.table.passed]
    assert list(zip(failing.layer, failing.tensor, strict=True)) == [("culprit", "kernel")]


def test_what_was_set_on_one_object_is_checked_too():
    """Fused arithmetic is no part of a configuration: the copy has it not, the model's own layer is held against it."""
    model = zoo.build("cnn", (6, 6, 1), 3, filters=3, units=5, batch_normalization=True)
    layer = model.get_layer("stage2_conv1_batch_normalization")
    fused = layer.call

    def call(inputs, training=None, mask=None):
        return tf.grad_pass_through(lambda x: fused(x, training=training))(inputs)

    layer.call = call
    found = check_gradients(model, images(4, (6, 6, 1)), [0, 1, 2, 0], **FAST)
    assert found.faults == (layer.name,)
    assert all(t.passed for t in found.tensors)
    assert vars(layer)["call"] is call


@keras.saving.register_keras_serializable("tests")
class TensorFlowNormalization(keras.layers.Layer):
    """TensorFlow's operation, which knows no float64."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.local_response_normalization(inputs, alpha=0.1)


@keras.saving.register_keras_serializable("tests")
class CastsInside(keras.layers.Layer):
    """Computes in float32 whatever it is told."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(tf.tanh(tf.cast(inputs, tf.float32)), inputs.dtype)


@pytest.mark.parametrize("kind", [TensorFlowNormalization, CastsInside])
def test_a_layer_without_float64_is_named(kind):
    layers = [
        keras.layers.Conv2D(4, 3, activation="tanh", name="before"),
        kind(name="narrow"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax", name="behind"),
    ]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    with unchanged(model):
        found = check_gradients(model, images(4), [0, 1, 2, 0])
    assert found.in_float32 == ("narrow",)
    assert {t.layer: t.in_float32 for t in found.tensors} == {"before": True, "behind": False}
    assert found.passed, (found.table, found.layers)
    assert found.table.error[found.table.layer == "behind"].max() < 1e-6


def test_kinks_are_counted_and_no_alarm():
    """A bias of 0 behind inputs of 0 stands in the kink of its ReLU: the two one-sided derivatives differ."""
    model = zoo.build("mlp", (4,), 3, units=(5,))
    found = check_gradients(model, np.zeros((3, 4)), [0, 1, 1], count=5)
    assert found.kinks == 5
    assert found.passed, found.table
    assert check_gradients(model, images(3, (4,)), [0, 1, 1]).kinks == 0


def test_refuses_in_one_sentence():
    model = zoo.build("mlp", (4,), 3, units=5)
    with pytest.raises(UsageError, match="did you mean 'dense2_activation'"):
        check_gradients(model, images(2, (4,)), [0, 1], layers=("dense2_activatio",))
    with pytest.raises(UsageError, match=r"takes batches of inputs of shape \(4,\).*Received: \(2, 5\)"):
        check_gradients(model, images(2, (5,)), [0, 1])
    for options in ({"count": 0}, {"count": 1.5}, {"tolerance": 0}, {"tolerance": -1}, {"tolerance": float("nan")}):
        ((name, value),) = options.items()
        with pytest.raises(UsageError, match=f"Received: .*{name}={value}"):
            check_gradients(model, images(2, (4,)), [0, 1], **options)
    with pytest.raises(UsageError, match="give loss="):
        check_gradients(KINDS["subclassed"](), images(2), [0, 1])
    with pytest.raises(UsageError, match="Received: an unbuilt model"):
        check_gradients(keras.Sequential([keras.layers.Dense(2)]), images(2, (4,)), [0, 1])

    class Opaque(keras.Model):
        def __init__(self, table):
            super().__init__(name="opaque")
            self.dense = keras.layers.Dense(len(table))

        def call(self, inputs):
            return self.dense(inputs)

    opaque = Opaque([object(), object()])
    opaque(images(1, (4,)))
    with pytest.raises(UsageError, match="'opaque' cannot be made again in float64"):
        check_gradients(opaque, images(2, (4,)), [0, 1])


def test_draws_error_against_step():
    found = check_gradients(zoo.build("mlp", (4,), 3, units=5), images(3, (4,)), [0, 1, 2])
    axes = plot_gradient_check(found).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step ε", "largest relative error")
    assert axes.get_title() == "passed"
    assert len(axes.get_lines()) == len(found.tensors) + 1


def test_a_fresh_model_on_images_with_blank_pixels_is_no_false_alarm():
    """Zero biases put every blank pixel into the kink of its ReLU, and ties into the pooling behind it."""
    model = zoo.build("cnn", (8, 8, 1), 3, filters=8, num_stages=2, seed=3)
    images = np.zeros((6, 8, 8, 1), np.float32)
    images[:, 2:6, 3:5] = np.random.default_rng(0).uniform(size=(6, 4, 2, 1))
    found = check_gradients(model, images, [0, 1, 2, 0, 1, 2], count=8)
    assert found.passed, found.table
    assert sum(tensor.kinks for tensor in found.tensors) <= 2


def test_an_operation_in_float32_is_named_however_often_it_was_made():
    """Keras counts operations through a process: the second resize is `resize_1`."""
    backbone = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(2, 3, name="own_conv")])
    for _ in range(2):
        model = zoo.build("transfer", (8, 9, 1), 3, backbone=backbone)
        found = check_gradients(model, images(2, (8, 9, 1)), [0, 1], layers=("predictions",), count=1)
        assert [place.split("_")[0] for place in found.in_float32] == ["resize"]
