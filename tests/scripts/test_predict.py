"""predict.py and verify.py as a user runs them: shapes of the answer, bad images, strange names, exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_modules import SCRIPTS, load

import zoo
from zoo.exporting import checking
from zoo.exporting.formats import installed_formats


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A run folder with an export whose classes have names that spreadsheets mistake for formulas."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (random.integers(0, 60, (60, 6, 6, 1)) + 90 * labels[:, None, None, None]).astype(np.uint8)
    data = zoo.DataSplits.from_arrays(
        (images, labels), test=(images[:30], labels[:30]), class_names=["dark", "=grey", "@light"]
    )
    model = zoo.build("softmax", data.input_shape, 3)
    folder = tmp_path_factory.mktemp("run")
    names = [name for name in ("onnx", "saved_model") if name in installed_formats()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "_LATENCY_SECONDS", 0.0)
        zoo.export(model, folder / "export", formats=names, check_with=data.test)
    return folder


@pytest.fixture
def images(tmp_path):
    """A folder with a small image, one as a camera makes it, one that is none, and one with a name that is a trap."""
    folder, random = tmp_path / "images", np.random.default_rng(1)
    folder.mkdir()
    Image.fromarray(random.integers(0, 256, (6, 6)).astype(np.uint8)).save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = Image.fromarray(random.integers(0, 256, (30, 40, 3)).astype(np.uint8)).resize((4000, 3000))
    photograph.save(folder / "camera.jpg", exif=exif)
    Image.fromarray(random.integers(0, 256, (9, 5, 4)).astype(np.uint8)).save(folder / "=1+\x1b[31m2\n3.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    return folder


@pytest.mark.parametrize("shown", ["table", "csv", "json"])
def test_a_bad_image_among_many_is_told_and_passed_over(call, export, images, shown, monkeypatch):
    monkeypatch.chdir(images)
    code, out, err = call("predict", export, ".", "a.png", "--format", shown, "--top", 2, "--batch-size", 2)
    assert code == 1
    assert err.splitlines() == [
        "error: broken.jpg: not a readable image (cannot identify image file 'broken.jpg'); repair or remove it",
        "error: 1 of 5 images could not be read",
    ] or err.splitlines()[1:] == ["error: 1 of 5 images could not be read"]
    assert "\x1b" not in out
    expected = zoo.load_exported(export / "export").predict(["a.png"])[0]
    best = ["dark", "=grey", "@light"][expected.argmax()]
    if shown == "json":
        answers = json.loads(out)
        assert [a["file"] for a in answers] == ["=1+\x1b[31m2\n3.png", "a.png", "camera.jpg", "a.png"]
        assert answers[1] == answers[3]
        assert answers[1]["classes"][0] == {"class": best, "probability": pytest.approx(expected.max(), abs=1e-6)}
        assert all(len(a["classes"]) == 2 for a in answers)
    elif shown == "csv":
        rows = list(csv.reader(io.StringIO(out)))
        assert rows[0] == ["file", "class1", "probability1", "class2", "probability2"]
        assert [row[0] for row in rows[1:]] == ["'=1+\\x1b[31m2\\n3.png", "a.png", "camera.jpg", "a.png"]
        assert rows[2][1].removeprefix("'") == best
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    else:
        lines = out.splitlines()
        assert [line.split("  ")[0] for line in lines] == ["=1+\\x1b[31m2\\n3.png", "a.png", "camera.jpg", "a.png"]
        assert lines[1].split("  ")[1] == f"{best} {expected.max():.3f}"


def test_what_pillow_says_of_an_image_that_it_reads_is_not_shown(call, export, tmp_path):
    file, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 8)).save(file, exif=exif)
    content = bytearray(file.read_bytes())
    place = content.index(b"Exif") + 10
    content[place : place + 4] = b"\xff\xff\xff\x7f"  # where the directory is
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        zoo.load_exported(export / "export").predict([file])
    with warnings.catch_warnings(action="error"):
        assert call("predict", export, file)[::2] == (0, "")


def test_an_export_says_when_its_data_have_changed(call, tmp_path, monkeypatch):
    data = zoo.load_dataset("blobs")
    run = types.SimpleNamespace(model=zoo.build("softmax", (2,), 2), config={})
    monkeypatch.setattr("zoo.load_run", lambda directory: run)
    monkeypatch.setattr("folders.data_of", lambda run, directory: data)
    for is_changed in (True, False):
        monkeypatch.setattr("folders.is_changed", lambda run, data, changed=is_changed: changed)
        code, out, err = call("export", tmp_path, "--formats", "keras")
        assert (code, "test accuracy" in out) == (0, True)
        assert err.startswith("note: the data have changed since the training; ") == is_changed


def test_all_is_well_without_bad_images(call, export, images):
    code, out, err = call("predict", export / "export", images / "camera.jpg", "--export-format", "saved_model")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    code, out, err = call("predict", export, images / "broken.jpg", "--format", "json")
    assert (code, json.loads(out)) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--top", "0"), "--top must be at least 1"),
        (("--batch-size", "0"), "--batch-size must be at least 1"),
        (("--export-format", "onxx"), "did you mean 'onnx'"),
        (("--export-format", "litert"), "has no litert"),
        (("--model", "resnet20", "--export-format", "onnx"), "--export-format is of an export"),
    ],
)
def test_wrong_options_are_one_line(call, export, images, arguments, words):
    code, out, err = call("predict", export, images / "a.png", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words in err


def test_progress_is_shown_on_a_terminal_and_goes(call, export, images, monkeypatch, capsys):
    module = load("predict")
    module._PROGRESS_AFTER = -1.0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    capsys.readouterr()
    assert module.main([str(export), str(images / "a.png"), str(images / "camera.jpg"), "--batch-size", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "\r1 of 2 images" in err
    assert err.endswith(" \r")


def test_verify_checks_every_format(call, export):
    code, out, err = call("verify", export)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(zoo.load_exported(export / "export").certificate.checks)
    assert all(": ok, largest difference " in line and " on 30 examples" in line for line in lines)
    code, out, _ = call("verify", export / "export", "--formats", "saved_model")
    assert (code, len(out.splitlines())) == (0, 1)
    assert call("verify", export, "--formats", "litert")[0] == 2
    assert call("verify", export / "nothing")[0] == 2


def test_verify_and_predict_refuse_a_flipped_byte(call, export, images, tmp_path):
    folder = Path(shutil.copytree(export / "export", tmp_path / "copy"))
    for name in ("saved_model/variables/variables.data-00000-of-00001", "certificate.json", "README.md"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 4
        (folder / name).write_bytes(content)
        for script, more in (("verify", ()), ("predict", (images / "a.png",))):
            code, out, err = call(script, folder, *more)
            assert (code, out, len(err.splitlines())) == (1, "", 1), name
        content[len(content) // 2] ^= 4
        (folder / name).write_bytes(content)


def test_a_format_that_cannot_run_here_is_not_verified(call, export, monkeypatch):
    if "onnx" not in installed_formats():
        pytest.skip("the extra onnx is not installed")
    from zoo.exporting import formats

    monkeypatch.setattr(formats, "_missing", lambda name, **_: ["onnxruntime"] if name == "onnx" else [])
    code, out, err = call("verify", export)
    assert code == 1
    assert "onnx: FAILED, the format onnx needs onnxruntime: pip install 'keras-zoo[onnx]'" in out
    assert "saved_model: ok" in out
    assert err == "error: not verified: onnx\n"


def test_help_of_verify_needs_no_tensorflow():
    program = f"import sys; sys.argv = ['verify.py', '--help']; sys.path.insert(0, {str(SCRIPTS)!r})\nimport runpy\ntry: runpy.run_path({str(SCRIPTS / 'verify.py')!r}, run_name='__main__')\nexcept SystemExit as stop: assert not stop.code\nassert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
