from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UsageError
from zoo.models.outputs import class_probabilities
from zoo.reference import DenseNetwork
from zoo.training.recipe import OPTIMIZERS

BATCH = 16


@pytest.fixture(scope="module")
def blobs() -> zoo.DataSplits:
    return zoo.load_dataset("blobs")  # 180 examples to train on: 12 steps an epoch, the last with 4


@pytest.fixture(scope="module")
def flipped(blobs) -> zoo.DataSplits:
    """Validation labels are the wrong ones, so that whatever is learnt makes validation worse."""
    v = blobs.validation
    return zoo.DataSplits.from_arrays((blobs.train.inputs, blobs.train.labels), validation=(v.inputs, 1 - v.labels))


def train(model, data, recipe, **options):
    return zoo.train(model, data, recipe, verbose=False, **options)


def sgd(**values) -> zoo.Recipe:
    return zoo.Recipe(**{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": BATCH, "epochs": 2, **values})


def assert_same_weights(weights, others):
    assert len(weights) == len(others) > 0
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


def keras_loop(model, data, recipe, validate):
    """The same training as a plain Keras loop: train_on_batch over the batches in file order."""
    model.compile(
        keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    inputs, labels = data.train.inputs, data.train.labels
    steps, validations = [], []
    for _ in range(recipe.epochs):
        for first in range(0, len(inputs), recipe.batch_size):
            last = first + recipe.batch_size
            model.reset_metrics()
            logs = model.train_on_batch(inputs[first:last], labels[first:last], return_dict=True)
            steps.append(float(logs["loss"]))
            if validate(len(steps) - 1):
                validations.append(
                    model.evaluate(data.validation.inputs, data.validation.labels, verbose=0, return_dict=True)
                )
    return steps, validations


@pytest.mark.parametrize("every", [None, 5], ids=["validate-by-epoch", "validate-by-step"])
def test_training_is_that_of_a_plain_keras_loop(blobs, every):
    recipe = sgd(momentum=0.9, shuffle=False, validate_every_steps=every, epochs=3)
    ours, plain = (zoo.build("mlp", (2,), 2, units=(8, 6), activation="tanh", l2=2**-6) for _ in range(2))
    run = train(ours, blobs, recipe)
    validate = (lambda step: step % 12 == 11) if every is None else (lambda step: step % every == 0)
    steps, validations = keras_loop(plain, blobs, recipe, validate)

    np.testing.assert_allclose(run.steps["loss"], steps, rtol=1e-6)
    np.testing.assert_allclose(run.validations["val_loss"], [v["loss"] for v in validations], rtol=1e-5)
    np.testing.assert_allclose(run.validations["val_accuracy"], [v["accuracy"] for v in validations], rtol=1e-6)
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_first_step_is_that_of_the_numpy_network(blobs):
    model = zoo.build("softmax", (2,), 2, l1=2**-6, l2=2**-5)
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())
    run = train(model, blobs, sgd(learning_rate=0.5, batch_size=180, epochs=1, shuffle=False))
    network = DenseNetwork([kernel], [bias], ["softmax"])
    penalties = {"l1": 2**-6, "l2": 2**-5}
    loss = network.loss(blobs.train.inputs, blobs.train.labels, **penalties)
    (gradients,) = network.backward(blobs.train.inputs, blobs.train.labels, **penalties).gradients
    assert run.steps["loss"].item() == pytest.approx(loss.total, rel=1e-6)
    assert run.steps["data_loss"].item() == pytest.approx(loss.data, rel=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * gradients["kernel"], atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * gradients["bias"], atol=1e-6)


def test_the_history_is_the_mean_of_its_steps(blobs):
    run = train(zoo.build("softmax", (2,), 2, l2=2**-4), blobs, sgd(epochs=3))
    assert list(run.steps["step"]) == list(range(36))
    sizes = [BATCH] * 11 + [4]
    for epoch, row in run.history.iterrows():
        steps = run.steps.iloc[12 * epoch : 12 * (epoch + 1)]
        for name in ("loss", "data_loss"):
            assert row[name] == pytest.approx(np.average(steps[name], weights=sizes), rel=1e-5)
    assert list(run.history["epoch"]) == [0, 1, 2]
    assert run.history["learning_rate"].to_numpy() == pytest.approx([0.1] * 3)


def test_loss_is_data_loss_and_penalties(blobs):
    model = zoo.build("mlp", (2,), 2, units=6, l1=2**-7, l2=2**-5)
    run = train(model, blobs, sgd(epochs=1, batch_size=180, learning_rate=0.3))
    first = zoo.build("mlp", (2,), 2, units=6, l1=2**-7, l2=2**-5)  # the weights that the one step was taken from
    penalties = sum(float(p) for p in first.losses)
    step = run.steps.iloc[0]
    assert step["loss"] - step["data_loss"] == pytest.approx(penalties, rel=1e-5)
    check = run.validations.iloc[0]
    after = sum(float(p) for p in model.losses)
    assert after != pytest.approx(penalties, rel=1e-4)
    assert check["val_loss"] - check["val_data_loss"] == pytest.approx(after, rel=1e-5)


def test_without_penalties_both_losses_are_equal(blobs):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=1))
    assert (run.steps["loss"] == run.steps["data_loss"]).all()
    assert (run.validations["val_loss"] == run.validations["val_data_loss"]).all()


@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [
        ("mlp", {"units": 8, "dropout": 0.3, "batch_normalization": True, "l2": 2**-6}, None),
        ("logistic", {"l1": 2**-6}, None),
        ("logistic", {"classifier_activation": None}, "binary_crossentropy_from_logits"),
        ("softmax", {"classifier_activation": None}, "sparse_categorical_crossentropy_from_logits"),
    ],
)
def test_measures_are_those_of_model_evaluate(blobs, name, options, loss):
    model = zoo.build(name, (2,), 2, **options)
    run = train(model, blobs, sgd(loss=loss))
    expected = model.evaluate(blobs.validation.batches(7), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert run.metrics["val_accuracy"] == pytest.approx(expected["accuracy"], rel=1e-6)
    assert run.history["val_loss"].iloc[-1] == run.validations["val_loss"].iloc[-1] == run.metrics["val_loss"]
    assert run.metrics["loss"] == run.history["loss"].iloc[-1]
    assert run.metrics["epochs"] == 2


def test_validation_freq_counts_epochs(blobs):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=5, validation_freq=2))
    assert list(run.validations["epoch"]) == [1, 3]
    assert list(run.validations["step"]) == [23, 47]
    assert list(run.history["val_loss"].notna()) == [False, True, False, True, False]


@pytest.mark.parametrize("every", [1, 5, 100])
def test_validate_every_steps_counts_global_steps_from_zero(blobs, every):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=3, validate_every_steps=every))
    steps = list(range(0, 36, every))
    assert list(run.validations["step"]) == steps
    assert list(run.validations["epoch"]) == [step // 12 for step in steps]


def test_steps_epochs_and_validations_count_on_through_phases(blobs):
    phases = [sgd(validate_every_steps=7), sgd(epochs=1, validate_every_steps=10, learning_rate=0.01)]
    run = train(zoo.build("softmax", (2,), 2), blobs, phases)
    assert list(run.steps["step"]) == list(range(36))
    assert list(run.validations["step"]) == [0, 7, 14, 21, 30]
    assert list(run.validations["phase"]) == [0, 0, 0, 0, 1]
    assert list(run.history["phase"]) == [0, 0, 1]
    assert list(run.history["epoch"]) == [0, 1, 2]
    assert run.history["learning_rate"].to_numpy() == pytest.approx([0.1, 0.1, 0.01])
    assert [r.as_config() for r in run.recipes] == [r.as_config() for r in phases]


@pytest.mark.parametrize("monitor", ["val_data_loss", "val_accuracy"])
def test_patience_counts_validations_and_restores_the_best_weights(flipped, monitor):
    def model():
        return zoo.build("softmax", (2,), 2, kernel_initializer="zeros")

    stopped = model()
    run = train(stopped, flipped, sgd(epochs=20, patience=3, monitor=monitor))
    assert run.stopped_early
    assert len(run.history) == len(run.validations) == 4  # the first is the best, three are not better
    assert run.best["epoch"] == 0
    assert run.metrics["epochs"] == 4
    assert run.metrics["val_loss"] == run.best["val_loss"] == run.validations["val_loss"].iloc[0]
    assert run.metrics["loss"] == run.history["loss"].iloc[0]
    once = model()
    train(once, flipped, sgd(epochs=1))
    assert_same_weights(stopped.get_weights(), once.get_weights())


def test_patience_counts_validations_not_epochs(flipped):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, flipped, sgd(epochs=20, patience=2, validation_freq=3))
    assert len(run.history) == 9
    assert list(run.validations["epoch"]) == [2, 5, 8]


def test_patience_stops_in_the_middle_of_an_epoch(flipped):
    def model():
        return zoo.build("softmax", (2,), 2, kernel_initializer="zeros")

    stopped = model()
    run = train(stopped, flipped, sgd(epochs=5, patience=2, validate_every_steps=5, shuffle=False))
    assert run.stopped_early
    assert list(run.validations["step"]) == [0, 5, 10]
    assert len(run.steps) == 11
    one_step = model()
    one_step.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy())
    one_step.train_on_batch(flipped.train.inputs[:BATCH], flipped.train.labels[:BATCH])
    for a, b in zip(stopped.get_weights(), one_step.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_without_patience_the_last_weights_stay(flipped):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, flipped, sgd(epochs=4))
    assert not run.stopped_early
    assert len(run.history) == 4
    assert run.best["epoch"] == 0
    assert run.metrics["val_loss"] == run.validations["val_loss"].iloc[-1]
    expected = model.evaluate(flipped.validation.batches(20), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_run_that_improves_is_not_stopped(blobs):
    run = train(
        zoo.build("softmax", (2,), 2, kernel_initializer="zeros"), blobs, sgd(epochs=3, patience=1, learning_rate=0.01)
    )
    assert not run.stopped_early
    assert len(run.history) == 3
    assert run.best["epoch"] == 2


def test_schedules_run_over_all_epochs(blobs):
    recipe = sgd(epochs=4, batch_size=180, schedule="cosine", learning_rate=0.2)
    run = train(zoo.build("softmax", (2,), 2), blobs, recipe)
    expected = [0.2 * (1 + np.cos(np.pi * step / 4)) / 2 for step in (1, 2, 3, 4)]
    np.testing.assert_allclose(run.history["learning_rate"], expected, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains(blobs, optimizer):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, blobs, zoo.Recipe(optimizer=optimizer, learning_rate=0.05, batch_size=BATCH, epochs=3))
    assert run.steps["data_loss"].iloc[0] == pytest.approx(np.log(2), rel=1e-6)
    assert run.metrics["data_loss"] < 0.5
    assert run.metrics["val_accuracy"] > 0.8


def test_mixed_precision_trains(blobs):
    run = train(zoo.build("mlp", (2,), 2, units=8, l2=2**-8, dtype="mixed_bfloat16"), blobs, sgd(epochs=4))
    assert run.metrics["val_accuracy"] > 0.8
    assert np.isfinite(run.steps.to_numpy()).all()


@pytest.mark.parametrize("penalty", [{}, {"l2": 2**-5}], ids=["plain", "l2"])
def test_float64_is_float64_from_end_to_end(blobs, penalty):
    model = zoo.build("softmax", (2,), 2, dtype="float64", **penalty)
    kernel, bias = model.get_weights()
    inputs, labels = blobs.train.inputs.astype(np.float64), blobs.train.labels
    data = zoo.DataSplits.from_arrays((inputs, labels), validation=(inputs[:9], labels[:9]))
    run = train(model, data, sgd(learning_rate=0.5, batch_size=180, epochs=1, shuffle=False))
    network = DenseNetwork([kernel], [bias], ["softmax"])
    (gradients,) = network.backward(inputs, labels, **penalty).gradients
    assert run.steps["loss"].item() == pytest.approx(network.loss(inputs, labels, **penalty).total, rel=1e-12)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * gradients["kernel"], rtol=1e-10)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * gradients["bias"], rtol=1e-10)


@pytest.mark.parametrize(
    ("trainable", "learns"),
    [
        ("head", ["predictions"]),
        ("backbone", ["dense1", "dense2"]),
        ("all", ["dense1", "dense2", "predictions"]),
        (("dense2", "pred*"), ["dense2", "predictions"]),
    ],
)
def test_frozen_layers_keep_every_bit(blobs, trainable, learns):
    model = zoo.build("mlp", (2,), 2, units=(6, 5), activation="tanh")
    before = {w.path: np.array(w) for w in model.weights}
    train(model, blobs, sgd(epochs=1, trainable=trainable))
    changed = {w.path for w in model.weights if not np.array_equal(w, before[w.path])}
    assert changed == {path for path in before if path.split("/")[0] in learns}


def test_frozen_normalisations_keep_their_statistics(blobs):
    model = zoo.build("mlp", (2,), 2, units=4, num_layers=1, batch_normalization=True)
    normalisation = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = normalisation.get_weights()
    train(model, blobs, sgd(epochs=1, trainable="head"))
    assert_same_weights(normalisation.get_weights(), before)
    train(model, blobs, sgd(epochs=1, trainable="all"))
    assert not any(np.array_equal(a, b) for a, b in zip(normalisation.get_weights(), before, strict=True))


def test_phases_train_what_each_says(blobs):
    model = zoo.build("mlp", (2,), 2, units=6, num_layers=1, activation="tanh")
    first = [np.array(w) for w in model.get_layer("dense1").weights]
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(w) for w in self.model.get_layer("dense1").weights])

    train(model, blobs, [sgd(trainable="head"), sgd(trainable="all", epochs=1)], callbacks=[Watch()])
    assert_same_weights(seen[0], first)
    assert_same_weights(seen[1], first)
    assert not np.array_equal(seen[2][0], first[0])


@pytest.mark.parametrize("wrong", ["dense3", ("predictions", "conv*")])
def test_a_pattern_without_a_layer_is_refused(blobs, wrong):
    with pytest.raises(UsageError, match="matches no layer"):
        train(zoo.build("mlp", (2,), 2), blobs, sgd(trainable=wrong))


def test_callbacks_with_a_batch_hook_see_every_batch(blobs):
    class Batches(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.begun, self.ended, self.losses = [], [], []

        def on_train_batch_begin(self, batch, logs=None):
            self.begun.append(batch)

        def on_train_batch_end(self, batch, logs=None):
            self.ended.append(batch)
            self.losses.append(logs["loss"])

    watch = Batches()
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(), callbacks=[watch])
    assert watch.begun == watch.ended == [*range(12), *range(12)]
    assert watch.losses[0] == pytest.approx(run.steps["loss"].iloc[0], rel=1e-6)


def test_a_lambda_callback_sees_every_batch(blobs):
    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=1), callbacks=[watch])
    assert seen == list(range(12))


def test_batch_hooks_do_not_change_the_training(blobs):
    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    def weights(callbacks):
        model = zoo.build("mlp", (2,), 2, units=8, dropout=0.25)
        train(model, blobs, sgd(), callbacks=callbacks)
        return model.get_weights()

    assert_same_weights(weights([]), weights([Batches()]))


def test_callbacks_see_the_validation_and_can_stop(blobs):
    class Stop(keras.callbacks.Callback):
        seen: list[set[str]] = []  # noqa: RUF012

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(set(logs))
            self.model.stop_training = epoch == 1

    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=9), callbacks=[Stop()])
    assert len(run.history) == 2
    assert {"loss", "data_loss", "accuracy", "val_loss", "val_data_loss", "val_accuracy"} <= Stop.seen[0]


@pytest.mark.parametrize("steps", [32, 33, 70])
def test_no_step_is_lost_between_graph_calls(steps):
    random = np.random.default_rng(0)
    arrays = random.normal(size=(steps * 2, 2)).astype(np.float32), np.arange(steps * 2) % 2
    data = zoo.DataSplits.from_arrays(arrays, validation=None)
    model = zoo.build("softmax", (2,), 2)
    run = train(model, data, sgd(batch_size=2, epochs=2))
    assert len(run.steps) == 2 * steps
    assert int(model.optimizer.iterations) == 2 * steps


def test_drop_remainder_leaves_the_partial_batch_out(blobs):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=1, drop_remainder=True))
    assert len(run.steps) == 11
    assert run.metrics["data_loss"] == pytest.approx(run.steps["data_loss"].mean(), rel=1e-6)


def test_plain_arrays_are_data(blobs):
    run = train(zoo.build("softmax", (2,), 2), (blobs.train.inputs, blobs.train.labels), sgd())
    assert len(run.steps) == 2 * -(-162 // BATCH)  # a tenth is held out
    assert run.metrics["val_accuracy"] > 0.7


def test_a_plain_dataset_is_training_data(blobs):
    dataset = tf.data.Dataset.from_tensor_slices((blobs.train.inputs, blobs.train.labels)).batch(50)
    model, other = zoo.build("softmax", (2,), 2), zoo.build("softmax", (2,), 2)
    run = train(model, dataset, sgd(shuffle=False))
    assert len(run.steps) == 24
    assert run.validations.empty
    assert run.best is None
    without = zoo.DataSplits.from_arrays((blobs.train.inputs, blobs.train.labels), validation=None)
    train(other, without, sgd(shuffle=False))
    assert_same_weights(model.get_weights(), other.get_weights())


def test_a_sequential_model_trains(blobs):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    assert train(model, blobs, sgd()).metrics["val_accuracy"] > 0.7


def test_a_plain_functional_model_trains(blobs):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    model.compile("adam", "mse")  # recompiled, as promised
    run = train(model, blobs, sgd())
    assert run.metrics["val_accuracy"] > 0.7


def test_a_trained_model_goes_on_under_plain_fit(blobs):
    model = zoo.build("softmax", (2,), 2)
    run = train(model, blobs, sgd())
    steps = len(run.steps)
    model.fit(blobs.train.inputs, blobs.train.labels, epochs=1, verbose=0)
    assert len(run.steps) == steps
    again = train(model, blobs, sgd(epochs=1))
    assert len(again.steps) == 12


def test_the_test_split_is_not_looked_at(blobs):
    class Forbidden:
        def __getattr__(self, name):
            raise AssertionError(f"test.{name} was read")

    data = zoo.DataSplits(blobs.train, blobs.validation, Forbidden(), {})
    train(zoo.build("softmax", (2,), 2), data, sgd(epochs=1))


@pytest.mark.parametrize(
    ("model", "recipe", "message"),
    [
        (lambda: zoo.build("softmax", (3,), 2), sgd(), "inputs of shape"),
        (lambda: zoo.build("cnn", (8, 8, 1), 2), sgd(), "inputs of shape"),
        (lambda: zoo.build("softmax", (2,), 3), sgd(), "3 outputs"),
        (lambda: zoo.build("softmax", (2,), 2, classifier_activation=None), sgd(), "loss must be said"),
        (lambda: zoo.build("softmax", (2,), 2), sgd(batch_size=181, drop_remainder=True), "no batch"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(blobs, model, recipe, message):
    model = model()
    before = model.get_weights()
    with pytest.raises(UsageError, match=message):
        train(model, blobs, recipe)
    assert_same_weights(model.get_weights(), before)


def test_one_unit_does_not_fit_three_classes():
    with pytest.raises(UsageError, match="1 outputs"):
        train(zoo.build("logistic", (2,), 2), zoo.load_dataset("blobs3"), sgd())


def test_patience_needs_validation_data(blobs):
    data = zoo.DataSplits(blobs.train, None, None, {})
    with pytest.raises(UsageError, match="patience=3 needs validation"):
        train(zoo.build("softmax", (2,), 2), data, [sgd(), sgd(patience=3)])


@pytest.mark.parametrize(
    ("name", "activation", "loss"),
    [
        ("softmax", None, "sparse_categorical_crossentropy"),
        ("softmax", "softmax", "sparse_categorical_crossentropy_from_logits"),
        ("softmax", "softmax", "binary_crossentropy"),
        ("logistic", "sigmoid", "sparse_categorical_crossentropy"),
    ],
)
def test_a_loss_that_contradicts_the_output_is_refused(blobs, name, activation, loss):
    with pytest.raises(UsageError):
        train(zoo.build(name, (2,), 2, classifier_activation=activation), blobs, sgd(loss=loss, epochs=1))


def test_one_augmentation_may_be_a_string():
    data = zoo.load_dataset("digits", limit=40)
    model = zoo.build("softmax", data.input_shape, data.num_classes)
    train(model, data, sgd(epochs=1, augment="crop"))


def test_augmentation_is_applied_to_training_batches():
    data = zoo.load_dataset("digits", limit=60)

    def weights(**values):
        model = zoo.build("softmax", data.input_shape, data.num_classes)
        train(model, data, sgd(epochs=1, **values))
        return model.get_weights()[0]

    plain = weights()
    assert not np.array_equal(plain, weights(augment=("crop",)))
    with pytest.raises(UsageError, match="did you mean 'crop'"):
        weights(augment=("cropp",))


def test_progress_is_shown_unless_told_not_to(blobs, capfd):
    zoo.train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=3))
    shown = capfd.readouterr()
    assert "epoch 3/3" in shown.err
    assert "val_loss" in shown.err
    train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=3))
    quiet = capfd.readouterr()
    assert (shown.out, quiet.out, quiet.err) == ("", "", "")


def test_the_model_in_the_run_is_the_one_given(blobs):
    model = zoo.build("logistic", (2,), 2)
    run = train(model, blobs, sgd(epochs=1))
    assert run.model is model
    probabilities = np.asarray(class_probabilities(model(blobs.validation.inputs), "sigmoid"))
    accuracy = np.mean(probabilities.argmax(axis=1) == blobs.validation.labels)
    assert run.metrics["val_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("when", [{"validate_every_steps": 4}, {"validation_freq": 2}])
def test_final_metrics_are_those_of_the_final_weights(blobs, when):
    model = zoo.build("softmax", (2,), 2)
    run = train(model, blobs, sgd(epochs=3, **when))
    expected = model.evaluate(blobs.validation.batches(64), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert run.metrics["val_loss"] != run.validations["val_loss"].iloc[-1]
