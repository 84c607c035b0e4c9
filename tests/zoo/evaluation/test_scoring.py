from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import zoo
from zoo.errors import UsageError
from zoo.evaluation.scoring import summarize

NAMES = ("cat", "dog", "owl")


def fixed(name: str, kernel, bias, **options) -> keras.Model:
    """A linear model with these weights."""
    kernel, bias = np.array(kernel, float), np.array(bias, float)
    num_classes = 2 if name == "logistic" else kernel.shape[1]
    model = zoo.build(name, (len(kernel),), num_classes, **options)
    model.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(57, 2)).astype(np.float32), random.integers(0, 3, 57)


KERNEL, BIAS = [[1.5, -0.5, 0.25], [0.0, 1.0, -2.0]], [0.1, -0.2, 0.3]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_numbers_are_those_of_scikit_learn(points, activation):
    inputs, labels = points
    split = zoo.Split.from_arrays(inputs, labels, class_names=NAMES)
    model = fixed("softmax", KERNEL, BIAS, classifier_activation=activation)
    score = zoo.evaluate(model, split, batch_size=10)  # the last batch has 7

    probabilities = softmax(inputs.astype(float) @ np.array(KERNEL) + BIAS)
    predicted = probabilities.argmax(axis=1)
    assert score.accuracy == metrics.accuracy_score(labels, predicted)
    assert score.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=[0, 1, 2]), rel=1e-5)
    np.testing.assert_array_equal(score.confusion_matrix, metrics.confusion_matrix(labels, predicted))
    report = metrics.classification_report(labels, predicted, target_names=NAMES, output_dict=True)
    for name in NAMES:
        row = score.per_class.loc[name]
        assert (row["precision"], row["recall"], row["f1"], row["support"]) == pytest.approx(
            [report[name][k] for k in ("precision", "recall", "f1-score", "support")]
        )
    assert score.num_examples == 57
    assert score.class_names == NAMES
    correct = int((predicted == labels).sum())
    low, high = score.accuracy_interval
    assert low < correct / 57 < high
    table = score.predictions
    np.testing.assert_allclose(table[[f"p({n})" for n in NAMES]], probabilities, atol=1e-6)
    np.testing.assert_allclose(table["loss"], -np.log(probabilities[np.arange(57), labels]), rtol=1e-4, atol=1e-6)


def test_the_table_has_one_row_an_example(points):
    inputs, labels = points
    split = zoo.Split.from_arrays(inputs, labels, class_names=NAMES)
    table = zoo.evaluate(fixed("softmax", KERNEL, BIAS), split).predictions
    assert list(table.columns) == [
        *("index", "true", "predicted", "correct", "confidence", "loss"),
        *("p(cat)", "p(dog)", "p(owl)"),
    ]
    assert list(table["index"]) == list(range(57))
    assert list(table["true"]) == [NAMES[k] for k in labels]
    scores = table[["p(cat)", "p(dog)", "p(owl)"]].to_numpy()
    assert list(table["predicted"]) == [NAMES[k] for k in scores.argmax(axis=1)]
    assert list(table["correct"]) == list(table["true"] == table["predicted"])
    assert list(table["confidence"]) == list(scores.max(axis=1))


def test_files_stand_in_the_table(points):
    inputs, labels = points
    split = zoo.Split.from_arrays(inputs, labels, class_names=NAMES)
    split.files = [f"images/{i}.png" for i in range(57)]
    table = zoo.evaluate(fixed("softmax", KERNEL, BIAS), split).predictions
    assert list(table.columns)[:3] == ["index", "file", "true"]
    assert list(table["file"]) == split.files


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_unit_shows_both_classes(points, activation):
    inputs, labels = points[0], points[1] % 2
    split = zoo.Split.from_arrays(inputs, labels, class_names=("no", "yes"))
    model = fixed("logistic", [[2.0], [-1.0]], [0.5], classifier_activation=activation)
    score = zoo.evaluate(model, split)
    p = 1 / (1 + np.exp(-(inputs.astype(float) @ [2.0, -1.0] + 0.5)))
    np.testing.assert_allclose(score.predictions["p(yes)"], p, atol=1e-6)
    np.testing.assert_allclose(score.predictions["p(no)"], 1 - p, atol=1e-6)
    assert score.accuracy == metrics.accuracy_score(labels, p > 0.5)
    assert score.loss == pytest.approx(metrics.log_loss(labels, p), rel=1e-5)
    assert score.confusion_matrix.shape == (2, 2)


@pytest.mark.parametrize("activation", ["default", None])
@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_the_loss_is_not_clipped(name, activation):
    """The true class has probability e^-200: 0 in float32, but its logarithm is known from the logits."""
    options = {} if activation == "default" else {"classifier_activation": None}
    model = fixed(name, [[200.0]] if name == "logistic" else [[0.0, 200.0]], [0.0] if name == "logistic" else [0, 0])
    if options:
        weights = model.get_weights()
        model = zoo.build(name, (1,), 2, **options)
        model.set_weights(weights)
    score = zoo.evaluate(model, zoo.Split.from_arrays(np.array([[1.0], [-1.0]], np.float32), [0, 0]))
    assert score.predictions["p(0)"].to_list() == pytest.approx([0, 1])
    assert score.predictions["loss"].to_list() == pytest.approx([200, 0], rel=1e-6)
    assert score.loss == pytest.approx(100, rel=1e-6)


def test_the_loss_is_infinite_where_only_probabilities_are_known():
    split = zoo.Split.from_arrays(np.zeros((2, 1), np.float32), [0, 1])
    probabilities = np.array([[0.0, 1.0], [0.25, 0.75]])
    with np.errstate(divide="ignore"):
        score = summarize(probabilities, np.array([0, 1]), split, np.log(probabilities))
    assert np.isinf(score.loss)
    assert score.predictions["loss"].iloc[1] == pytest.approx(-np.log(0.75))


def test_the_loss_has_no_penalties(points):
    split = zoo.Split.from_arrays(*points, class_names=NAMES)
    plain, penalized = fixed("softmax", KERNEL, BIAS), fixed("softmax", KERNEL, BIAS, l1=0.5, l2=0.5)
    assert zoo.evaluate(penalized, split).loss == zoo.evaluate(plain, split).loss


def test_dropout_is_off():
    data = zoo.load_dataset("blobs")
    model = zoo.build("mlp", (2,), 2, dropout=0.9)
    assert zoo.evaluate(model, data.test).loss == zoo.evaluate(model, data.test).loss
    without = zoo.build("mlp", (2,), 2)
    without.set_weights([w for w, v in zip(model.get_weights(), model.weights, strict=True) if "seed" not in v.path])
    assert zoo.evaluate(model, data.test).loss == pytest.approx(zoo.evaluate(without, data.test).loss, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_precisions(points, dtype):
    split = zoo.Split.from_arrays(*points, class_names=NAMES)
    expected = zoo.evaluate(fixed("softmax", KERNEL, BIAS), split)
    score = zoo.evaluate(fixed("softmax", KERNEL, BIAS, dtype=dtype), split)
    assert score.accuracy == expected.accuracy
    assert score.loss == pytest.approx(expected.loss, rel=1e-6)


def test_arrays_and_datasets_are_data(points):
    inputs, labels = points
    model = fixed("softmax", KERNEL, BIAS)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(10)
    by_arrays, by_dataset = zoo.evaluate(model, (inputs, labels)), zoo.evaluate(model, dataset)
    assert by_arrays.class_names == by_dataset.class_names == ("0", "1", "2")
    assert by_arrays.predictions.equals(by_dataset.predictions)


def test_pixels_are_scaled_as_in_training():
    pixels = np.array([0, 255, 102], np.uint8).reshape(3, 1, 1, 1)
    model = fixed("logistic", [[1.0]], [0.0])
    flat = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten()])
    whole = keras.Model(flat.inputs, model(flat.outputs[0]))
    split = zoo.Split.from_arrays(pixels, [0, 1, 1], input_range=(-1, 1))
    found = zoo.evaluate(whole, split).predictions["p(1)"]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.array([-1, 1, -0.2]))), rtol=1e-6)


def test_images_are_those_stored():
    data = zoo.load_dataset("digits", limit=20)
    model = zoo.build("softmax", data.input_shape, 10)
    np.testing.assert_array_equal(zoo.evaluate(model, data.test).images, data.test.inputs)
    streamed = tf.data.Dataset.from_tensor_slices((data.test.inputs, data.test.labels)).batch(50)
    np.testing.assert_array_equal(zoo.evaluate(model, streamed).images, data.test.inputs)
    blobs = zoo.load_dataset("blobs")
    assert zoo.evaluate(zoo.build("softmax", (2,), 2), blobs.test).images is None


def test_a_class_without_examples_has_zero_support(points):
    inputs, labels = points
    split = zoo.Split.from_arrays(inputs[labels < 2], labels[labels < 2], class_names=NAMES)
    score = zoo.evaluate(fixed("softmax", KERNEL, BIAS), split)
    assert score.confusion_matrix.shape == (3, 3)
    assert score.per_class.loc["owl", "support"] == 0
    assert score.per_class.loc["owl", "recall"] == 0


def test_what_does_not_fit_is_refused(points):
    split = zoo.Split.from_arrays(*points, class_names=NAMES)
    with pytest.raises(UsageError, match="inputs of shape"):
        zoo.evaluate(zoo.build("softmax", (5,), 3), split)
    with pytest.raises(UsageError, match="2 classes"):
        zoo.evaluate(zoo.build("logistic", (2,), 2), split)
    with pytest.raises(UsageError, match="4 classes"):
        zoo.evaluate(zoo.build("softmax", (2,), 4), split)


def test_an_output_that_is_no_class_score_is_refused(points):
    split = zoo.Split.from_arrays(*points, class_names=NAMES)
    with pytest.raises(UsageError, match="neither a softmax"):
        zoo.evaluate(zoo.build("softmax", (2,), 3, classifier_activation="tanh"), split)


def test_arrays_need_not_hold_the_last_class(points):
    inputs, labels = points
    score = zoo.evaluate(fixed("softmax", KERNEL, BIAS), (inputs[labels < 2], labels[labels < 2]))
    assert score.confusion_matrix.shape == (3, 3)


def test_a_shuffled_dataset_keeps_images_and_scores_together():
    pixels, labels = np.repeat(np.arange(2, dtype=np.uint8) * 255, 40)[:, None, None, None], np.repeat([0, 1], 40)
    dataset = tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(80).batch(16)
    score = zoo.evaluate(zoo.build("softmax", (1, 1, 1), 2), dataset)
    np.testing.assert_array_equal(score.images.ravel() // 255, score.predictions["true"].astype(int))
