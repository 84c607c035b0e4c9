"""The studies of photographs, held against referees that use neither the studies' own code nor the library's arithmetic."""

import importlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from studies.options import StudyOptions

import zoo
from zoo.models.published import PublishedModel
from zoo.reporting.study import StudyReport

alexnet_inside = importlib.import_module("studies.alexnet_inside")
dogs_vs_cats = importlib.import_module("studies.dogs_vs_cats")
fooling = importlib.import_module("studies.fooling")


@pytest.fixture(scope="module")
def linear():
    """A two-class softmax on 4x4 images far from black and white, its weights, and examples that it has right."""
    random = np.random.default_rng(3)
    kernel = random.normal(size=(16, 2)).astype(np.float32)
    model = zoo.build("softmax", (4, 4, 1), 2)
    model.set_weights([kernel, np.zeros(2, np.float32)])
    images = (0.5 + 0.02 * random.normal(size=(60, 4, 4, 1))).astype(np.float32)
    z = images.reshape(60, 16) @ (kernel[:, 1] - kernel[:, 0])
    split = zoo.Split.from_arrays(images, (z > 0).astype(np.int32), class_names=["a", "b"])
    return model, split, np.abs(z), kernel[:, 1] - kernel[:, 0]


def test_fooling_of_a_linear_model_is_its_margin_by_hand(linear):
    """A step of ε moves the margin |z| by ε‖w‖₁: it fools above |z| / ‖w‖₁, and leaves right what lies farther."""
    model, split, margins, w = linear
    found = zoo.fool(model, split, num_halvings=20, verbose=False)
    table = fooling.smallest_changes({"gradient_sign": found}).iloc[0]
    needed = margins / np.abs(w).sum()
    assert (table["fooled"], table["median"]) == (60, pytest.approx(np.median(needed), rel=1e-3))
    assert table["low"] < np.median(needed) < table["high"]
    sizes = fooling.at_same_size(model, split, seed=0)
    assert sizes["after_step"].tolist() == [np.mean(needed > k / 255) for k in (1, 2, 4, 8)]
    assert (sizes["after_noise"] >= sizes["after_step"]).all()
    spread = np.abs(w).sum() / np.linalg.norm(w)
    assert fooling.gradient_spread(model, found) == pytest.approx([spread] * 60, rel=1e-5)


def test_absent_weights_are_said_and_a_network_is_trained_in_their_place(monkeypatch, digits):
    build, report = zoo.build, StudyReport("fooling", "?", "study.py", {}, 0)

    def without_weights(name, *args, weights=None, **options):
        if weights is not None:
            raise zoo.WeightsError("not on this machine")
        return build(name, *args, **options)

    monkeypatch.setattr(zoo, "build", without_weights)
    monkeypatch.setattr(zoo, "train", lambda *_, **__: None)
    model, origin = fooling.known_model("cifar10", digits, StudyOptions(fast=True), report)
    assert (model.name, origin) == ("cnn", "cnn, 5 epochs")
    assert report.findings["published"].verdict == "not run"
    assert "not on this machine" in report.findings["published"].why


def test_relative_changes_and_colours_of_filters_by_hand():
    stack = np.array([[3.0, 4.0], [3.0, 4.0], [6.0, 8.0], [0.0, 8.0]])
    assert alexnet_inside.relative_changes(stack) == pytest.approx([0, 1, 1])  # 0, (3, 4) / 5, (-3, 4) / 5
    pattern = np.arange(9.0).reshape(3, 3)
    grey, opponent = np.stack([pattern] * 3, axis=-1), np.stack([pattern, pattern, -pattern], axis=-1)
    assert alexnet_inside.colours_alike(np.stack([grey, 2 * grey + 5, opponent])) == pytest.approx([1, 1, -1 / 3])


def test_a_network_is_asked_for_classes_and_for_the_noise_that_changes_them(tmp_path):
    """The first class is the largest score by NumPy; a square image is the same cropped and padded."""
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "square.png")
    model, names, report = (
        zoo.build("softmax", (8, 8, 3), 6),
        list("abcdef"),
        StudyReport("asked", "?", "study.py", {}, 0),
    )
    network = PublishedModel(model, 8, names)
    alexnet_inside.ask(report, network, [tmp_path / "square.png"], 4, seed=0)
    report.write(tmp_path / "out")
    kernel, bias = model.get_weights()
    order = np.argsort((image / 255).ravel() @ kernel + bias)[::-1][:5]
    table = pd.read_csv(tmp_path / "out" / "top-classes-by-softmax.csv")
    for fit in ("crop", "pad"):
        assert table.loc[table["fit"] == fit, "class"].tolist() == [names[k] for k in order]
    assert report.findings["same_padded"].measured == 1
    assert report.findings["median_noise"].measured > 0


@pytest.fixture(scope="module")
def digits():
    return zoo.load_dataset("digits", validation=0.2, input_range=(-1, 1))


def test_files_without_labels_are_scored_as_the_data_are(digits, tmp_path):
    """Pixels by hand: x / 127.5 - 1; the identifiers are numbers in their order, other names follow as they are."""
    model = zoo.build("softmax", digits.input_shape, 10)
    names = ["10", "9", "1", "cat"]
    for name, image in zip(names, digits.test.inputs[:4], strict=True):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{name}.png")
    files = sorted(tmp_path.iterdir())
    table = dogs_vs_cats.predict_files(model, digits, files)
    labels = model.predict(digits.test.inputs[:4] / 127.5 - 1, verbose=0).argmax(axis=1)
    assert list(table.columns) == ["id", "label"]
    assert table["id"].tolist() == [1, 9, 10, "cat"]
    assert dict(zip(table["id"].astype(str), table["label"], strict=True)) == dict(zip(names, labels, strict=True))


def test_unseen_images_are_validation_and_test_with_their_labels(digits):
    unseen = dogs_vs_cats.unseen_images(digits)
    parts = digits.validation, digits.test
    assert np.array_equal(unseen.inputs, np.concatenate([part.inputs for part in parts]))
    assert np.array_equal(unseen.labels, np.concatenate([part.labels for part in parts]))
    assert unseen.scaling == digits.test.scaling
    assert unseen.class_names == digits.test.class_names


def test_settings_are_brought_in_one_by_one():
    assert list(dogs_vs_cats.chosen_rows(StudyOptions())) == list(dogs_vs_cats.ADDED)
    rows = dogs_vs_cats.chosen_rows(StudyOptions(settings={"dropout": 0.3, "optimizer": "adam"}))
    plain = {"batch_normalization": False, "augment": True}
    assert list(rows.values()) == [{**plain, "dropout": 0.3, "optimizer": "adam"}]
    for settings in ({"drop": 0.3}, {"augment": "yes"}):
        with pytest.raises(zoo.UsageError):
            dogs_vs_cats.chosen_rows(StudyOptions(settings=settings))


def test_predictions_of_a_folder_are_written_beside_the_page(tmp_path, digits):
    import study

    (tmp_path / "new").mkdir()
    Image.fromarray(digits.test.inputs[0][..., 0]).save(tmp_path / "new" / "7.png")
    arguments = ["--fast", "--set", "augment=false", "--data", str(tmp_path / "new"), "--output", str(tmp_path)]
    assert study.main(["run", "dogs_vs_cats", *arguments]) == 0
    table = pd.read_csv(tmp_path / "dogs_vs_cats-cut" / "predictions.csv")
    assert table["id"].tolist() == [7]
    assert table["label"].between(0, 9).all()


def test_a_folder_without_images_is_told_before_anything_is_trained(tmp_path):
    for name in ("dogs_vs_cats", "alexnet_inside"):
        with pytest.raises(zoo.DataError, match="no images"):
            importlib.import_module(f"studies.{name}").run(StudyOptions(fast=True, data=tmp_path), None)
