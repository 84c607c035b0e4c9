from __future__ import annotations

import json

import zoo.startup

# isort: split
import keras
import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.errors import DataWarning, LockedError, UsageError, ZooError
from zoo.storage import DirectoryLock
from zoo.training.run import files_of_run

FILES = {
    "config.json",
    "model.keras",
    "history.csv",
    "steps.csv",
    "validations.csv",
    "curves.png",
    "best.weights.h5",
    "result.json",
}


def recipe(**values) -> zoo.Recipe:
    return zoo.Recipe(**{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 16, "epochs": 2, **values})


def train(model, data, recipe, **options):
    return zoo.train(model, data, recipe, verbose=False, **options)


def visible(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def blobs():
    return zoo.load_dataset("blobs")


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run with two phases, penalties, dropout and augmentation."""
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    data = zoo.load_dataset("digits", limit=120, classes=(3, 2, 7), validation=0.2, input_range=(-1, 1))
    model = zoo.build("cnn", data.input_shape, 3, seed=5, filters=(3, 4), units=8, l2=2**-8, dropout=0.25)
    phases = [
        recipe(optimizer="adam", learning_rate=0.01, trainable="head", seed=3),
        recipe(momentum=0.5, augment=["crop"], trainable=["stage2_*", "predictions"], patience=2, seed=4),
    ]
    return data, train(model, data, phases, output_dir=folder), folder


def test_the_folder_holds_what_is_promised(digits_run):
    _, run, folder = digits_run
    assert visible(folder) == {*FILES, "tensorboard"}
    assert run.output_dir == folder
    assert list((folder / "tensorboard" / "train").glob("events.*"))
    assert list((folder / "tensorboard" / "validation").glob("events.*"))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "config.json").read_text()).keys() == {
        "data",
        "data_sha256",
        "model",
        "recipes",
        "versions",
    }
    assert json.loads((folder / "result.json").read_text())["metrics"] == run.metrics
    columns = {
        "history": ["phase", "epoch", "loss", "data_loss", "accuracy"],
        "steps": ["step", "loss", "data_loss"],
        "validations": ["phase", "epoch", "step", "val_loss", "val_data_loss", "val_accuracy"],
    }
    for name, expected in columns.items():
        assert list(pd.read_csv(folder / f"{name}.csv").columns)[: len(expected)] == expected


def test_a_loaded_run_is_the_run(digits_run):
    data, run, folder = digits_run
    loaded = zoo.load_run(folder)
    inputs = next(iter(data.test.batches(64)))[0]
    np.testing.assert_array_equal(loaded.model(inputs, training=False), run.model(inputs, training=False))
    for name in ("history", "steps", "validations"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(run, name), check_exact=True, check_dtype=False)
    assert loaded.config == json.loads(json.dumps(run.config))
    for name in ("metrics", "best", "stopped_early", "seconds", "output_dir", "recipes"):
        assert getattr(loaded, name) == getattr(run, name), name


def test_a_loaded_model_trains_on_and_is_described_as_before(digits_run, tmp_path):
    data, _, folder = digits_run
    loaded = zoo.load_run(folder)
    again = train(loaded.model, data, recipe(epochs=1), output_dir=tmp_path / "again")
    assert again.config["model"] == loaded.config["model"]


def test_the_config_reproduces_the_run(digits_run):
    _, run, folder = digits_run
    config = json.loads((folder / "config.json").read_text())
    values = dict(config["data"])
    data = zoo.load_dataset(values.pop("name"), **values)
    made = config["model"]
    model = zoo.build(made["name"], made["input_shape"], made["num_classes"], seed=made["seed"], **made["options"])
    again = train(model, data, [zoo.Recipe(**phase) for phase in config["recipes"]])
    for a, b in zip(model.get_weights(), run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(again.steps, run.steps, check_exact=True)


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    blobs = zoo.load_dataset("blobs")
    flipped = zoo.DataSplits.from_arrays(
        (blobs.train.inputs, blobs.train.labels), validation=(blobs.validation.inputs, 1 - blobs.validation.labels)
    )
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, flipped, recipe(epochs=3), output_dir=tmp_path / "run")
    assert run.best["epoch"] == 0
    best, once = zoo.build("softmax", (2,), 2), zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    best.load_weights(tmp_path / "run" / "best.weights.h5")
    train(once, flipped, recipe(epochs=1))
    for a, b, last in zip(best.get_weights(), once.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, last)


def test_a_run_without_validation_reloads(blobs, tmp_path):
    data = zoo.DataSplits.from_arrays((blobs.train.inputs, blobs.train.labels), validation=None)
    run = train(zoo.build("logistic", (2,), 2), data, recipe(), output_dir=tmp_path / "run")
    assert visible(tmp_path / "run") == {*FILES, "tensorboard"} - {"best.weights.h5"}
    loaded = zoo.load_run(tmp_path / "run")
    assert loaded.best is None
    assert loaded.validations.empty
    assert list(loaded.validations.columns) == list(run.validations.columns)
    assert not any(name.startswith("val_") for name in loaded.metrics)
    inputs = blobs.test.inputs
    np.testing.assert_array_equal(loaded.model(inputs), run.model(inputs))


def test_without_a_folder_nothing_is_written(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(zoo.build("softmax", (2,), 2), blobs, recipe(epochs=1))
    assert run.output_dir is None
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_overwritten(digits_run):
    data, run, folder = digits_run
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match=r"another run: .*recipes\.0\.epochs was \d and is 1"):
        train(run.model, data, recipe(epochs=1), output_dir=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_an_interrupted_run_says_so_and_lets_the_folder_go(blobs, tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(zoo.build("softmax", (2,), 2), blobs, recipe(), output_dir=folder, callbacks=[Interrupt()])
    assert not (folder / "result.json").exists()
    assert json.loads((folder / "config.json").read_text())["data"]["name"] == "blobs"
    with DirectoryLock(folder):  # nobody holds it
        pass
    with pytest.raises(ZooError, match="no finished run"):
        zoo.load_run(folder)
    with pytest.raises(UsageError, match=r"model\.options\.l2 was nothing and is 0\.1"):
        train(zoo.build("softmax", (2,), 2, l2=0.1), blobs, recipe(), output_dir=folder)
    again = train(zoo.build("softmax", (2,), 2), blobs, recipe(), output_dir=folder)
    assert len(again.history) == recipe().epochs


def test_a_finished_run_is_loaded(blobs, tmp_path):
    first = train(zoo.build("softmax", (2,), 2), blobs, recipe(), output_dir=tmp_path / "run")
    model = zoo.build("softmax", (2,), 2)
    second = train(model, blobs, recipe(), output_dir=tmp_path / "run")
    assert second.model is model
    assert second.metrics == first.metrics
    np.testing.assert_array_equal(model.get_weights()[0], first.model.get_weights()[0])


def test_a_folder_in_use_is_refused(blobs, tmp_path):
    model = zoo.build("softmax", (2,), 2)
    before = model.get_weights()
    with DirectoryLock(tmp_path / "run"), pytest.raises(LockedError, match="in use by process"):
        train(model, blobs, recipe(), output_dir=tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_the_folder_is_held_while_it_trains(blobs, tmp_path):
    class Ask(keras.callbacks.Callback):
        refused = False

        def on_epoch_end(self, epoch, logs=None):
            with pytest.raises(LockedError), DirectoryLock(tmp_path / "run"):
                pass
            self.refused = True

    ask = Ask()
    train(zoo.build("softmax", (2,), 2), blobs, recipe(epochs=1), output_dir=tmp_path / "run", callbacks=[ask])
    assert ask.refused


def test_what_is_no_run_cannot_be_loaded(tmp_path):
    with pytest.raises(ZooError, match="no finished run"):
        zoo.load_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ZooError, match="damaged"):
        zoo.load_run(tmp_path)


@pytest.mark.parametrize("wrong", [{"trainable": "no_such_layer"}, {"augment": ("no_such_augmentation",)}], ids=str)
def test_a_refused_request_leaves_the_folder_free(blobs, tmp_path, wrong):
    model = zoo.build("softmax", (2,), 2)
    with pytest.raises(UsageError):
        train(model, blobs, recipe(**wrong), output_dir=tmp_path / "run")
    train(model, blobs, recipe(epochs=1), output_dir=tmp_path / "run")


def test_a_diverged_run_is_a_finished_run(blobs, tmp_path):
    model = zoo.build("mlp", (2,), 2, units=4)
    train(model, blobs, recipe(learning_rate=1e30), output_dir=tmp_path / "run")
    assert not np.isfinite(zoo.load_run(tmp_path / "run").metrics["val_loss"])


def test_a_loaded_model_that_was_not_ours_trains_on(blobs, tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    train(model, blobs, recipe(epochs=1), output_dir=tmp_path / "run")
    train(zoo.load_run(tmp_path / "run").model, blobs, recipe(epochs=1))


def test_the_config_reproduces_an_initializer_object():
    def build(initializer):
        return zoo.build("softmax", (2,), 2, kernel_initializer=initializer).get_weights()[0]

    initializer = keras.initializers.HeNormal()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(initializer))
    np.testing.assert_array_equal(build(initializer), build(again))


def test_a_table_that_was_saved_again_is_told_of_and_another_model_is_refused(blobs, tmp_path):
    run = train(zoo.build("softmax", (2,), 2), blobs, recipe(epochs=1), output_dir=tmp_path / "run")
    history = tmp_path / "run" / "history.csv"
    history.write_bytes(history.read_bytes().replace(b"\n", b"\r\n"))  # as a spreadsheet does
    with pytest.warns(DataWarning, match=r"history\.csv was changed after the training; it is read as it stands"):
        loaded = zoo.load_run(tmp_path / "run")
    assert loaded.metrics == run.metrics
    assert loaded.history["loss"].equals(run.history["loss"])
    zoo.build("softmax", (2,), 2, seed=1).save(tmp_path / "run" / "model.keras")
    with pytest.raises(ZooError, match=r"model\.keras was changed after the training; train it again"):
        zoo.load_run(tmp_path / "run")


def test_files_of_somebody_that_bear_the_names_of_ours_are_not_overwritten(blobs, tmp_path):
    for name in ("model.keras", "history.csv", "result.json", "state.npz"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("of somebody")
        with pytest.raises(UsageError, match=rf"holds {name} and no run, and a training would overwrite it; choose"):
            train(zoo.build("softmax", (2,), 2), blobs, recipe(epochs=1), output_dir=folder)
        assert (folder / name).read_text() == "of somebody"


def test_which_files_a_run_may_lose(blobs, tmp_path):
    train(zoo.build("softmax", (2,), 2), blobs, recipe(epochs=1), output_dir=tmp_path)
    there = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert there <= files_of_run(tmp_path)
    (tmp_path / "report.html").touch()
    assert "report.html" not in files_of_run(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    files = result.pop("files")
    for more, expected in (({}, False), ({"files": 5}, False), ({"files": files | {"../x": ""}}, True)):
        (tmp_path / "result.json").write_text(json.dumps(result | more))
        assert (there <= files_of_run(tmp_path)) == expected
        assert "../x" not in files_of_run(tmp_path)
    (tmp_path / "result.json").write_text("{}")  # of something else
    assert files_of_run(tmp_path) == set()
