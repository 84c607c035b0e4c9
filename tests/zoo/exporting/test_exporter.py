from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import ExportError, UsageError
from zoo.exporting import exporter
from zoo.models.outputs import class_probabilities, output_kind

# Every name of `zoo.list_models()` has an entry: options of `load_dataset`, options of `build`.
DIGITS: dict[str, Any] = {"name_or_path": "digits", "limit": 100, "input_range": (-1, 1)}
SAME_BLOCKS: list[tuple[dict[str, Any], dict[str, Any]]] = []  # a deeper one of which an export shows nothing new
MODELS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "logistic": [
        ({**DIGITS, "classes": (3, 2)}, {}),
        ({"name_or_path": "blobs"}, {"classifier_activation": None}),
    ],
    "softmax": [
        (DIGITS, {}),
        ({"name_or_path": "blobs3"}, {"l2": 0.125}),
    ],
    "mlp": [
        (DIGITS, {"units": 16, "dropout": 0.5, "batch_normalization": True}),
        (DIGITS, {"units": 16, "classifier_activation": None}),
    ],
    "cnn": [
        (DIGITS, {"filters": 4, "units": 8, "dropout": 0.5, "batch_normalization": True}),
        (DIGITS, {"filters": 4, "units": 8, "dtype": "float64"}),
    ],
    "resnet20": [(DIGITS, {"shortcut": "projection"})],  # with the other shortcut it is the backbone of "transfer"
    "resnet32": SAME_BLOCKS,  # as resnet20
    "resnet44": SAME_BLOCKS,
    "resnet56": SAME_BLOCKS,
    "resnet18": SAME_BLOCKS,  # the blocks of resnet20 behind the beginning of resnet50
    "resnet34": SAME_BLOCKS,
    "resnet50": [({**DIGITS, "image_size": 32}, {})],
    "transfer": [(DIGITS, {"weights": None, "units": 6, "dropout": 0.5})],
    "alexnet": [({**DIGITS, "image_size": 67}, {})],
    "alexnet_v2": SAME_BLOCKS,  # fewer kinds of layers than alexnet, all stock ones
}
SMALL_STEPS = {"resnet": 0.02, "transfer": 0.02, "alexnet": 0.005}  # many or wide layers would multiply 0.2 to millions
CASES = [(name, *case) for name, cases in MODELS.items() for case in cases]
IDS = [f"{name}-{i}" for name, cases in MODELS.items() for i in range(len(cases))]
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


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Every case exported, with raw inputs and the probabilities that the model itself gives for them."""
    folder = tmp_path_factory.mktemp("exports")
    certificates = {}
    for case_id, (name, data_options, options) in zip(IDS, CASES, strict=True):
        data = data_of(name, data_options)
        model = trained_looking(name, data, options)
        certificates[case_id] = zoo.export(model, folder / case_id, check_with=data.test, data_config=data.config)
        raw = data.test.inputs[:40]
        scaled = next(iter(data.test.batches(40)))[0]
        probabilities = class_probabilities(model(scaled, training=False), output_kind(model))
        np.savez(folder / f"{case_id}.npz", raw=raw, probabilities=probabilities, names=data.class_names)
    return folder, certificates


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
    _, certificates = exports
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
    folder, certificates = exports
    for case_id, certificate in certificates.items():
        files = {p.relative_to(folder / case_id).as_posix(): p for p in (folder / case_id).rglob("*") if p.is_file()}
        files.pop("certificate.json")
        assert {"model.keras", "saved_model/saved_model.pb"} <= files.keys()
        assert certificate.files == {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
        }


def test_the_certificate_says_what_was_checked(exports):
    folder, certificates = exports
    for case_id, certificate in certificates.items():
        data = data_of(*CASES[IDS.index(case_id)][:2])
        assert certificate.checks.keys() == {"saved_model", "keras"}
        for check in certificate.checks.values():
            assert check["examples"] == min(512, len(data.test))
            assert check["max_abs_difference"] <= check["tolerance"] == 1e-5
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
    _, certificates = exports
    pixels, points = certificates["mlp-0"].input, certificates["softmax-1"].input
    assert (pixels["scale"], pixels["offset"]) == pytest.approx((2 / 255, -1))
    assert (points["scale"], points["offset"]) == (1, 0)


@pytest.fixture(scope="module")
def blobs():
    return zoo.load_dataset("blobs")


ALWAYS = ("certificate.json", "README.md", "examples.npz")


def contents(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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


def test_a_file_that_gives_nan_is_not_put_in_place(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "load_runtime", lambda name, path: lambda x: np.full((len(x), 2), np.nan))
    with pytest.raises(ExportError):
        zoo.export(zoo.build("softmax", (2,), 2), tmp_path / "e", formats="keras", check_with=blobs.test)
    assert list(tmp_path.iterdir()) == []


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


def test_a_failing_writer_leaves_the_previous_export(blobs, tmp_path, monkeypatch):
    model = zoo.build("softmax", (2,), 2)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=blobs.test)
    before = contents(tmp_path / "e")

    def full_disk(serving, path, split, calibration):
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
    with pytest.raises(UsageError, match=r"thesis\.tex, which is of no export"):
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
    assert (tmp_path / "e" / "thesis.tex").exists()


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
