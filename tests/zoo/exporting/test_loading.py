"""What is loaded is what was exported: hashes, certificates that lie, one interface over all formats, kill -9."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from damaged_exports import EXAMPLES, LIES, assert_refused, sign_again
from PIL import Image

import zoo
from zoo.errors import DataError, ExportError, UsageError
from zoo.exporting import certificate as certificates
from zoo.exporting import loading
from zoo.exporting.certificate import read_certificate
from zoo.exporting.verifying import verify

ROOT = Path(__file__).parents[3]


@pytest.fixture
def export(colours, tmp_path):
    """A copy that may be damaged."""
    return Path(shutil.copytree(colours[0], tmp_path / "export"))


def test_a_flipped_bit_in_any_file_is_caught(export, monkeypatch):
    numbers = random.Random(0)
    files = sorted(f for f in export.rglob("*") if f.is_file())
    assert {"certificate.json", "README.md", "examples.npz", "model.keras", "saved_model.pb"} <= {f.name for f in files}
    for file in files:
        content = file.read_bytes()
        places = {0, len(content) - 1, *(numbers.randrange(len(content)) for _ in range(4))}
        for place in places if content else ():
            damaged = bytearray(content)
            damaged[place] ^= 1 << numbers.randrange(8)
            file.write_bytes(damaged)
            assert_refused(export, "changed|cannot be trusted", monkeypatch)
        file.write_bytes(content)
    monkeypatch.undo()
    assert zoo.load_exported(export).class_names == ("red", "green", "deep blue")


def test_missing_and_additional_files_are_caught(export, monkeypatch):
    (export / "README.md").rename(export / "READ.md")
    assert_refused(export, "README.md is missing", monkeypatch)
    shutil.copy(export / "READ.md", export / "README.md")
    assert_refused(export, "READ.md is of no export", monkeypatch)
    (export / "READ.md").unlink()
    (export / "elsewhere").symlink_to("/")
    assert_refused(export, "symbolic link", monkeypatch)
    (export / "elsewhere").unlink()
    (export / "certificate.json").unlink()
    assert_refused(export, "holds no export", monkeypatch)


@pytest.mark.parametrize("lie", LIES)
def test_a_certificate_that_lies_is_refused(export, lie, monkeypatch):
    file = export / "certificate.json"
    facts = json.loads(file.read_text())
    del facts["sha256"]
    LIES[lie](facts)
    file.write_text(certificates._signed(facts))  # whoever can write one can sign it
    assert_refused(export, "cannot be trusted", monkeypatch)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"format_version": 1}', b" " * 2**25]
)
def test_a_certificate_that_is_none_is_refused(export, content, monkeypatch):
    (export / "certificate.json").write_bytes(content)
    assert_refused(export, "cannot be trusted", monkeypatch)


@pytest.mark.parametrize("content", EXAMPLES)
def test_examples_that_are_none_are_refused(export, content):
    file = export / "examples.npz"
    with np.load(file) as arrays:
        held = dict(arrays)
    EXAMPLES[content](file, held)
    sign_again(export, "examples.npz")
    with pytest.raises(ExportError, match="holds no examples of this export"):
        list(verify(export))


def test_an_export_that_computes_something_else_is_not_verified(export):
    file = export / "examples.npz"
    with np.load(file) as arrays:
        held = dict(arrays)
    np.savez_compressed(file, **(held | {"probabilities": held["probabilities"][::-1]}))
    own = read_certificate(export)
    checks = {name: {**check, "tolerance": 1e9} for name, check in own.checks.items()}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    own = dataclasses.replace(own, files=own.files | {"examples.npz": digest}, checks=checks)
    (export / "certificate.json").write_text(own.text())
    results = list(verify(export))
    assert [result.format for result in results] == list(own.checks)
    assert all(result.problem and "FAILED" in str(result) for result in results)


def test_a_file_that_cannot_be_run_is_one_line(export):
    (export / "model.keras").write_bytes(b"nothing")
    sign_again(export, "model.keras")
    (result,) = verify(export, ["keras"])
    assert "no model that can be loaded" in str(result)
    assert "\n" not in str(result)
    with pytest.raises(ExportError, match="the keras file cannot be run: ") as caught:
        zoo.load_exported(export, format="keras")
    assert "\n" not in str(caught.value)


def test_code_in_a_keras_file_is_not_run(export):
    @keras.saving.register_keras_serializable("test")  # only to write it
    def shout(x):
        (export.parent / "was here").touch()
        return x

    inputs = keras.Input((10, 12, 3), dtype="uint8")
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Lambda(lambda x: shout(x))(inputs)))
    keras.Model(inputs, outputs).save(export / "model.keras")
    (export.parent / "was here").unlink()
    sign_again(export, "model.keras")
    with pytest.raises(ExportError, match="Lambda"):
        zoo.load_exported(export, format="keras")
    (result,) = verify(export, ["keras"])
    assert result.problem is not None
    assert not (export.parent / "was here").exists()


def test_an_export_that_is_replaced_while_it_is_loaded_is_not_mixed(export, monkeypatch):
    """Else the model of the new one would come with the names of the old one's classes."""
    honest = loading.load_runtime

    def slow(name, path):
        own = read_certificate(export)
        other = dataclasses.replace(own, class_names=("a", "b", "c"), files=own.files | {"README.md": "0" * 64})
        (export / "certificate.json").write_text(other.text())
        return honest(name, path)

    monkeypatch.setattr(loading, "load_runtime", slow)
    with pytest.raises(ExportError, match="was replaced by another export while it was loaded"):
        zoo.load_exported(export)


def test_every_format_has_the_same_interface(colours, tmp_path):
    folder, _, data = colours
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for image, file in zip(data.test.inputs[:3], files, strict=True):
        Image.fromarray(image).resize((60, 40)).save(file)
    answers = {}
    for name in read_certificate(folder).checks:
        predictor = zoo.load_exported(folder, format=name)
        assert (predictor.format, predictor.class_names) == (name, data.class_names)
        assert (predictor.input_shape, predictor.dtype, predictor.takes_images) == ((10, 12, 3), np.uint8, True)
        assert predictor.predict(np.empty((0, 10, 12, 3), np.uint8)).shape == predictor.predict([]).shape == (0, 3)
        answers[name] = predictor.predict(files, batch_size=2)
        np.testing.assert_allclose(answers[name].sum(axis=1), 1, atol=0.02)
        np.testing.assert_allclose(answers[name], predictor.predict([str(file) for file in files]), atol=1e-6)
        assert name in repr(predictor)
    for name, answer in answers.items():
        assert np.abs(answer - answers["keras"]).max() < (0.1 if name == "litert_int8" else 1e-4), name


def test_wrong_inputs_are_refused(colours, tmp_path):
    predictor = zoo.load_exported(colours[0], format="saved_model")
    pixels = np.zeros((2, 10, 12, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(b"no image")
    for wrong, words in [
        (pixels[0], "must have the shape"),
        (pixels[..., :1], "must have the shape"),
        (pixels / 255, "must be uint8"),
        (pixels.astype(int), "must be uint8"),
        ("photo.jpg", "must be a list of files"),
        ((image for image in pixels), "must be a list of files"),
        (None, "must be a list of files"),
        (np.array(3.0), "must be a list of files"),
        ({"photo.jpg": 1}, "must be a list of files"),
        ([tmp_path / "a.png", pixels[0]], "must be a list of files"),
        (pixels[0], r"shape \(N, 10, 12, 3\)\. Received: \(10, 12, 3\); for one input give inputs\[np\.newaxis\]"),
    ]:
        with pytest.raises(UsageError, match=words):
            predictor.predict(wrong)
    with pytest.raises(UsageError, match="unknown fit"):
        predictor.predict(pixels, fit="cover")
    with pytest.raises(UsageError, match="batch_size"):
        predictor.predict(pixels, batch_size=0)
    with pytest.raises(DataError, match=r"a\.png: not a readable image"):
        predictor.predict([tmp_path / "a.png"])
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        zoo.load_exported(colours[0], format="onxx")
    with pytest.raises(UsageError, match="holds no export"):
        zoo.load_exported(tmp_path)


def test_points_are_predicted_too(tmp_path):
    data = zoo.load_dataset("blobs")
    model = zoo.build("logistic", (2,), 2)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=data.test)
    predictor = zoo.load_exported(tmp_path / "e")
    assert not predictor.takes_images
    expected = np.asarray(model(data.test.inputs))[:, 0]
    np.testing.assert_allclose(predictor.predict(data.test.inputs.astype("float64"))[:, 1], expected, atol=1e-6)
    for wrong in (data.test.inputs > 0, data.test.inputs + 1j):
        with pytest.raises(UsageError, match=r"inputs must be float32\. Received"):  # nothing of 0 to 255
            predictor.predict(wrong)
    with pytest.raises(UsageError, match="takes no images"):
        predictor.predict(["photo.jpg"])
    with pytest.raises(UsageError, match="has no saved_model; it has keras"):
        zoo.load_exported(tmp_path / "e", format="saved_model")


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_a_small_runtime_needs_no_tensorflow(colours, name):
    if name not in read_certificate(colours[0]).checks:
        pytest.skip(f"the extra {name} is not installed")
    program = (
        "import sys, numpy, zoo\n"
        f"p = zoo.load_exported({str(colours[0])!r}, format={name!r})\n"
        "print(p.predict(numpy.zeros((2, 10, 12, 3), 'uint8')).shape, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 3) False", done.stderr
    assert done.stderr == ""


EXPORTING = """
import pathlib, sys
import numpy as np
import zoo
from zoo.exporting import checking
checking._LATENCY_SECONDS = 0.0
data = zoo.load_dataset("blobs")
model = zoo.build("softmax", (2,), 2)
for i in range(100):
    model.set_weights([np.full((2, 2), i % 2), np.array([0.0, i % 2])])
    zoo.export(model, pathlib.Path(sys.argv[1]), check_with=data.test)
    print(i, flush=True)
"""


def test_a_killed_export_leaves_the_old_one_or_the_new_one(tmp_path):
    numbers, folder = random.Random(0), tmp_path / "e"
    process = subprocess.Popen(
        [sys.executable, "-c", EXPORTING, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().strip() == "0"
        for _ in range(12):  # stopped at any moment, nothing is half
            time.sleep(numbers.uniform(0, 0.08))
            os.kill(process.pid, signal.SIGSTOP)
            read_certificate(folder).check_files()
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(numbers.uniform(0, 0.3))
    finally:
        process.kill()
        process.wait()
    loaded = zoo.load_exported(folder, format="keras")
    answer = loaded.predict(np.ones((1, 2)))[0, 1]
    assert min(abs(answer - 0.5), abs(answer - 1 / (1 + np.exp(-1)))) < 1e-6  # the one or the other, nothing between
    assert [result.problem for result in verify(folder)] == [None, None]
    hidden = [entry.name for entry in tmp_path.iterdir() if entry != folder]
    assert len(hidden) <= 1
    assert all(name.startswith(".e.") and name.endswith(".tmp") for name in hidden)
