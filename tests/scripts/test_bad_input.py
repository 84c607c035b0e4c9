"""What scripts say to wrong options, names, paths and folders: one line that names them, exit code 1 or 2, nothing left behind."""

from __future__ import annotations

import io
import json
import struct
import types
import zlib

import evaluate
import folders
import numpy as np
import pytest
from PIL import Image
from script_lines import check_line

import zoo

NAME = "n" * 300  # longer than file systems take

# options and names: (exit code, words of the message, script, arguments)
OPTIONS = [
    (2, "epochs must be a whole number of at least 1", "train", "--epochs -1"),
    (2, "--epochs: invalid int value: '1e3'", "train", "--epochs 1e3"),
    (2, "epochs must be a whole number", "train", f"--epochs {10**20}"),
    (2, "learning_rate must be a finite number above 0. Received: learning_rate=nan", "train", "--learning-rate nan"),
    (2, "learning_rate=inf", "train", "--learning-rate inf"),
    (2, "seed must be a whole number of at least 0", "train", "--seed -1"),
    (2, f"Received: seed={10**20 - 1}", "train", f"--seed {10**20 - 1}"),
    (2, "batch_size must be", "train", "--batch-size 0"),
    (2, "limit must be a whole number of at least 1. Received: limit=0", "train", "--limit 0"),
    (2, "unknown class '1,1'. Known: 0, 1", "train", "--classes 1,1"),
    (2, "two or more different classes", "train", "--classes 1 1"),
    (2, "validation must be a fraction below 1 or a count", "train", "--validation [1]"),
    (2, "Received: image_size=99999999", "train", "--image-size 99999999"),
    (2, "input_range needs finite low < high", "train", "--input-range nan 1"),
    (2, "dropout must be at least 0", "train", "--set dropout=(((("),
    (2, "units must be a whole number", "train", "--set units={[]:1}"),
    (2, "l2 must be 0 or more. Received: l2=inf", "train", "--set l2=1e999"),
    (2, "did you mean --epochs", "train", "--epoochs 3"),
    (2, "unrecognized arguments: extra", "train", "extra"),
    (2, "unknown model '../cnn'; did you mean 'cnn'?", "train", "--model ../cnn"),
    (2, "--model: expected one argument", "train", "--model -x"),
    (2, "--dataset: expected one argument", "train", "--dataset -x"),
    (2, "../x: no such folder", "train", "--dataset ../x"),
    (2, "unknown method '../x'", "tune", "--method ../x"),
    (2, "l2 needs low < high. Received: (1, 0)", "tune", "--values l2=1:0"),
    (2, "l2 needs low > 0 on a log scale", "tune", "--values l2=0:1:log"),
    (2, "l2 lists 1 more than once", "tune", "--values l2=1,1"),
    (
        2,
        "learning_rate must be a finite number above 0. Received: learning_rate=-1",
        "tune",
        "--values learning_rate=-1:0.5",
    ),
    (2, "epochs must be a whole number", "tune", "--values epochs=0:3"),
    (2, "unknown hyper-parameter of softmax '../l2'", "tune", "--model softmax --values ../l2=1"),
    (2, "l2 is a range", "tune", "--method grid --values l2=0:0.5"),
    (2, "max_trials must be", "tune", "--max-trials 0"),
    (2, "max_seconds must be a positive number. Received: max_seconds=nan", "tune", "--max-seconds nan"),
    (2, "each class needs an example for each fold", "tune", "--folds 99999"),
    (2, "retries must be", "tune", "--retries -1"),
    (2, "workers must be", "tune", "--workers 0"),
    (2, "unknown study '../x'", "study", "run ../x"),
    (2, "unrecognized arguments: -x", "study", "run weight_decay -x"),
    (2, "unrecognized arguments: --wieghts x; did you mean --weights?", "study", "run weight_decay --wieghts x"),
    (2, "--set: expected at least one argument", "study", "run weight_decay --set"),
    (2, "seed must be a whole number", "study", f"run weight_decay --seed {10**20}"),
    (2, "invalid choice: 'rnu'", "study", "rnu"),
    (2, "unknown export format '../x'", "export", "nowhere --formats ../x"),
    (2, "no export (no certificate.json)", "verify", "../nowhere"),
    (1, "../nowhere holds no finished run", "evaluate", "../nowhere"),
    (2, "../nowhere: no such folder", "report", "../nowhere"),
]
# arguments that a shell's words cannot be split into
WORDS = [
    (2, "unknown model 'a\\nb\\x1b[31m\\u202e'", "train", ("--model", "a\nb\x1b[31m\u202e")),
    (2, "unknown model '\\udcff'", "train", ("--model", "\udcff")),
    (2, "unknown model ''", "train", ("--model", "")),
    (2, "nnn...'. Known: alexnet", "train", ("--model", NAME)),
    (2, "unknown data set 'nnn", "train", ("--dataset", NAME)),
    (2, f"{NAME}/x: no such folder", "train", ("--dataset", f"{NAME}/x")),
    (2, "a folder's path. Received: ''", "train", ("--dataset", "")),
    (2, "unrecognized arguments: --\\u202eb", "train", ("--\u202eb", "1")),
    (2, "unrecognized arguments: ''", "train", ("",)),
    (2, "unrecognized arguments: ' '", "train", (" ",)),
    (2, "--output: a path is text", "train", ("--output", "")),
    (2, "the name is too long", "train", ("--output", NAME)),
    (2, "--directory: a path is text", "tune", ("--directory", "")),
    (2, "EXPORT: a path is text", "verify", ("",)),
    (2, "RUN_DIR: nnn", "evaluate", (NAME,)),
    (2, "--output: a path is text", "study", ("run", "weight_decay", "--output", "")),
]


@pytest.mark.parametrize(
    ("expected", "words", "script", "arguments"), [*OPTIONS, *WORDS], ids=lambda value: repr(value)[:60]
)
def test_wrong_options_and_names_are_one_line(call, expected, words, script, arguments, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    more = ("--model", "softmax") if script == "tune" and "--model" not in arguments else ()
    code, _, err = call(script, *arguments, *more)
    check_line(err, words)
    assert code == expected
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


@pytest.mark.parametrize(("option", "words"), [("method", "unknown method 'x'"), ("executor", "unknown executor 'x'")])
def test_method_and_executor_are_looked_at_before_the_data(call, option, words, monkeypatch):
    monkeypatch.setattr("arguments.load_data", lambda args: pytest.fail("data were loaded"))
    code, _, err = call("tune", f"--{option}", "x")
    check_line(err, words)
    assert code == 2


def png_bomb(side):
    """A grey PNG of `side` x `side` pixels, all black, which takes a thousandth of that."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side * (side + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeroed(suffix):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)).save(file, suffix)
    content = bytearray(file.getvalue())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    return bytes(content)


# name of the file in the class "dog" -> its content, or a function that makes it; the words of the message
FILES = {
    "corrupt": ("x.jpg", b"\xff\xd8" + bytes(range(256)), "x.jpg: not a readable image"),
    "zero bytes": ("x.jpg", b"", "x.jpg: not a readable image"),
    "text": ("x.jpg", b"this is text\n" * 30, "x.jpg: not a readable image"),
    "zeroed middle": ("x.png", zeroed("png"), "x.png: not a readable image"),
    "bomb": ("x.png", png_bomb(12_000), "x.png: 12000x12000 pixels are too many, the most is 100,000,000"),
    "line end": ("a\nb.jpg", b"x", "a\\nb.jpg: not a readable image"),
    "quotes": ("a'b\"c.jpg", b"x", "a'b\"c.jpg: not a readable image"),
    "right to left": ("a\u202eb.jpg", b"x", "a\\u202eb.jpg: not a readable image"),
    "control characters": ("a\x1b[31m.jpg", b"x", "a\\x1b[31m.jpg: not a readable image"),
    "long": (f"{'n' * 240}.jpg", b"x", "nn.jpg: not a readable image"),
    "not UTF-8": ("\udcff.jpg", b"x", "\\udcff.jpg: its name is not UTF-8, and tables cannot name it; rename it"),
    "dangling link": (
        "x.png",
        lambda file: file.symlink_to("nowhere.png"),
        "x.png: a link to a file that is not there",
    ),
    "link to itself": ("x.png", lambda file: file.symlink_to("x.png"), "x.png: a link to a file that is not there"),
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for i in range(6):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


def put(file, content):
    if callable(content):
        content(file)
    else:
        try:
            file.write_bytes(content)
        except OSError:
            pytest.skip("the file system takes no such name")


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_in_a_folder_is_named_in_one_line(call, photographs, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, content, words = FILES[case]
    bad = photographs / "dog" / name
    put(bad, content)
    try:
        code, _, err = call("train", "--dataset", photographs, "--image-size", 8, "--epochs", 1)
    finally:
        bad.unlink()
    check_line(err, words)
    assert code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ({}, "no images in its folders"),
        ({"cat": 0, "dog": 0}, "no images in its folders"),
        ({"cat": 5}, "only images of 'cat'"),
        ({"cat": 5, "dog": 1}, "dog: 1 image is too few"),
        ({"cat": 5, "d\nog": 5}, "class names must differ and be printable; rename one. Received: 'd\\nog'"),
    ],
)
def test_a_bad_folder_is_named_in_one_line(call, folders, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    for place, (name, count) in enumerate(folders.items()):
        (tmp_path / "root" / name).mkdir()
        for i in range(count):
            Image.new("L", (4, 4), 10 * place + i).save(tmp_path / "root" / name / f"{i}.png")
    code, _, err = call("train", "--dataset", "root", "--epochs", 1)
    check_line(err, words)
    assert code == 1
    assert [file.name for file in tmp_path.iterdir()] == ["root"]


# what evaluate, report and train say of a run folder whose files are others
RUNS = {
    "an empty object": ({"config.json": "{}"}, "config.json lacks 'data'"),
    "a list": ({"config.json": "[]"}, "config.json"),
    "no JSON": ({"config.json": "{"}, "config.json"),
    "a recipe that is none": (
        {"config.json": '{"data": {}, "model": {}, "recipes": [{"epochs": -1}]}'},
        "epochs must be a whole number",
    ),
    "an empty result": (
        {"config.json": '{"data": {}, "model": {}, "recipes": [{}]}', "result.json": "{}"},
        "result.json lacks 'metrics'",
    ),
    "no result": ({"config.json": '{"data": {}, "model": {}, "recipes": [{}]}'}, "result.json is missing"),
}


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.parametrize("script", ["evaluate", "report", "export"])
def test_a_run_folder_that_is_none_is_one_line(call, script, case, tmp_path):
    files, words = RUNS[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    code, _, err = call(script, tmp_path)
    check_line(err, words)
    assert code == 1


def test_data_without_a_test_split_are_named_with_the_run(tmp_path):
    data = types.SimpleNamespace(config={"name": "photographs/pets"}, test=None)
    with pytest.raises(zoo.UsageError, match=rf"^pets has no test split to measure on; the run is in {tmp_path}$"):
        evaluate.report_run(types.SimpleNamespace(output_dir=tmp_path), data)


def test_training_over_a_config_that_is_none_is_refused(call, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    code, _, err = call("train", "--model", "softmax", "--epochs", 1, "--output", tmp_path)
    check_line(err, "config.json is damaged")
    assert code == 1
    assert (tmp_path / "config.json").read_text() == "{}"


def test_data_with_an_option_of_no_data_set_are_refused(tmp_path):
    config = {"name": "digits", "../x": 1}
    with pytest.raises(zoo.ZooError, match=r"names its data with '\.\./x', which no data set takes"):
        folders.load_named(config, tmp_path)
    assert len(folders.load_named(json.loads(json.dumps({"name": "blobs"})), tmp_path).test) == 200
