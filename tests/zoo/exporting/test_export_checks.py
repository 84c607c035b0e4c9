"""A file that computes something else is not put in place."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from export_contents import contents
from test_every_model import trained_looking

import zoo
from zoo.errors import ExportError
from zoo.exporting import exporter


def other_weights(serving, *others):
    """Writes a model that has the same shape and other weights."""
    copy = keras.models.clone_model(serving)
    copy.set_weights([1.01 * w for w in serving.get_weights()])
    return copy, *others


def sabotage(monkeypatch, format_name: str) -> None:
    honest = exporter._WRITERS[format_name]
    monkeypatch.setitem(exporter._WRITERS, format_name, lambda *a: honest(*other_weights(*a)))


@pytest.mark.parametrize("format_name", ["keras", "saved_model"])
def test_a_file_that_computes_something_else_is_not_put_in_place(blobs, tmp_path, monkeypatch, format_name):
    model = trained_looking("softmax", blobs, {})
    zoo.export(model, tmp_path / "e", check_with=blobs.test)
    before = contents(tmp_path / "e")
    sabotage(monkeypatch, format_name)
    with pytest.raises(ExportError, match=f"the {format_name} export differs"):
        zoo.export(model, tmp_path / "e", check_with=blobs.test)
    assert contents(tmp_path / "e") == before
    with pytest.raises(ExportError):
        zoo.export(model, tmp_path / "new", check_with=blobs.test)
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


class AsInGraphs(keras.layers.Layer):
    """Computes a little else in a graph, as the rounding of a deep network does."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = change

    def call(self, inputs):
        return inputs + self.change * (tf.inside_function() * np.array([1.0, -1.0], np.float32))


def one_that_rounds(change: float) -> keras.Model:
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Softmax()(AsInGraphs(change)(keras.layers.Dense(2)(inputs))))


def test_a_model_that_differs_from_itself_may_differ_so_much_in_a_file(blobs, tmp_path):
    check = zoo.export(one_that_rounds(3e-5), tmp_path / "e", formats="saved_model", check_with=blobs.test).checks
    own = check["saved_model"]["max_abs_difference"]
    assert 1e-5 < own < 2e-5
    assert check["saved_model"]["tolerance"] == pytest.approx(4 * own, rel=0.1)
    with pytest.raises(ExportError, match=r"at most 0\.0001 is accepted"):  # never more
        zoo.export(one_that_rounds(1e-3), tmp_path / "other", formats="saved_model", check_with=blobs.test)


def test_a_model_that_does_not_may_not(blobs, tmp_path, monkeypatch):
    model = zoo.build("softmax", (2,), 2)
    monkeypatch.setattr(
        exporter, "load_runtime", lambda *a: lambda x: np.asarray(model(x)) + np.array([2e-5, -2e-5], np.float32)
    )
    with pytest.raises(ExportError, match=r"differs from the model by 2e-05 \(at most 1e-05 is accepted"):
        zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)


def test_a_file_that_gives_nan_is_not_put_in_place(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "load_runtime", lambda name, path: lambda x: np.full((len(x), 2), np.nan))
    with pytest.raises(ExportError):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_gives_nan_for_one_edge_is_not_put_in_place(blobs, tmp_path, monkeypatch):
    honest = exporter.load_runtime

    def broken(name, path):
        predict = honest(name, path)
        return lambda x: predict(x) if len(x) != 2 else predict(x) * [[1], [np.nan]]

    monkeypatch.setattr(exporter, "load_runtime", broken)
    with pytest.raises(ExportError, match="differs from the model by nan"):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)


def test_a_file_that_fails_on_one_example_is_not_put_in_place(blobs, tmp_path, monkeypatch):
    honest = exporter.load_runtime

    def broken(name, path):
        predict = honest(name, path)
        return lambda x: predict(x) if len(x) > 1 else 1 - predict(x)

    monkeypatch.setattr(exporter, "load_runtime", broken)
    with pytest.raises(ExportError):
        zoo.export(trained_looking("softmax", blobs, {}), tmp_path / "e", formats="keras", check_with=blobs.test)


def test_a_wrong_scaling_is_noticed(tmp_path, monkeypatch):
    """The comparison runs through the pipeline that trains, so a mistake in the exported scaling cannot hide."""
    data = zoo.load_dataset("digits", limit=60)
    monkeypatch.setattr(keras.layers, "Rescaling", lambda scale, offset, **k: keras.layers.Activation("linear", **k))
    with pytest.raises(ExportError, match="differs from the model"):
        zoo.export(trained_looking("softmax", data, {}), tmp_path / "e", formats="keras", check_with=data.test)
