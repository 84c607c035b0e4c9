"""The studies of MLPs, held against referees that use neither the studies' own code nor the library's."""

import dataclasses
import importlib

import keras
import numpy as np
import pytest

import tuning
import zoo

initialization = importlib.import_module("studies.initialization")
cnn_vs_mlp = importlib.import_module("studies.cnn_vs_mlp")
mlp_search = importlib.import_module("studies.mlp_search")


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("digits", limit=500, validation=0.2)


def test_zero_weights_learn_by_the_class_frequencies_of_the_batches_alone(data):
    """Biases by hand: b - rate (softmax(b) - frequencies of the batch); the loss is that of one prediction for all."""
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=0.5, batch_size=64, epochs=3, shuffle=False)
    run, table = initialization.fit(data, initialization.ZEROS, recipe, verbose=False)
    labels, b, losses, accuracies = data.train.labels, np.zeros(10), [np.log(10)], [np.mean(data.train.labels == 0)]
    for _ in range(3):
        for first in range(0, len(labels), 64):
            batch = labels[first : first + 64]
            b = b - 0.5 * (np.exp(b) / np.exp(b).sum() - np.bincount(batch, minlength=10) / len(batch))
        losses.append(np.mean(np.log(np.exp(b).sum()) - b[labels]))
        accuracies.append(np.mean(labels == b.argmax()))
    np.testing.assert_allclose(run.model.get_weights()[-1], b, atol=1e-6)
    assert all(not w.any() for w in run.model.get_weights()[:-1])
    np.testing.assert_allclose(table["loss"], losses, rtol=1e-6)
    np.testing.assert_allclose(table["accuracy"], accuracies, rtol=1e-6)


def test_the_clipped_loss_is_what_keras_shows_of_probabilities():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5], [0.0, 1e-9, 1 - 1e-9]], np.float32)
    labels = np.array([1, 1, 2, 1])
    found = float(initialization.clipped_cross_entropy(labels, probabilities))
    assert found == pytest.approx(float(keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)), rel=1e-5)
    assert found == pytest.approx((2 * -np.log(1e-7) - np.log(0.5)) / 4, rel=1e-5)


def test_in_training_the_same_loss_is_clipped_and_the_true_one_is_not(data):
    """N(0, 1) makes losses in the hundreds; from probabilities no loss is above 16.2."""
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=1e-3, batch_size=200, epochs=1)
    run, table = initialization.fit(data, initialization.NORMAL, recipe, verbose=False)
    logits = keras.Model(run.model.input, run.model.layers[-1].output).layers[-1]
    hidden = keras.Model(run.model.input, run.model.layers[-2].output).predict(data.train.inputs / 255, verbose=0)
    kernel, bias = (w.astype(np.float64) for w in logits.get_weights())
    z = hidden @ kernel + bias
    top = z.max(axis=1, keepdims=True)
    losses = (top[:, 0] + np.log(np.exp(z - top).sum(axis=1))) - z[np.arange(len(z)), data.train.labels]
    assert table["loss"].iloc[-1] == pytest.approx(losses.mean(), rel=1e-4)
    assert table["loss"].iloc[-1] > 100
    assert table["clipped"].iloc[-1] == pytest.approx(np.clip(losses, 1e-7, -np.log(1e-7)).mean(), rel=1e-4)


def test_errors_by_epoch_are_those_of_the_whole_splits(data):
    model = zoo.build("mlp", data.input_shape, 10, units=16)
    curve = cnn_vs_mlp.fit(model, data, dataclasses.replace(cnn_vs_mlp.RECIPE, epochs=3), verbose=False)
    assert curve["epoch"].tolist() == [1, 2, 3]
    for column, split in (("train_error", data.train), ("val_error", data.validation)):
        wrong = model.predict(split.inputs / 255, verbose=0).argmax(axis=1) != split.labels
        assert curve[column].iloc[-1] == pytest.approx(wrong.mean(), abs=1e-6)


def test_both_networks_of_the_comparison_have_as_many_parameters():
    by_hand = (9 + 1) * 16 + (9 * 16 + 1) * 32 + (7 * 7 * 32 + 1) * 256 + 257 * 10
    options = {name: value for name, value in cnn_vs_mlp.STAGES.items() if name != "dtype"}
    assert zoo.build("cnn", (28, 28, 1), 10, **options).count_params() == by_hand
    mlp = zoo.build("mlp", (28, 28, 1), 10, parameter_budget=by_hand).count_params()
    assert 0.99 * by_hand < mlp <= by_hand


@pytest.mark.parametrize("layers", mlp_search.VALUES["num_layers"])
def test_the_budgets_of_the_search_are_half_a_million_to_a_million_parameters(layers):
    for budget in mlp_search.VALUES["parameter_budget"]:
        model = zoo.build("mlp", (28, 28, 1), 10, parameter_budget=budget, num_layers=layers)
        w = model.get_layer("dense1").units
        by_hand = 785 * w + (layers - 1) * (w + 1) * w + (w + 1) * 10
        assert 500_000 <= by_hand == model.count_params() <= 1_000_000


def test_the_table_of_what_was_tried_tells_each_trial_beside_its_own_width(data, tmp_path):
    values = {
        "parameter_budget": [2000, 4000],
        "num_layers": [1],
        "activation": ["relu"],
        "learning_rate": [0.01, 0.3],
        "batch_size": [50],
    }
    recipe = zoo.Recipe(optimizer="sgd", epochs=2)
    result = tuning.search("mlp", data, method="grid", values=values, recipe=recipe, directory=tmp_path, verbose=False)
    table = mlp_search.tried(result, data)
    assert table["score"].is_monotonic_decreasing
    assert set(table["trial"]) == {1, 2, 3, 4}
    for _, row in table.iterrows():
        budget = result.table.set_index("trial").loc[row["trial"], "parameter_budget"]
        assert row["width"] == (budget - 10) // 75  # 64 inputs, a bias and 10 outputs a unit; 10 biases
        assert row["parameters"] == 75 * row["width"] + 10


def test_the_size_of_the_first_logits_is_what_the_formula_says():
    """N(0, 1) weights and ReLU by hand: the root mean square over 40 networks against the formula of one."""
    random = np.random.default_rng(3)
    x = random.random((50, 30))
    squares = []
    for _ in range(40):
        kernels = [random.standard_normal(shape) for shape in ((30, 200), (200, 100), (100, 10))]
        hidden = np.maximum(np.maximum(x @ kernels[0], 0) @ kernels[1], 0)
        squares.append(np.mean((hidden @ kernels[2]) ** 2))
    assert initialization.predicted_logits(x, kernels) == pytest.approx(np.sqrt(np.mean(squares)), rel=0.1)
