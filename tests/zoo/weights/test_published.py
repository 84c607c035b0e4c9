"""Published weights in the hands of a user: accuracy, photographs, training, search."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import zoo.startup

# isort: split
import numpy as np
import predict
import pytest
import tensorflow as tf

import tuning
import zoo
from zoo.errors import UsageError
from zoo.models.published import load_published
from zoo.weights import convert
from zoo.weights.sources import SOURCES

SHARED = Path(__file__).parents[4] / "shared"
RESNET20 = Path(os.environ.get("ZOO_WEIGHTS_DIR", SHARED / "weights")) / "resnet20-12fca82f.th"
PHOTOGRAPHS = SHARED / "datasets" / "alexnet_images"

needs_weights = pytest.mark.skipif(not RESNET20.is_file(), reason="ZOO_WEIGHTS_DIR has no resnet20-12fca82f.th")


@needs_weights
@pytest.mark.skipif(not (SHARED / "datasets" / "cifar10").is_dir(), reason="CIFAR-10 is not on this machine")
def test_resnet20_knows_the_test_images_of_cifar10():
    data = zoo.load_dataset("cifar10")
    model = zoo.build("resnet20", (32, 32, 3), 10, weights=RESNET20)
    # Published: 91.7 %. These images were compressed again as strong JPEG; JPEG decoders differ by 0.3 points.
    assert zoo.evaluate(model, data.test).accuracy == pytest.approx(0.812, abs=0.003)


@needs_weights
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the photographs are not on this machine")
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photographs_of_any_mode_and_size_are_classified(capsys, fit):
    code = predict.main(
        [
            *("--model", "resnet20", "--weights", str(RESNET20), "--fit", fit, "--top", "3", "--format", "csv"),
            str(PHOTOGRAPHS),
        ]
    )
    assert code == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = [line.split(",") for line in out.splitlines()]
    assert [Path(row[0]).name for row in rows[1:]] == sorted(file.name for file in PHOTOGRAPHS.iterdir())
    found = {Path(row[0]).name: row[1] for row in rows[1:]}
    assert {found[name] for name in ("dog.png", "dog2.png", "poodle.png")} == {"dog"}
    probabilities = np.array([[float(cell) for cell in row[2::2]] for row in rows[1:]])
    assert (np.diff(probabilities) <= 0).all()


@needs_weights
def test_a_published_model_comes_with_size_and_names():
    published = load_published("resnet20", RESNET20)
    assert published.image_size == 32
    assert published.class_names[3] == "cat"
    assert published.model.output_shape == (None, 10)


def test_a_model_without_published_weights_says_who_has_them():
    with pytest.raises(UsageError, match="alexnet, alexnet_v2"):
        load_published("mlp")
    assert set(SOURCES) < set(zoo.list_models())


@needs_weights
def test_pixels_in_another_range_are_refused():
    model = zoo.build("resnet20", (8, 8, 3), 10, weights=RESNET20)
    data = zoo.load_dataset("digits", color_mode="rgb", input_range=(0, 255), limit=60)
    with pytest.raises(UsageError, match=r"input_range=\(0, 1\)"):
        zoo.train(model, data, zoo.Recipe(epochs=1))


@needs_weights
def test_a_new_head_knows_the_file_of_its_backbone(tmp_path):
    data = zoo.load_dataset("digits", limit=40)
    model = zoo.build("transfer", data.input_shape, 10, backbone="resnet20", weights=RESNET20)
    backbone = zoo.build("resnet20", (32, 32, 3), 10, weights=RESNET20)
    assert model.zoo_build["weights_sha256"] == backbone.zoo_build["weights_sha256"]
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, backbone.get_layer("conv1").kernel)
    space = {"weights": [str(RESNET20)], "learning_rate": [0.01, 0.1]}
    recipe = zoo.Recipe(optimizer="sgd", epochs=1, trainable="head")
    result = tuning.search(
        "transfer", data, method="grid", values=space, recipe=recipe, directory=tmp_path, verbose=False
    )
    assert list(result.table["status"]) == ["completed"] * 2


@needs_weights
def test_a_run_remembers_where_the_file_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(RESNET20, "w.th")
    build = zoo.build("resnet20", (8, 8, 3), 10, weights="w.th").zoo_build
    assert build["options"]["weights"] == str(tmp_path / "w.th")
    monkeypatch.chdir(tmp_path.parent)
    assert zoo.build("resnet20", (8, 8, 3), 10, weights=Path(tmp_path.name) / "w.th").zoo_build == build


@needs_weights
def test_a_search_begins_with_the_file_and_is_not_resumed_on_another(tmp_path):
    path = tmp_path / "w.th"
    shutil.copy(RESNET20, path)
    data = zoo.load_dataset("digits", color_mode="rgb", limit=40)
    space = {"weights": [str(path)], "learning_rate": [1e-9]}
    recipe = zoo.Recipe(optimizer="sgd", epochs=1)

    def search():
        return tuning.search(
            "resnet20", data, method="grid", values=space, recipe=recipe, directory=tmp_path / "s", verbose=False
        )

    result = search()
    model = zoo.build("resnet20", (8, 8, 3), 10, weights=path)
    trained = zoo.train(model, data, zoo.Recipe(optimizer="sgd", epochs=1, learning_rate=1e-9), verbose=False)
    assert result.table["val_loss"][0] == pytest.approx(trained.metrics["val_loss"], rel=1e-5)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(UsageError, match="weights_sha256"):
        search()


@needs_weights
def test_weights_are_loaded_under_a_strategy(monkeypatch):
    monkeypatch.setattr(convert, "_BLOCK_BYTES", 1000)  # so that rows would be assigned a few at a time
    alone = zoo.build("resnet20", (8, 8, 3), 10, weights=RESNET20)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = zoo.build("resnet20", (8, 8, 3), 10, weights=RESNET20)
    for weight, expected in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    monkeypatch.undo()
    at_once = zoo.build("resnet20", (8, 8, 3), 10, weights=RESNET20)
    for weight, expected in zip(at_once.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
