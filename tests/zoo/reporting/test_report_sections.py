"""What each section tells, beside those of evaluations and searches."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from report_examples import make_evaluation

import zoo
from zoo.errors import DataError
from zoo.reporting.page import write_report
from zoo.reporting.sections import classes
from zoo.reporting.sections.calibration import calibration_section
from zoo.reporting.sections.certificate import certificate_section
from zoo.reporting.sections.dataset import dataset_section
from zoo.reporting.sections.inside import inside_section
from zoo.reporting.sections.model import model_section
from zoo.reporting.sections.search import search_section
from zoo.reporting.sections.summary import summary_section

sys.path.append(str(Path(__file__).parents[2] / "tuning"))


from search_records import record, written


@pytest.fixture(scope="module")
def trained():
    data = zoo.load_dataset("digits", limit=300)
    model = zoo.build("cnn", data.input_shape, data.num_classes, filters=(4,), num_stages=1, units=8)
    run = zoo.train(model, data, zoo.Recipe(epochs=2))
    return run, data, zoo.evaluate(model, data.test)


# Data


def test_counts_are_those_of_the_splits(trained):
    _, data, _ = trained
    section = dataset_section(data)
    table = section.content["counts"]
    assert table.header == ["class", "train", "validation", "test"]
    assert [int(row[1]) for row in table.rows[:-1]] == np.bincount(data.train.labels, minlength=10).tolist()
    assert table.rows[-1] == ["all", str(len(data.train)), str(len(data.validation)), str(len(data.test))]
    assert section.content["duplicates"] == ["No exact copies were found (train, validation, test)."]
    assert [picture.name for picture in section.pictures] == ["examples"]


def test_leaks_and_contradictions_are_named():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    train = np.concatenate([images[:16], images[3:4]])
    labels = [*([0] * 8), *([1] * 8), 1]  # 3 and 16 are equal, and of two classes
    data = zoo.DataSplits.from_arrays((train, labels), validation=None, test=(images[[5, 18]], [0, 1]))
    content = dataset_section(data).content
    assert content["has_leaks"]
    assert content["duplicates"][0].startswith("2 exact copies")
    assert "1 groups of equal examples" in content["duplicates"][1]
    assert "more than one split" in content["duplicates"][1]
    assert "more than one label" in content["duplicates"][2]
    assert content["groups"] == ["train 5 (0) = test 0 (0)", "train 3 (0) = train 16 (1)"]
    same = zoo.DataSplits.from_arrays((train, labels), validation="test", test=(images[[5, 18]], [0, 1]))
    for each in (data, same):  # 2 of 19 examples; a validation split that is the test split is no other two
        assert "10.53\u202f% of all" in dataset_section(each).content["duplicates"][1]


def test_a_stream_is_not_said_to_hold_no_copies():
    import tensorflow as tf

    points = tf.data.Dataset.from_tensor_slices((np.zeros((8, 4), np.float32), np.arange(8) % 2)).batch(4)
    splits = zoo.data.splits.as_splits(points)
    assert dataset_section(splits).content["duplicates"] == ["The data are streamed, so nothing was compared."]


def test_points_and_uneven_classes():
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    data = zoo.DataSplits.from_arrays((points, [0] * 30 + [1] * 10), class_names=("many", "few"), validation=None)
    section = dataset_section(data)
    assert "many has 3.0 times as many training examples as few" in section.content["imbalance"]
    assert section.pictures == ()


# Model and what is inside


def test_the_layers_of_a_model_add_up(trained):
    model = trained[0].model
    content = model_section(model).content
    numbers = [int(row["parameters"].replace("\u202f", "")) for row in content["rows"] if row["parameters"]]
    assert sum(numbers) == model.count_params()
    assert [row["name"] for row in content["rows"]] == [layer.name for layer in model.layers]


def test_nested_models_are_indented_and_frozen_layers_are_said():
    import keras

    inner = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="inner")], name="nested")
    inner.trainable = False
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Sequential([keras.layers.Input((4,)), inner, norm, keras.layers.Dense(2, name="head")])
    outer = keras.Sequential([keras.layers.Input((4,)), model])
    assert model_section(outer).content["rows"][0]["state"] == "learns and frozen"
    rows = {row["name"].strip(): row for row in model_section(model).content["rows"]}
    assert rows["inner"]["state"] == rows["nested"]["state"] == "frozen"
    assert rows["head"] == {"name": "head", "kind": "Dense", "shape": "2", "parameters": "8", "state": "learns"}
    assert rows["norm"]["state"] == "learns"
    assert rows["nested"]["parameters"] == ""
    assert model_section(object()) is None


def test_inside_a_convolutional_network(trained):
    run, data, score = trained
    before = [w.numpy() for w in run.model.weights]
    names = [picture.name for picture in inside_section(run.model, data.test, score).pictures]
    assert names == ["filters", "feature-maps", "grad-cam", "saliency"]
    assert all(np.array_equal(a, b) for a, b in zip(before, [w.numpy() for w in run.model.weights], strict=True))


def test_inside_a_linear_model_are_weight_images(trained):
    _, data, _ = trained
    model = zoo.build("softmax", data.input_shape, data.num_classes)
    names = [picture.name for picture in inside_section(model, data.test, zoo.evaluate(model, data.test)).pictures]
    assert names == ["weight-images", "saliency"]


def test_points_have_no_pictures_from_inside():
    data = zoo.load_dataset("blobs")
    model = zoo.build("mlp", data.input_shape, data.num_classes)
    assert inside_section(model, data.test, zoo.evaluate(model, data.test)) is None


def test_a_class_may_be_named_like_a_broken_formula(trained):
    run, data, score = trained
    names = ("$x^{2$", *data.class_names[1:])
    table = score.predictions.assign(true="$x^{2$", predicted="$\\broken$")
    section = inside_section(run.model, data.test, dataclasses.replace(score, predictions=table, class_names=names))
    assert {"feature-maps", "grad-cam", "saliency"} <= {picture.name for picture in section.pictures}


def test_images_of_four_channels_are_listed_without_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 4), dtype=np.uint8)
    data = zoo.DataSplits.from_arrays((pixels[:12], np.arange(12) % 2), test=(pixels[12:], np.arange(8) % 2))
    model = zoo.build("softmax", data.input_shape, data.num_classes)
    score = zoo.evaluate(model, data.test)
    assert score.images is None
    assert "Every test example" in write_report(tmp_path / "r.html", data=data, evaluation=score).read_text()


# Classes, calibration


def test_a_large_confusion_matrix_has_no_cells(monkeypatch):
    monkeypatch.setattr(classes, "plot_confusion", lambda matrix: Figure())  # whose drawing takes memory of its own
    evaluation = make_evaluation(num_examples=500, class_names=tuple(map(str, range(500))))
    tracemalloc.start()
    assert classes.classes_section(evaluation).content["matrix"] is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # a dictionary a cell would be 75 MB


def calibrated(confidence: np.ndarray, correct: np.ndarray):
    table = make_evaluation(num_examples=len(correct)).predictions.assign(confidence=confidence, correct=correct)
    accuracy = float(correct.mean())
    evaluation = make_evaluation(num_examples=len(correct))
    return dataclasses.replace(evaluation, predictions=table, accuracy=accuracy)


def test_only_what_is_more_than_chance_is_called_too_sure():
    rng = np.random.default_rng(0)
    called = []
    for _ in range(40):
        confidence = rng.uniform(0.3, 1, 100)  # of a model that is calibrated, though 15 bins differ by chance
        found = calibration_section(calibrated(confidence, rng.random(100) < confidence))
        called.append(len(found.content["sentences"]) > 2)
    assert sum(called) <= 6
    half = np.arange(100) % 2 == 0
    for confidence, manner in ((0.9, "too sure"), (0.2, "not sure enough")):
        sentence = calibration_section(calibrated(np.full(100, confidence), half)).content["sentences"][2]
        assert f"The model is {manner}" in sentence


# Searches


def test_a_search_in_which_all_failed_or_nothing_ended_is_told(tmp_path):
    failed = [record(n, None) for n in range(2)]
    for name, records in (("failed", failed), ("empty", [])):
        page = write_report(tmp_path / "r.html", search=written(tmp_path / name, records)).read_text()
        assert "No trial has a score." in page
        assert f"<dt>Trials</dt>\n<dd>{len(records)}\n" in page


@pytest.mark.parametrize(
    ("direction", "tuned", "best"), [("max", 0.95, "0.95"), ("min", 0.2, "0.2"), ("max", 0.6, "0.8")]
)
def test_the_best_of_a_fine_tuned_search_is_its_best_score(tmp_path, direction, tuned, best):
    trials = [record(0, 0.7), record(1, 0.8), record(2, 0.5)]
    result = written(tmp_path / "s", trials, direction=direction)
    result.fine_tuned[0] = {**record(0, tuned), "kind": "fine_tuned"}
    section = search_section(result)
    assert section.content["best_row"] == result.best_trial["number"]
    tile = summary_section(None, None, result).content["tiles"][0]
    assert tile.value == best == f"{result.best_score:.4g}"


# Certificate, and everything together


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {},
        {"checks": [], "files": {}, "input": {}, "versions": {}},
        {"checks": {"keras": 1}, "files": {}, "input": {}, "versions": {}},
    ],
)
def test_a_certificate_that_says_nothing_is_one_clear_error(damaged):
    with pytest.raises(DataError, match="export again"):
        certificate_section(damaged)


def test_a_certificate_and_its_file_give_the_same_section(trained, tmp_path):
    import json

    run, data, _ = trained
    certificate = zoo.export(run.model, tmp_path / "export", formats="keras", check_with=data.test)
    section = certificate_section(certificate)
    from_file = certificate_section(json.loads((tmp_path / "export/certificate.json").read_text()))
    assert section.content["checks"] == from_file.content["checks"]
    assert section.content["checks"].rows[0][0] == "keras"
    assert ("model.keras", certificate.files["model.keras"]) in [tuple(row) for row in section.content["files"].rows]


def test_all_parts_make_one_page_with_a_png_of_every_figure(trained, tmp_path):
    run, data, score = trained
    robustness = zoo.measure_robustness(run.model, data.test, {"noise": [0.2]}, verbose=False)
    path = write_report(
        tmp_path / "page" / "report.html",
        run=run,
        data=data,
        evaluation=score,
        robustness=robustness,
        plots=tmp_path / "plots",
    )
    page = path.read_text()
    for name in ("summary", "curves", "gallery", "calibration", "data", "model", "inside", "robustness", "recipe"):
        assert f'<section id="{name}"' in page
    figures = {file.stem for file in (tmp_path / "plots").iterdir()}
    assert {"loss-by-step", "calibration", "robustness", "examples", "filters", "grad-cam"} <= figures
    assert len(figures) == page.count('<figure class="plot"') + page.count('<figure class="picture"')
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    for file in (tmp_path / "plots").iterdir():
        assert file.read_bytes().startswith(b"\x89PNG")


def test_data_alone_make_a_page(trained, tmp_path):
    page = write_report(tmp_path / "r.html", data=trained[1]).read_text()
    assert '<section id="data"' in page


def test_a_comparison_alone_makes_a_page(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"optimizer": o, "seed": s, "score": 0.9 + 0.01 * rng.normal()} for o in "ab" for s in range(5)]
    found = zoo.compare(pd.DataFrame(rows), groups="optimizer", units="seed")
    page = write_report(tmp_path / "r.html", comparison=found).read_text()
    assert found.sentences()[0] in page
