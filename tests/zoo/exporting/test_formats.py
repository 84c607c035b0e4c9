"""What is in the files of each format, integers, other precisions, and what cannot be written."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from test_every_model import FLOATS, assert_agree, probabilities_of, trained_looking

import zoo
from zoo.data.split import Split
from zoo.errors import ExportError, UsageError, ZooError
from zoo.exporting import formats
from zoo.exporting.formats import FORMATS
from zoo.models.fusing import fuse_convolution
from zoo.models.response_normalization import LocalResponseNormalization

needs_onnx = pytest.mark.skipif("onnx" not in FLOATS, reason="the extra onnx is not installed")
needs_litert = pytest.mark.skipif("litert" not in FLOATS, reason="the extra litert is not installed")


def test_what_only_the_large_networks_have_goes_into_every_format(tmp_path):
    """Convolution in groups and response normalisation as in AlexNet, padding, pooling and projection as in ResNet-50."""
    inputs = keras.Input((20, 18, 3))
    x = keras.layers.Conv2D(8, 5, 2, activation="relu")(inputs)
    x = LocalResponseNormalization()(x)
    x = fuse_convolution(keras.layers.Conv2D(8, 3, padding="same", groups=2, activation="relu"))(x)
    x = keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1)(x))
    x = keras.layers.Conv2D(6, 1, 2, use_bias=False)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.SpatialDropout2D(0.5)(x))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    random = np.random.default_rng(0)
    split = Split.from_arrays(random.integers(0, 256, (50, 20, 18, 3)).astype(np.uint8), np.arange(50) % 3)
    zoo.export(model, tmp_path / "e", formats=FLOATS, check_with=split)
    assert_agree(tmp_path / "e", model, split)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_precisions_become_float32_where_a_runtime_knows_no_other(tmp_path, dtype):
    data = zoo.load_dataset("digits", limit=100)
    model = trained_looking("cnn", data, {"filters": 2, "units": 4, "dtype": dtype})
    names = [name for name in FLOATS if name in ("onnx", "litert")]
    if not names:
        pytest.skip("neither onnx nor litert is installed")
    zoo.export(model, tmp_path / "e", formats=names, check_with=data.test)
    assert dtype.removeprefix("mixed_") in {layer.compute_dtype for layer in model.layers if layer.weights}


def test_nothing_of_training_is_in_any_file(colours):
    folder, model, _ = colours
    assert any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    operations = {"keras": kinds_of_layers(keras.saving.load_model(folder / "model.keras"))}
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    graphs = [signature.graph.as_graph_def() for signature in loaded.signatures.values()]
    operations["saved_model"] = {n.op for g in graphs for part in (g, *g.library.function) for n in nodes(part)}
    assert not any("seed" in variable.name for variable in loaded.weights)
    if "onnx" in FLOATS:
        import onnx

        operations["onnx"] = {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}
    if "litert" in FLOATS:
        from ai_edge_litert.interpreter import Interpreter

        for name in ("litert", "litert_int8"):
            interpreter = Interpreter(str(folder / FORMATS[name].path))
            operations[name] = {detail["op_name"] for detail in interpreter._get_ops_details()}
    for name, kinds in operations.items():
        assert len(kinds) > 3, name
        assert not [k for k in kinds if any(word in k.lower() for word in ("dropout", "random", "bernoulli"))], name


def kinds_of_layers(model) -> set[str]:
    return {type(layer).__name__ for layer in model._flatten_layers()}


def nodes(part):
    return part.node if hasattr(part, "node") else part.node_def


@needs_onnx
def test_an_onnx_file_names_its_classes(colours):
    import onnxruntime

    session = onnxruntime.InferenceSession(colours[0] / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["red", "green", "deep blue"]
    assert json.loads(metadata["input_shape"]) == [10, 12, 3]


@needs_litert
@pytest.mark.parametrize("name", ["model.tflite", "model_int8.tflite"])
def test_a_litert_file_names_its_classes(colours, name):
    labels = zipfile.ZipFile(colours[0] / name).read("labels.txt")
    assert labels.decode().splitlines() == ["red", "green", "deep blue"]


@pytest.mark.parametrize("name", [name for name in FLOATS if name != "keras"])
def test_threads_may_share_a_predictor(colours, name):
    """An interpreter's inputs and outputs are its state: without a lock one thread gets the answers of another."""
    predictor, pixels = zoo.load_exported(colours[0], format=name), colours[2].test.inputs
    expected = predictor.predict(pixels)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            parts = [slice(i % 5, 30 * (1 + i % 2)) for i in range(400)]
            answers = list(pool.map(lambda part: predictor.predict(pixels[part]), parts))
    finally:
        sys.setswitchinterval(interval)
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_allclose(answer, expected[part], atol=1e-5)


@needs_litert
def test_integers_answer_as_the_model_does(colours):
    folder, model, data = colours
    predictor = zoo.load_exported(folder, format="litert_int8")
    check = predictor.certificate.checks["litert_int8"]
    got = predictor.predict(data.test.inputs)
    assert check["accuracy"] == np.mean(got.argmax(axis=1) == data.test.labels)
    assert check["accuracy_interval"][0] < check["accuracy"] <= check["accuracy_interval"][1]
    assert np.mean(got.argmax(axis=1) == probabilities_of(model, data.test, 80).argmax(axis=1)) >= 0.95
    float_file, int_file = (folder / FORMATS[name].path for name in ("litert", "litert_int8"))
    assert int_file.stat().st_size < float_file.stat().st_size


@needs_litert
def test_integers_need_calibration_and_agreement(tmp_path):
    data = zoo.load_dataset("digits", limit=60)
    model = zoo.build("softmax", data.input_shape, 10)
    with pytest.raises(UsageError, match="needs calibrate_with"):
        zoo.export(model, tmp_path / "e", formats="litert_int8", check_with=data.test)
    dark = np.zeros_like(data.test.inputs), data.test.labels  # ranges that fit nothing
    with pytest.raises(ExportError, match="litert_int8 export agrees with the model on"):
        zoo.export(model, tmp_path / "e", formats="litert_int8", check_with=data.test, calibrate_with=dark)
    assert list(tmp_path.iterdir()) == []


@needs_litert
@pytest.mark.skipif(
    not (Path(os.environ.get("TFDS_DATA_DIR", "")) / "mnist").is_dir(), reason="TFDS has no MNIST prepared"
)
def test_integers_agree_on_mnist(tmp_path):
    data = zoo.load_dataset("mnist", limit=4000)
    model = zoo.build("cnn", data.input_shape, 10, filters=(8, 16), units=32)
    zoo.train(model, data, zoo.Recipe(epochs=2, batch_size=64), verbose=False)
    some = data.test.subset(np.arange(2000))
    certificate = zoo.export(model, tmp_path / "e", formats="litert_int8", check_with=some, calibrate_with=data.train)
    assert certificate.checks["litert_int8"]["top1_agreement"] >= 0.98
    assert abs(certificate.checks["litert_int8"]["accuracy"] - certificate.metrics["accuracy"]) < 0.01


def test_a_format_whose_packages_are_missing_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    data = zoo.load_dataset("blobs")
    with pytest.raises(ZooError, match=r"format onnx needs .*pip install 'keras-zoo\[onnx\]'") as caught:
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="onnx", check_with=data.test)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_converted_is_one_line(tmp_path, capfd):
    @keras.saving.register_keras_serializable("test")
    class Unusual(keras.layers.Layer):
        def call(self, x):
            return tf.math.lgamma(1 + tf.abs(x))

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(Unusual()(inputs)))
    data = zoo.load_dataset("blobs")
    capfd.readouterr()
    for name in (name for name in FLOATS if name in ("onnx", "litert")):
        with pytest.raises(ExportError, match=f"cannot be converted to {name}|{name} export cannot be run") as caught:
            zoo.export(model, tmp_path / "e", formats=name, check_with=data.test)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
