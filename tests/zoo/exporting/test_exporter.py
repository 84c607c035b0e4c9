"""What an export writes, replaces and refuses."""

from __future__ import annotations

import os

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from export_contents import contents
from test_every_model import DIGITS, trained_looking

import zoo
from zoo import storage
from zoo.errors import ExportError, UsageError
from zoo.exporting import exporter
from zoo.exporting.certificate import read_certificate
from zoo.models.outputs import class_probabilities, output_kind

ALWAYS = ("certificate.json", "README.md", "examples.npz")


def test_only_the_formats_asked_for_are_written(blobs, tmp_path):
    certificate = zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    assert certificate.checks.keys() == {"keras"}
    assert contents(tmp_path / "e").keys() == {*ALWAYS, "model.keras"}


def test_an_export_is_replaced_as_a_whole(blobs, tmp_path):
    model = trained_looking("softmax", blobs, {})
    zoo.export(model, tmp_path / "e", check_with=blobs.test)
    other = trained_looking("logistic", blobs, {})
    certificate = zoo.export(other, tmp_path / "e", formats=["keras"], check_with=blobs.test)
    assert contents(tmp_path / "e").keys() == {*ALWAYS, "model.keras"}
    loaded = keras.saving.load_model(tmp_path / "e" / "model.keras")
    expected = class_probabilities(other(blobs.test.inputs), "sigmoid")
    np.testing.assert_allclose(loaded(blobs.test.inputs), expected, atol=1e-6)
    assert certificate.directory == tmp_path / "e"
    assert [p.name for p in tmp_path.iterdir()] == ["e"]  # nothing is left beside it


def test_a_failing_writer_leaves_the_previous_export(blobs, tmp_path, monkeypatch):
    model = zoo.build("softmax", (2,), 2)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    before = contents(tmp_path / "e")

    def full_disk(serving, path, split):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(exporter._WRITERS, "keras", full_disk)
    with pytest.raises(OSError, match="No space"):
        zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    assert contents(tmp_path / "e") == before
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


def test_a_folder_that_is_no_export_is_never_replaced(blobs, tmp_path):
    model = zoo.build("softmax", (2,), 2)
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(UsageError, match=r"thesis\.tex, which would be lost"):
        zoo.export(model, tmp_path, formats="keras", check_with=blobs.test)
    with pytest.raises(UsageError, match="is a file"):
        zoo.export(model, tmp_path / "thesis.tex", formats="keras", check_with=blobs.test)
    assert contents(tmp_path) == {"thesis.tex": b"all of it"}


def test_what_was_put_beside_an_export_is_not_deleted(blobs, tmp_path):
    model = zoo.build("softmax", (2,), 2)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    (tmp_path / "e" / "thesis.tex").write_text("all of it")
    with pytest.raises(UsageError):
        zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    (tmp_path / "e" / "thesis.tex").unlink()
    (tmp_path / "e" / "data").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="holds data, which would be lost"):
        zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    assert (tmp_path / "e" / "data").is_symlink()


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"files": 5}', '{"files": ["certificate.json"]}'])
def test_a_certificate_that_is_none_is_of_no_export(blobs, tmp_path, content):
    (tmp_path / "certificate.json").write_text(content)
    with pytest.raises(UsageError, match=r"certificate\.json, which would be lost"):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path, formats="keras", check_with=blobs.test)


def test_what_a_foreign_certificate_names_elsewhere_is_not_deleted(blobs, tmp_path):
    victims = [tmp_path / "victim", tmp_path / "elsewhere" / "victim"]
    for victim in victims:
        storage.write_text(victim, "of somebody")
    names = ["../victim", str(victims[0]), str(victims[1]), "a\0b", "", "..", "../elsewhere", "../elsewhere/victim"]
    storage.write_json(tmp_path / "e" / "certificate.json", {"files": dict.fromkeys(names, "0" * 64)})
    zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    assert (tmp_path / "e" / "model.keras").exists()
    assert [victim.read_text() for victim in victims] == ["of somebody"] * 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["e", "elsewhere", "victim"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_certificate_that_is_a_pipe_is_refused_at_once(blobs, tmp_path):
    os.mkfifo(tmp_path / "certificate.json")
    with pytest.raises(ExportError, match=r"certificate\.json cannot be read: no regular file"):
        read_certificate(tmp_path)
    with pytest.raises(UsageError, match=r"certificate\.json, which would be lost"):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path, formats="keras", check_with=blobs.test)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data_config": {"a": {1}}}, "data_config must be plain values that JSON holds"),
        ({"data_config": 5}, "data_config must be of the type dict"),
        ({"recipes": [{"rate": float("nan")}]}, "recipes must be plain values"),
        ({"recipes": 5}, "recipes must be of the type Sequence"),
        ({"intended_use": 5}, "intended_use must be of the type str"),
        ({"formats": 5}, "formats must be names"),
        ({"directory": ""}, "a path is text"),
        ({"directory": "a\0b"}, "a NUL is in it"),
    ],
    ids=str,
)
def test_what_no_certificate_can_hold_is_refused_before_the_work(blobs, tmp_path, options, words):
    usual = {"directory": tmp_path / "new" / "e", "formats": "keras", "check_with": blobs.test}
    with pytest.raises(UsageError, match=words):
        zoo.export(zoo.build("softmax", (2,), 2), **usual | options)
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_do_not_fit_are_one_line(blobs, tmp_path):
    two = [keras.Input((2,)), keras.Input((2,))]
    joined = keras.Model(two, keras.layers.Dense(2, activation="softmax")(keras.layers.Concatenate()(two)))
    for model, words in (
        (zoo.build("softmax", (3,), 2), r"takes inputs of shape \(3,\), the data have \(2,\)"),
        (joined, "takes 2 inputs; data have one input an example"),
        (
            keras.Sequential([keras.Input((2, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]),
            r"\(2, 1\)",
        ),
    ):
        with pytest.raises(UsageError, match=words):
            zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)


def test_the_card_says_that_a_keras_file_needs_the_users_layers(blobs, tmp_path):
    @keras.saving.register_keras_serializable("test")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    model = keras.Sequential([keras.Input((2,)), Twice(), keras.layers.Dense(2, activation="softmax")])
    words = "`model.keras` loads only in a program that defines Twice."
    for formats, is_said in (("keras", True), ("saved_model", False)):
        certificate = zoo.export(model, tmp_path / "e", formats=formats, check_with=blobs.test)
        assert (words in certificate.limits) == is_said
        assert (words in (tmp_path / "e" / "README.md").read_text()) == is_said


def test_the_card_speaks_of_pixels_only_where_inputs_are_images(blobs, tmp_path):
    certificate = zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    card = (tmp_path / "e" / "README.md").read_text()
    assert "pixels" not in card + certificate.intended_use
    assert "values in the range of the training data" in card
    maps = zoo.Split.from_arrays(np.zeros((4, 3, 5, 1), np.float32), [0, 1, 0, 1])
    certificate = zoo.export(zoo.build("softmax", (3, 5, 1), 2), tmp_path / "f", formats="keras", check_with=maps)
    assert certificate.intended_use.startswith("Tells 2 classes of arrays of 3 x 5 x 1 numbers apart")


def test_an_empty_folder_is_filled(blobs, tmp_path):
    (tmp_path / "e").mkdir()
    zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    assert (tmp_path / "e" / "certificate.json").exists()


@pytest.mark.parametrize(("formats", "message"), [(("keras", "onxx"), "unknown export format"), ((), "is empty")])
def test_wrong_formats_are_refused(blobs, tmp_path, formats, message):
    with pytest.raises(UsageError, match=message):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats=formats, check_with=blobs.test)
    assert list(tmp_path.iterdir()) == []


def test_exporting_leaves_the_model_as_it_was(blobs, tmp_path):
    model = zoo.build("mlp", (2,), 2, units=8, dropout=0.5, batch_normalization=True)
    before, names = model.get_weights(), [layer.name for layer in model.layers]
    zoo.export(model, tmp_path / "e", check_with=(blobs.test.inputs, blobs.test.labels))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [layer.name for layer in model.layers] == names
    assert output_kind(model) == "softmax"


@pytest.mark.parametrize(
    ("name", "options"), [("logistic", {}), ("softmax", {"classifier_activation": None})], ids=["sigmoid", "logits"]
)
def test_an_exported_keras_file_can_be_evaluated(blobs, tmp_path, name, options):
    model = trained_looking(name, blobs, options)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    loaded = keras.saving.load_model(tmp_path / "e" / "model.keras")
    assert zoo.evaluate(loaded, blobs.test).accuracy == zoo.evaluate(model, blobs.test).accuracy


def test_logits_of_the_softmax_model_can_be_exported(blobs, tmp_path):
    keras.utils.clear_session()  # Keras counts the names of operations: the first one is "softmax"
    model = zoo.build("softmax", (2,), 2, classifier_activation=None)
    certificate = zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    assert certificate.checks["keras"]["top1_agreement"] == 1


def test_a_bfloat16_model_can_be_exported(tmp_path):
    data = zoo.load_dataset(**DIGITS)
    model = trained_looking("cnn", data, {"filters": 4, "units": 8, "dtype": "mixed_bfloat16"})
    zoo.export(model, tmp_path / "e", check_with=data.test)


def test_a_shuffled_dataset_certifies_too(tmp_path):
    pixels, labels = np.arange(80, dtype=np.uint8)[:, None, None, None], np.repeat([0, 1], 40)
    dataset = tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(80).batch(16)
    certificate = zoo.export(zoo.build("softmax", (1, 1, 1), 2), tmp_path / "e", formats="keras", check_with=dataset)
    assert certificate.checks["keras"]["max_abs_difference"] < 1e-6
