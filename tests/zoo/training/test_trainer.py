"""What `zoo.train` computes and records, step by step."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from small_trainings import BATCH, assert_same_weights, sgd, train

import zoo
from zoo.errors import UsageError
from zoo.models.outputs import class_probabilities
from zoo.reference import DenseNetwork


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


def test_schedules_run_over_all_epochs(blobs):
    recipe = sgd(epochs=4, batch_size=180, schedule="cosine", learning_rate=0.2)
    run = train(zoo.build("softmax", (2,), 2), blobs, recipe)
    expected = [0.2 * (1 + np.cos(np.pi * step / 4)) / 2 for step in (1, 2, 3, 4)]
    np.testing.assert_allclose(run.history["learning_rate"], expected, atol=1e-7)


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
