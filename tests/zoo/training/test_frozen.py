"""Phases that train behind a frozen part: on features that are computed once, with the same result as in every step."""

from __future__ import annotations

import json

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from small_pictures import make_shallow, tinted_pictures

import zoo
from zoo.errors import UsageError
from zoo.features import cache
from zoo.training import trainer
from zoo.training.program import Program


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        make_shallow(patch)
        yield


@pytest.fixture(scope="module")
def data() -> zoo.DataSplits:
    return tinted_pictures()


def build(**options) -> keras.Model:
    options = {"units": 5, "dropout": 0.3, "l2": 1e-3, "image_size": 8, **options}
    return zoo.build("transfer", (8, 8, 3), 3, backbone="resnet20", weights=None, **options)


def live(monkeypatch) -> None:
    """Lets the frozen part be computed in every step."""
    monkeypatch.setattr(
        trainer, "Program", lambda *args, **options: Program(*args, **{**options, "keeps_features": False})
    )


RECIPE = {"batch_size": 16, "epochs": 4, "learning_rate": 0.05}


@pytest.mark.parametrize(
    ("optimizer", "trainable"), [("adam", "head"), ("sgd", ("stage3_block1_*", "head_*", "predictions"))], ids=str
)
def test_features_give_the_weights_that_live_training_gives(data, monkeypatch, trainable, optimizer):
    # A few steps of a small rate where layers with batch normalisation learn: they amplify rounding.
    rate = 0.05 if trainable == "head" else 1e-4
    recipe = zoo.Recipe(**{**RECIPE, "learning_rate": rate}, trainable=trainable, optimizer=optimizer, patience=9)
    on_features, in_steps = build(), build()
    first = zoo.train(on_features, data, recipe, verbose=False)
    live(monkeypatch)
    second = zoo.train(in_steps, data, recipe, verbose=False)
    before = build().get_weights()
    changed = 0
    for a, b, old in zip(on_features.get_weights(), in_steps.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        changed += not np.array_equal(a, old)
    assert changed >= 4
    np.testing.assert_allclose(first.steps["loss"], second.steps["loss"], rtol=1e-4)
    np.testing.assert_allclose(first.validations["val_loss"], second.validations["val_loss"], rtol=1e-4)


def test_the_model_is_whole_afterwards(data, tmp_path):
    model = small()
    run = zoo.train(model, data, zoo.Recipe(**RECIPE, trainable="head"), output_dir=tmp_path / "run", verbose=False)
    loaded = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    images = np.random.default_rng(1).random((5, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
    measured = model.evaluate(data.validation.batches(12), verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(run.metrics["val_accuracy"])
    assert model.optimizer.iterations.numpy() == len(run.steps)
    model.fit(data.train.batches(16), verbose=0)


def test_a_backbone_runs_once_for_each_example_and_never_again(data, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    filled = []
    compute = cache._compute
    monkeypatch.setattr(cache, "_compute", lambda *args: filled.append(args[0]) or compute(*args))
    zoo.train(small(), data, zoo.Recipe(**RECIPE, trainable="head"), verbose=False)
    assert len(filled) == 2  # training and validation data, of the first run
    zoo.train(small(), data, zoo.Recipe(**RECIPE, trainable="head", seed=3, optimizer="sgd"), verbose=False)
    assert len(filled) == 2
    other = small()
    other.get_layer("a").kernel.assign(other.get_layer("a").kernel * 1.1)
    zoo.train(other, data, zoo.Recipe(**RECIPE, trainable="head"), verbose=False)
    assert len(filled) == 4


def test_other_pixels_scales_and_sizes_have_other_features(data, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    recipe = zoo.Recipe(**{**RECIPE, "epochs": 1}, trainable="head")
    pixels, labels = data.train.inputs.copy(), data.train.labels
    changed = pixels.copy()
    changed[0, 0, 0, 0] ^= 1
    for images, scale in ((pixels, (0, 1)), (changed, (0, 1)), (pixels, (-1, 1))):
        splits = zoo.DataSplits.from_arrays((images, labels), validation=None, input_range=scale)
        zoo.train(small(), splits, recipe, verbose=False)
    zoo.train(build(image_size=12), (pixels, labels), zoo.Recipe(**RECIPE, trainable="head"), verbose=False)
    assert len(list((tmp_path / "features").iterdir())) == 3 + 2


def test_counts_are_recorded_and_shown(data, tmp_path, capsys):
    recipes = [zoo.Recipe(**RECIPE, trainable="head"), zoo.Recipe(**RECIPE, trainable="all")]
    run = zoo.train(build(), data, recipes, output_dir=tmp_path / "run")
    total = build().count_params()
    assert run.phases == [
        {"trainable": 343, "frozen": total - 343},
        {"trainable": 74_983, "frozen": total - 74_983},
    ]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["phases"] == run.phases
    assert zoo.load_run(tmp_path / "run").phases == run.phases
    shown = capsys.readouterr().err
    assert f"phase 1 (head): 343 weights learn, {total - 343:,} do not; what is frozen is computed once\n" in shown
    assert f"phase 2 (all): 74,983 weights learn, {total - 74_983:,} do not\n" in shown


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_phase_goes_on_behind_what_the_one_before_learned(data, tmp_path, monkeypatch):
    """All layers learn first, so the features of the second phase are those of weights that only the state has."""
    monkeypatch.setattr("zoo.training.state._SAVE_EVERY", 0.0)
    recipes = [zoo.Recipe(**RECIPE, trainable="all"), zoo.Recipe(**RECIPE, trainable="head", patience=9)]
    straight = small()
    zoo.train(straight, data, recipes, verbose=False)
    with pytest.raises(KeyboardInterrupt):
        zoo.train(small(), data, recipes, output_dir=tmp_path / "run", callbacks=[Interrupt(5)], verbose=False)
    resumed = small()
    run = zoo.train(resumed, data, recipes, output_dir=tmp_path / "run", verbose=False)
    for a, b in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(run.phases) == 2
    best = small()
    best.load_weights(tmp_path / "run" / "best.weights.h5")
    np.testing.assert_array_equal(best.get_layer("a").kernel, straight.get_layer("a").kernel)


def test_callbacks_know_the_model_and_can_stop_it(data):
    seen = []

    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model, set(logs)))
            self.model.stop_training = epoch == 1

    model = build()
    run = zoo.train(model, data, zoo.Recipe(**RECIPE, trainable="head"), callbacks=[Stops()], verbose=False)
    assert [m is model for m, _ in seen] == [True, True]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= seen[0][1]
    assert len(run.history) == 2


def test_callbacks_for_batches_are_called(data):
    losses = []
    hook = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    zoo.train(build(), data, zoo.Recipe(**RECIPE, trainable="head"), callbacks=[hook], verbose=False)
    assert len(losses) == 4 * 3
    assert np.isfinite(losses).all()


def test_augmentation_is_drawn_anew_unless_its_draws_are_counted(data, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    zoo.train(small(), data, zoo.Recipe(**RECIPE, trainable="head", augment="noise"), verbose=False)
    assert not (tmp_path / "features").exists()
    recipe = zoo.Recipe(**{**RECIPE, "shuffle": False}, trainable="head", augment="noise", augment_draws=2)
    run = zoo.train(build(dropout=0.0), data, recipe, verbose=False)
    rows = [json.loads(f.read_text())["shape"] for f in (tmp_path / "features").glob("*/about.json")]
    assert sorted(rows) == [[12, 64], [96, 64]]
    assert len(run.history) == 4
    features = next(np.load(f) for f in (tmp_path / "features").glob("*/features.npy") if np.load(f).shape[0] == 96)
    assert not np.allclose(features[:48], features[48:], atol=1e-4)


def test_draws_need_something_frozen(data):
    with pytest.raises(UsageError, match="augment_draws"):
        zoo.Recipe(augment_draws=2)
    with pytest.raises(zoo.ZooError, match="nothing frozen"):
        zoo.train(build(), data, zoo.Recipe(augment="flip", augment_draws=2), verbose=False)


def test_a_dataset_of_ones_own_is_computed_in_every_step(data, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    model = small()
    before = model.get_layer("a").kernel.numpy()
    run = zoo.train(model, data.train.batches(16), zoo.Recipe(**RECIPE, trainable="head"), verbose=False)
    assert run.metrics["loss"] < run.history["loss"].iloc[0]
    assert not (tmp_path / "features").exists()
    np.testing.assert_array_equal(model.get_layer("a").kernel, before)


class Scaled(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 3.0 * super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)


class Dimmed(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return super().call(0.5 * inputs, training=training)


def small(kind: type[keras.Model] = keras.Model, size: int | None = 8) -> keras.Model:
    """Two convolutions and a classifier, always with the same names and weights."""
    inputs = keras.Input((size, size, 3), name="inputs")
    x = keras.layers.Conv2D(3, 3, activation="relu", name="a")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(keras.layers.Conv2D(4, 3, name="b")(x))
    model = kind(inputs, keras.layers.Dense(3, activation="softmax", name="predictions")(x), name="small")
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


SGD = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 16, "epochs": 2}


def test_a_callback_may_measure_the_whole_model(data):
    class Measures(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append(self.model.evaluate(data.validation.batches(12), verbose=0, return_dict=True))

    found = []
    recipe = zoo.Recipe(**SGD, trainable="head")
    history = zoo.train(small(), data, recipe, callbacks=[Measures()], verbose=False).history
    expected = history[["val_loss", "val_accuracy"]].to_numpy()
    np.testing.assert_allclose([(m["loss"], m["accuracy"]) for m in found], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [Scaled, Dimmed])
def test_a_class_of_ones_own_is_trained_as_by_keras(kind):
    random = np.random.default_rng(0)
    inputs, labels = random.random((30, 8, 8, 3)).astype("float32"), np.arange(30) % 3
    ours, plain = small(kind), small(kind)
    recipe = zoo.Recipe(**SGD, shuffle=False, trainable="head")
    splits = zoo.DataSplits.from_arrays((inputs, labels), validation=None)
    zoo.train(ours, splits, recipe, verbose=False)
    for name in "ab":
        plain.get_layer(name).trainable = False
    plain.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    plain.fit(inputs, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_statistics_are_learned_inside_a_model_too(data):
    means = []
    for nested in (False, True):
        normalization = keras.layers.BatchNormalization(center=False, scale=False)
        convolution = keras.layers.Conv2D(3, 3, trainable=False, kernel_initializer="ones")
        inputs = keras.Input((8, 8, 3))
        x = keras.Sequential([normalization])(inputs) if nested else normalization(inputs)
        x = keras.layers.GlobalAveragePooling2D()(convolution(x))
        model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
        zoo.train(model, data, zoo.Recipe(**SGD), verbose=False)
        means.append(normalization.moving_mean.numpy())
    assert np.abs(means[0]).min() > 0
    np.testing.assert_allclose(means[1], means[0], rtol=1e-5)


def test_images_may_have_any_size(data):
    """What would be kept has no fixed size: maps."""
    fixed, open_ = small(), small(size=None)
    for model in (fixed, open_):
        zoo.train(model, data, zoo.Recipe(**SGD, trainable=("b", "predictions")), verbose=False)
    for a, b in zip(fixed.get_weights(), open_.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_model_that_was_frozen_as_a_whole_learns_again(data):
    model, before = small(), small().get_weights()
    model.trainable = False
    run = zoo.train(model, data, zoo.Recipe(**SGD, trainable="all"), verbose=False)
    assert run.phases == [{"trainable": model.count_params(), "frozen": 0}]
    assert not any(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_a_group_without_layers_is_refused(data):
    with pytest.raises(UsageError, match="trainable='backbone' leaves nothing to learn: softmax has predictions"):
        zoo.train(zoo.build("softmax", (8, 8, 3), 3), data, zoo.Recipe(trainable="backbone"), verbose=False)


def test_class_weights_may_be_an_array():
    recipe = zoo.Recipe(class_weight=np.array([1.0, 2.0]))
    assert recipe == zoo.Recipe(class_weight=(1.0, 2.0))
    assert json.loads(json.dumps(recipe.as_config()))["class_weight"] == [1.0, 2.0]
