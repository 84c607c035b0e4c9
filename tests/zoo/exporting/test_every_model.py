"""Every catalog model in every format: what the files compute without us, and what the certificate says of them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from zoo.data.split import Split
from zoo.exporting.formats import FORMATS, installed_formats
from zoo.models.outputs import class_probabilities, output_kind


def own_backbone() -> keras.Model:
    """Of another size than the images, which are resized in the files too."""
    layers = [keras.layers.Conv2D(4, 3, activation="relu", name="own_conv"), keras.layers.Flatten(name="own_flatten")]
    return keras.Sequential([keras.Input((11, 10, 3)), *layers])


# Every name of `zoo.list_models()` has an entry: options of `load_dataset`, options of `build`.
DIGITS: dict[str, Any] = {"name_or_path": "digits", "limit": 100, "input_range": (-1, 1)}
SAME_BLOCKS: list[tuple[dict[str, Any], dict[str, Any]]] = []  # a deeper one of which an export shows nothing new
MODELS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "logistic": [
        ({**DIGITS, "classes": (3, 2)}, {}),
        ({"name_or_path": "blobs"}, {"classifier_activation": None}),
    ],
    "softmax": [({"name_or_path": "blobs3"}, {"l2": 0.125})],
    "mlp": [
        ({"name_or_path": "blobs3"}, {"units": 16, "dropout": 0.5, "batch_normalization": True}),
        ({"name_or_path": "blobs3"}, {"units": 16, "classifier_activation": None}),
    ],
    "cnn": [(DIGITS, {"filters": 4, "units": 8, "dropout": 0.5, "batch_normalization": True, "dtype": "float64"})],
    "resnet20": [(DIGITS, {})],
    "resnet32": SAME_BLOCKS,  # as resnet20
    "resnet44": SAME_BLOCKS,
    "resnet56": SAME_BLOCKS,
    "resnet18": SAME_BLOCKS,  # as resnet20; for 1x1 convolutions and what stands before the blocks see test_formats.py
    "resnet34": SAME_BLOCKS,
    "resnet50": SAME_BLOCKS,
    "transfer": [(DIGITS, {"backbone": own_backbone(), "units": 6, "dropout": 0.5})],
    "alexnet": [({**DIGITS, "image_size": 67}, {})],
    "alexnet_v2": SAME_BLOCKS,  # fewer kinds of layers than alexnet, all stock ones
}
SMALL_STEPS = {"resnet": 0.02, "alexnet": 0.005}  # many or wide layers would multiply 0.2 to millions
CASES = [(name, *case) for name, cases in MODELS.items() for case in cases]
IDS = [f"{name}-{i}" for name, cases in MODELS.items() for i in range(len(cases))]
# Converting the large ones to ONNX takes from 8 to 26 seconds each; ZOO_EVERY_FORMAT=1 does.
LARGE = ("alexnet",)
CHOSEN = [case_id for case_id in IDS if not case_id.startswith(LARGE) or os.environ.get("ZOO_EVERY_FORMAT")]
FLOATS = tuple(name for name in installed_formats() if not FORMATS[name].is_quantized)
DEEP = 48  # test images of the models in SMALL_STEPS; of the others all are compared, from 71 to 355 of them


def test_every_model_has_an_entry():
    assert sorted(MODELS) == zoo.list_models()


def settle(model: keras.Model, inputs: Any) -> None:
    """Gives a deep model the moving statistics of `inputs`, and probabilities that are not all 0 and 1.

    Its blocks add little to their shortcuts, as in a trained model: else rounding errors would grow from block to block.
    """
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Add):
            branch = layer.input[1]._keras_history.operation
            branch.gamma.assign(branch.gamma * 0.2)
    momenta = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.momentum = 0.0
    model(inputs, training=True)
    for layer, momentum in zip(normalisations, momenta, strict=True):
        layer.momentum = momentum
    last = model.get_layer("predictions")
    features = np.asarray(keras.Model(model.input, last.input)(inputs, training=False))
    last.kernel.assign(np.asarray(last.kernel) / np.std(features @ np.asarray(last.kernel)))


def trained_looking(name: str, data: zoo.DataSplits, options: dict[str, Any]) -> keras.Model:
    """A model whose every weight, moving statistics too, has left its initial value."""
    model = zoo.build(name, data.input_shape, data.num_classes, **options)
    random = np.random.default_rng(0)
    most = next((most for kind, most in SMALL_STEPS.items() if name.startswith(kind)), 0.2)
    for weight in model.weights:
        if "seed_generator" not in weight.path:
            weight.assign(np.asarray(weight) + random.uniform(-most, most, weight.shape))
    if most < 0.2:
        settle(model, next(iter(data.test.batches(64)))[0])
    return model


def data_of(name: str, options: dict[str, Any]) -> zoo.DataSplits:
    data = zoo.load_dataset(**options)
    if not name.startswith(tuple(SMALL_STEPS)):
        return data
    return dataclasses.replace(data, test=data.test.subset(np.arange(DEEP)))


def probabilities_of(model, split: Split, count: int) -> np.ndarray:
    scaled = next(iter(split.batches(count)))[0]
    return np.asarray(class_probabilities(model(scaled, training=False), output_kind(model)))


def assert_agree(folder, model, split: Split, formats: tuple[str, ...] = FLOATS) -> None:
    """Formats alone and many at once, from what is stored; and files of images."""
    raw = next(iter(split.stored_batches(40)))[0].numpy()
    expected = probabilities_of(model, split, 40)
    for name in formats:
        predictor = zoo.load_exported(folder, format=name)
        for count in (40, 1):
            got = predictor.predict(raw[:count])
            assert got.dtype == np.float32
            assert np.abs(got - expected[:count]).max() <= 1e-4, name
        assert np.abs(predictor.predict(raw, batch_size=16) - expected).max() <= 1e-4, name
    if predictor.takes_images and "saved_model" in formats:
        serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_encoded"]
        encoded = [as_bytes(image, kind) for kind in ("PNG", "JPEG") for image in raw[:5]]
        decoded = np.stack([pixels_of(content, split.input_shape) for content in encoded])
        got = serve(image_bytes=tf.constant(encoded))["probabilities"].numpy()
        one = Split.from_arrays(decoded, np.zeros(10, int), class_names=split.class_names)
        one.scaling = split.scaling
        assert np.abs(got - probabilities_of(model, one, 10)).max() <= 1e-4


def as_bytes(image: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, kind)
    return buffer.getvalue()


def pixels_of(content: bytes, shape) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("L" if shape[-1] == 1 else "RGB")).reshape(shape)


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """(folder, certificates, models, data): every case exported, with raw inputs and what the model itself says of them."""
    folder = tmp_path_factory.mktemp("exports")
    certificates, models, all_data = {}, {}, {}
    for case_id, (name, data_options, options) in zip(IDS, CASES, strict=True):
        all_data[case_id] = data = data_of(name, data_options)
        models[case_id] = model = trained_looking(name, data, options)
        certificates[case_id] = zoo.export(
            model, folder / case_id, formats=formats_of(case_id), check_with=data.test, data_config=data.config
        )
        raw, probabilities = data.test.inputs[:40], probabilities_of(model, data.test, 40)
        np.savez(folder / f"{case_id}.npz", raw=raw, probabilities=probabilities, names=data.class_names)
    return folder, certificates, models, all_data


def formats_of(case_id: str) -> tuple[str, ...]:
    return FLOATS if case_id in CHOSEN else ("saved_model", "keras")


def run_alone(program: str, folder) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", program, folder], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


ALONE = """
import json, pathlib, sys
import tensorflow as tf, numpy as np
saved_model = {}
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.npz")):
    example = np.load(file)
    serve = tf.saved_model.load(str(file.with_suffix("") / "saved_model")).signatures["serving_default"]
    many = {k: v.numpy() for k, v in serve(inputs=tf.constant(example["raw"])).items()}
    one = {k: v.numpy() for k, v in serve(inputs=tf.constant(example["raw"][:1])).items()}
    index = example["probabilities"].argmax(axis=1)
    saved_model[file.stem] = {
        "dtype": str(example["raw"].dtype),
        "many": float(np.abs(many["probabilities"] - example["probabilities"]).max()),
        "one": float(np.abs(one["probabilities"] - example["probabilities"][:1]).max()),
        "shapes": [list(one["probabilities"].shape), list(many["class_index"].shape)],
        "index": bool((many["class_index"] == index).all()),
        "names": [n.decode() for n in many["class_name"]] == [str(n) for n in example["names"][index]],
    }

import keras
of_keras = {}
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.npz")):
    example = np.load(file)
    model = keras.saving.load_model(file.with_suffix("") / "model.keras", safe_mode=True)
    many, one = (np.asarray(model(x, training=False)) for x in (example["raw"], example["raw"][:1]))
    of_keras[file.stem] = {
        "dtype": str(example["raw"].dtype),
        "many": float(np.abs(many - example["probabilities"]).max()),
        "one": float(np.abs(one - example["probabilities"][:1]).max()),
    }
others = [m for m in ("zoo",) if m in sys.modules]
print(json.dumps({"saved_model": saved_model, "keras": of_keras, "others": others}))
"""


@pytest.fixture(scope="module")
def found_alone(exports):
    """What a program finds that has TensorFlow for the saved models, and then Keras for the Keras files."""
    return run_alone(ALONE, exports[0])


@pytest.mark.parametrize("format_name", ["saved_model", "keras"])
def test_the_files_compute_what_the_model_computes_without_us(exports, found_alone, format_name):
    certificates = exports[1]
    assert found_alone["others"] == []
    assert found_alone[format_name].keys() == certificates.keys()
    for case_id, result in found_alone[format_name].items():
        expected = "float32" if CASES[IDS.index(case_id)][1]["name_or_path"].startswith("blobs") else "uint8"
        assert result["dtype"] == expected
        assert result["many"] <= 1e-5, case_id
        assert result["one"] <= 1e-5, case_id
        if format_name == "saved_model":
            num_classes = len(certificates[case_id].class_names)
            assert result["shapes"] == [[1, num_classes], [40]], case_id
            assert result["index"], case_id
            assert result["names"], case_id


def test_the_certificate_names_every_file_by_its_hash(exports):
    folder, certificates, *_ = exports
    for case_id, certificate in certificates.items():
        files = {p.relative_to(folder / case_id).as_posix(): p for p in (folder / case_id).rglob("*") if p.is_file()}
        files.pop("certificate.json")
        assert {"model.keras", "saved_model/saved_model.pb"} <= files.keys()
        assert certificate.files == {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
        }


def test_the_certificate_says_what_was_checked(exports):
    folder, certificates, _, all_data = exports
    for case_id, certificate in certificates.items():
        data = all_data[case_id]
        assert certificate.checks.keys() == set(formats_of(case_id))
        for name, check in certificate.checks.items():
            assert check["examples"] == min(512, len(data.test))
            assert check["max_abs_difference"] <= check["tolerance"]
            assert check["tolerance"] == {"saved_model": 1e-5, "keras": 1e-5, "onnx": 1e-4, "litert": 1e-4}[name]
            assert check["top1_agreement"] == 1
        assert certificate.class_names == data.class_names
        assert certificate.data == data.config
        assert certificate.input["shape"] == list(data.input_shape)
        assert certificate.input["dtype"] == str(data.test.dtype)
        written = json.loads((folder / case_id / "certificate.json").read_text())
        assert written.pop("format_version") == 2
        assert len(written.pop("sha256")) == 64
        for name, value in written.items():
            assert json.loads(json.dumps(getattr(certificate, name))) == value, name


def test_the_scaling_inside_is_that_of_the_data(exports):
    certificates = exports[1]
    pixels, points = certificates["cnn-0"].input, certificates["softmax-0"].input
    assert (pixels["scale"], pixels["offset"]) == pytest.approx((2 / 255, -1))
    assert (points["scale"], points["offset"]) == (1, 0)


@pytest.mark.parametrize("case_id", CHOSEN)
def test_every_format_agrees_with_the_model(exports, case_id):
    """Those that the program above has run are run here for one model of images and one of points."""
    folder, _, models, all_data = exports
    others = tuple(name for name in FLOATS if name not in ("saved_model", "keras"))
    formats = FLOATS if case_id in ("cnn-0", "logistic-1") or not others else others
    assert_agree(folder / case_id, models[case_id], all_data[case_id].test, formats)
