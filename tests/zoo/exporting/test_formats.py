"""Every format computes what the model computes, from raw pixels and from JPEG bytes."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_exporter import CASES, IDS, data_of, trained_looking

import zoo
from zoo.data.split import Split
from zoo.errors import ExportError, UsageError, ZooError
from zoo.exporting import formats
from zoo.exporting.formats import FORMATS, installed_formats
from zoo.models.fusing import fuse_convolution
from zoo.models.outputs import class_probabilities, output_kind
from zoo.models.response_normalization import LocalResponseNormalization

# Converting the large ones to ONNX takes from 8 to 26 seconds each; ZOO_EVERY_FORMAT=1 does.
LARGE = ("resnet18", "resnet34", "resnet50", "alexnet", "alexnet_v2")
CHOSEN = [case_id for case_id in IDS if not case_id.startswith(LARGE) or os.environ.get("ZOO_EVERY_FORMAT")]
FLOATS = tuple(name for name in installed_formats() if not FORMATS[name].is_quantized)
needs_onnx = pytest.mark.skipif("onnx" not in FLOATS, reason="the extra onnx is not installed")
needs_litert = pytest.mark.skipif("litert" not in FLOATS, reason="the extra litert is not installed")


def probabilities_of(model, split: Split, count: int) -> np.ndarray:
    scaled = next(iter(split.batches(count)))[0]
    return np.asarray(class_probabilities(model(scaled, training=False), output_kind(model)))


def assert_agree(folder, model, split: Split) -> None:
    """All formats, alone and many at once, from what is stored; and files of images."""
    raw = next(iter(split.stored_batches(40)))[0].numpy()
    expected = probabilities_of(model, split, 40)
    for name in FLOATS:
        predictor = zoo.load_exported(folder, format=name)
        for count in (40, 1, 7):
            got = predictor.predict(raw[:count])
            assert got.dtype == np.float32
            assert np.abs(got - expected[:count]).max() <= 1e-4, name
        assert np.abs(predictor.predict(raw, batch_size=9) - expected).max() <= 1e-4, name
    if predictor.takes_images:
        serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_encoded"]
        for kind in ("PNG", "JPEG"):
            encoded = [as_bytes(image, kind) for image in raw[:5]]
            decoded = np.stack([pixels_of(content, split.input_shape) for content in encoded])
            got = serve(image_bytes=tf.constant(encoded))["probabilities"].numpy()
            one = Split.from_arrays(decoded, np.zeros(5, int), class_names=split.class_names)
            one.scaling = split.scaling
            assert np.abs(got - probabilities_of(model, one, 5)).max() <= 1e-4, kind


def as_bytes(image: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, kind)
    return buffer.getvalue()


def pixels_of(content: bytes, shape) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("L" if shape[-1] == 1 else "RGB")).reshape(shape)


@pytest.mark.parametrize("case_id", CHOSEN)
def test_every_format_agrees_with_the_model(case_id, tmp_path):
    name, data_options, options = CASES[IDS.index(case_id)]
    data = data_of(name, data_options)
    model = trained_looking(name, data, options)
    certificate = zoo.export(model, tmp_path / "e", formats=FLOATS, check_with=data.test)
    assert certificate.checks.keys() == set(FLOATS)
    assert_agree(tmp_path / "e", model, data.test)


def test_what_only_the_large_networks_have_goes_into_every_format(tmp_path):
    """Convolution in groups and response normalisation as in AlexNet, padding and pooling as in ResNet-50."""
    inputs = keras.Input((20, 18, 3))
    x = keras.layers.Conv2D(8, 5, 2, activation="relu")(inputs)
    x = LocalResponseNormalization()(x)
    x = fuse_convolution(keras.layers.Conv2D(8, 3, padding="same", groups=2, activation="relu"))(x)
    x = keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1)(x))
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
    certificate = zoo.export(
        model, tmp_path / "e", formats="litert_int8", check_with=data.test, calibrate_with=data.train
    )
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
