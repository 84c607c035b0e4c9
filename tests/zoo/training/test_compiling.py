from __future__ import annotations

import math

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.training.compiling import make_accuracy, make_loss, make_optimizer, make_schedule, set_trainable


def rates(total: int, **values) -> list[float]:
    """The learning rate of each step of a run with so many steps, as the optimizer applies it."""
    optimizer = make_optimizer(zoo.Recipe(optimizer="sgd", **values), total)
    found = []
    for step in range(total):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def test_without_a_schedule_the_rate_is_constant():
    np.testing.assert_allclose(rates(5, learning_rate=0.3), [0.3] * 5, rtol=1e-7)


@pytest.mark.parametrize("total", [1, 7, 40])
def test_cosine_falls_to_zero_over_all_steps(total):
    expected = [0.2 * (1 + math.cos(math.pi * t / total)) / 2 for t in range(total)]
    np.testing.assert_allclose(rates(total, learning_rate=0.2, schedule="cosine"), expected, rtol=1e-5, atol=1e-8)
    schedule = make_schedule(zoo.Recipe(learning_rate=0.2, schedule="cosine"), total)
    assert float(schedule(total)) == pytest.approx(0, abs=1e-8)


def test_step_takes_a_tenth_and_a_hundredth():
    found = rates(100, learning_rate=0.5, schedule="step")
    np.testing.assert_allclose(found[:50], 0.5, rtol=1e-6)
    np.testing.assert_allclose(found[51:75], 0.05, rtol=1e-6)
    np.testing.assert_allclose(found[76:], 0.005, rtol=1e-6)


@pytest.mark.parametrize("total", [8, 100])
def test_step_drops_after_half_and_three_quarters_of_the_steps(total):
    found = np.array(rates(total, learning_rate=1.0, schedule="step"))
    assert [np.sum(np.isclose(found, rate)) for rate in (1, 0.1, 0.01)] == [total // 2, total // 4, total // 4]


# One optimizer each in NumPy; a step is (w, g, state) -> w. Constants are those of the papers as Keras has them.
RATE, MOMENTUM, DECAY = 0.05, 0.75, 0.125


def numpy_steps(name: str, w: np.ndarray, gradients: list[np.ndarray], decay: float) -> np.ndarray:
    v, s = np.zeros_like(w), np.zeros_like(w)
    s += 0.1 if name == "adagrad" else 0
    for t, g in enumerate(gradients, start=1):
        w = w - RATE * decay * w
        if name == "sgd":
            v = MOMENTUM * v - RATE * g
            w = w + v
        elif name == "nesterov":
            v = MOMENTUM * v - RATE * g
            w = w + MOMENTUM * v - RATE * g
        elif name == "rmsprop":
            s = 0.9 * s + 0.1 * g**2
            v = MOMENTUM * v - RATE * g / np.sqrt(s + 1e-7)
            w = w + v
        elif name == "adagrad":
            s = s + g**2
            w = w - RATE * g / np.sqrt(s + 1e-7)
        else:
            v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
            w = w - RATE * (v / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-7)
    return w


@pytest.mark.parametrize("decay", [None, 0.0, DECAY])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_updates_are_those_of_the_textbook(name, decay):
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(3, 4)), [random.normal(size=(3, 4)) for _ in range(4)]
    momentum = MOMENTUM if name in ("sgd", "nesterov", "rmsprop") else 0.0
    recipe = zoo.Recipe(optimizer=name, learning_rate=RATE, momentum=momentum, weight_decay=decay)
    weight = keras.Variable(start.astype(np.float32))
    optimizer = make_optimizer(recipe, len(gradients))
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weight])
    meant = decay if decay is not None else 0.004 if name == "adamw" else 0.0
    np.testing.assert_allclose(weight, numpy_steps(name, start, gradients, meant), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("values", [{"learning_rate": 1}, {"momentum": 0}], ids=str)
def test_whole_numbers_are_numbers(values):
    make_optimizer(zoo.Recipe(optimizer="sgd", **values), 1)


@pytest.mark.parametrize(
    ("name", "options", "loss_class", "from_logits"),
    [
        ("softmax", {}, keras.losses.SparseCategoricalCrossentropy, False),
        ("mlp", {}, keras.losses.SparseCategoricalCrossentropy, False),
        ("logistic", {}, keras.losses.BinaryCrossentropy, False),
        (
            "softmax",
            {"classifier_activation": None, "loss": "sparse_categorical_crossentropy_from_logits"},
            keras.losses.SparseCategoricalCrossentropy,
            True,
        ),
        (
            "logistic",
            {"classifier_activation": None, "loss": "binary_crossentropy_from_logits"},
            keras.losses.BinaryCrossentropy,
            True,
        ),
    ],
)
def test_the_loss_follows_the_output_or_the_recipe(name, options, loss_class, from_logits):
    options = dict(options)
    loss_name = options.pop("loss", None)
    loss = make_loss(zoo.build(name, (2,), 2, **options), loss_name)
    assert type(loss) is loss_class
    assert loss.from_logits is from_logits


def test_the_loss_of_logits_equals_that_of_their_probabilities():
    logits, labels = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32), np.array([0, 2])
    model = zoo.build("softmax", (2,), 3, classifier_activation=None)
    by_logits = make_loss(model, "sparse_categorical_crossentropy_from_logits")(labels, logits)
    e = np.exp(logits.astype(np.float64))
    expected = -np.log((e / e.sum(axis=1, keepdims=True))[[0, 1], labels]).mean()
    assert float(by_logits) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["softmax", "logistic"])
def test_logits_without_a_loss_are_refused(name):
    model = zoo.build(name, (2,), 2, classifier_activation=None)
    with pytest.raises(UsageError, match="loss must be said"):
        zoo.compile_model(model, zoo.Recipe(), steps_per_epoch=1)


@pytest.mark.parametrize(("from_logits", "outputs"), [(True, [-1.0, 0.2, 0.4]), (False, [0.3, 0.55, 0.6])])
def test_the_accuracy_of_one_unit_has_the_threshold_of_its_loss(from_logits, outputs):
    accuracy = make_accuracy(keras.losses.BinaryCrossentropy(from_logits=from_logits))
    accuracy.update_state(np.array([[0], [1], [0]]), np.array(outputs, np.float32)[:, None])
    assert float(accuracy.result()) == pytest.approx(2 / 3)
    assert accuracy.name == "accuracy"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_has_the_precision_of_the_model(dtype):
    loss = make_loss(zoo.build("softmax", (2,), 2, dtype=dtype), None)
    p = np.array([[1 / 3, 2 / 3]], dtype)
    assert keras.backend.standardize_dtype(loss(np.array([0]), p).dtype) == dtype


def small_cnn() -> keras.Model:
    return zoo.build("cnn", (8, 8, 1), 3, filters=2, units=4, batch_normalization=True)


BN = ["stage1_conv1_batch_normalization", "stage2_conv1_batch_normalization", "dense_batch_normalization"]
LAYERS = ["stage1_conv1", BN[0], "stage2_conv1", BN[1], "dense", BN[2], "predictions"]


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("all", LAYERS),
        ("head", ["predictions"]),
        ("backbone", LAYERS[:-1]),
        ("stage2_*", ["stage2_conv1", BN[1]]),
        (("dense", "predictions"), ["dense", "predictions"]),
        (["stage?_conv1", "pred*"], ["stage1_conv1", "stage2_conv1", "predictions"]),
    ],
)
def test_layers_are_chosen_by_word_name_or_pattern(trainable, expected):
    model = small_cnn()
    set_trainable(model, trainable)
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == expected
    moving = {w.path for layer in model.layers for w in layer.weights if "moving" in w.path}
    assert {w.path for w in model.trainable_weights} == {
        w.path for layer in model.layers if layer.name in expected for w in layer.weights if w.path not in moving
    }


def test_all_unfreezes_and_none_leaves_layers_as_they_are():
    model = small_cnn()
    set_trainable(model, "head")
    set_trainable(model, None)
    assert len(model.trainable_weights) == 2
    set_trainable(model, "all")
    assert len(model.trainable_weights) == 2 * len(LAYERS) - 3  # kernels before a normalisation have no bias


@pytest.mark.parametrize("wrong", ["headd", ("predictions", "stage3_*"), "flatten"])
def test_a_pattern_without_a_layer_is_refused_and_changes_nothing(wrong):
    model = small_cnn()
    set_trainable(model, "head")
    with pytest.raises(UsageError, match="matches no layer"):
        set_trainable(model, wrong)
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == ["predictions"]


def test_a_compiled_model_trains_with_plain_fit():
    model = zoo.build("softmax", (2,), 2)
    data = zoo.load_dataset("blobs")
    zoo.compile_model(model, zoo.Recipe(optimizer="sgd", learning_rate=0.1), steps_per_epoch=12)
    history = model.fit(data.train.batches(16), epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] > 0.8
