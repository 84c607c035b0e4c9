"""The benchmark of training speed: it runs, it survives what fails, and its tables say what was measured.

Nothing here asserts on wall time.
"""

import dataclasses
import importlib
import re
import signal
from pathlib import Path

import document
import floors
import keras_contestants
import numpy as np
import pytest
import samples
import sections
import stopwatch
import tasks
import tensorflow as tf
import training
import training_race
from benchmark_processes import check_no_child_outlives, check_wrong_usage, start
from child import ChildError
from course import Course, Prepared
from targets import Measurements
from tasks import Entry

import zoo

SCRIPT = Path(training.__file__)

# A contestant without a framework: one in bfloat16 dies in its second turn.
FAKE_WORKER = """
import json, sys
spec = json.loads(sys.argv[1])
def say(**facts): print(json.dumps(facts), flush=True)
say(event="ready", weights=5)
for number, epochs in enumerate(spec["turns"]):
    assert sys.stdin.readline() == "go\\n"
    if number == 1 and spec["precision"] == "bfloat16":
        sys.exit("line one\\nit broke\\n")
    with open(spec["file"], "a") as log: log.write(spec["contestant"] + " ")
    say(event="turn", seconds=0.5 + number, worked=0.0, resident=100.0 + number, peak=200.0)
sys.stdin.readline()
say(event="end", accuracy=0.9)
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(FAKE_WORKER)
    monkeypatch.setattr(training_race, "_WORKER", worker)
    monkeypatch.setattr(training_race, "SETTLE", 0.0)
    lines = []
    made_up = dict.fromkeys(samples.SHAPES, Prepared(tmp_path / "turns.log", "made up", False))
    return Course(3, True, lines.append, made_up), lines


def test_quick_softmax_is_a_race_and_a_document(tmp_path, monkeypatch, run_main):
    """One contestant of each module; Keras's others are below."""
    entries = (Entry("ours", "bfloat16"), Entry("pytorch", "bfloat16"), Entry("sklearn"))
    monkeypatch.setitem(tasks.TASKS, "softmax", dataclasses.replace(tasks.TASKS["softmax"], entries=entries))
    output = tmp_path / "results" / "softmax.md"
    out, err = run_main(training.main, "--quick", "--only", "softmax", "--output", str(output))
    assert output.read_text() == out
    assert "round 1/1" in err
    for what in ("processor", "cores", "memory", "tensorflow", "torch", "scikit-learn", "date", "command"):
        assert re.search(rf"^\| {what} +\| \S", out, re.MULTILINE), what
    assert "made up" in out
    section = out.split("## softmax")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    measured = {(row[0], row[1]): row for row in rows[2:]}
    assert len(measured) == len(entries)
    for entry in entries:
        row = measured[tasks.CONTESTANTS[entry.contestant].title, entry.precision]
        if "not installed" in row[2]:
            continue
        assert float(row[2]) > 0  # seconds
        assert float(row[4].replace(",", "")) > 0  # images a second
        assert 0 <= float(row[9]) <= 1  # accuracy
    assert "7,850 trainable weights" in section
    assert not list(tmp_path.glob("training-benchmark-*"))


class Laps:
    """A stopwatch that only counts."""

    epochs, laps, weights = 1, 0, 0

    def ready(self, weights):
        self.weights = weights

    def lap(self):
        self.laps += 1


@pytest.mark.parametrize("name", ["ours", "stock", "tutorial"])
def test_contestants_of_keras_train_one_lap_an_epoch(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    samples.prepare("mnist", 300, str(tmp_path / "mnist.npz"))
    watch = Laps()
    job = stopwatch.Job(tasks.TASKS["softmax"], "float32", 300, tmp_path / "mnist.npz")
    accuracy = getattr(keras_contestants, name)(job, watch)
    assert 0 <= accuracy <= 1
    assert (watch.laps, watch.weights) == (1, 7850)


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("--only", ""), ("--repeats", "0")])
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path, arguments):
    check_wrong_usage(SCRIPT, tmp_path, *arguments)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_child_outlives_the_race(tmp_path, number):
    process = start(SCRIPT, tmp_path, "--quick", "--only", "digits")
    for line in process.stderr:
        if "starting" in line:
            break
    check_no_child_outlives(process, tmp_path, number, children=3)


def test_a_race_goes_forth_and_back_and_outlives_a_crash(course):
    course, lines = course
    task = tasks.Task(
        section="mlp",
        title="",
        data="mnist",
        model="mlp",
        images=1,
        quick_images=7,
        entries=(Entry("ours"), Entry("stock"), Entry("tutorial", "bfloat16")),
    )
    ours, stock, broken = training_race.race(course, "mlp", task)
    assert (ours.first, ours.seconds, ours.median) == (0.5, [1.5, 2.5, 3.5], 2.5)
    assert (ours.accuracy, ours.weights, ours.images, ours.resident, ours.peak) == (0.9, 5, 7, 103.0, 200.0)
    assert len(ours.others) == 4
    assert broken.failed
    assert broken.problem == "failed: it broke"
    assert broken.median is None
    assert not stock.failed
    turns = course.data["mnist"].file.read_text().split()
    assert turns == ["ours", "stock", "tutorial", *["stock", "ours"], *["ours", "stock"], *["stock", "ours"]]
    assert sum("failed" in line for line in lines) == 1
    found = Measurements(races={"mlp": [ours, stock, broken]})
    assert found.failed
    assert "failed: it broke" in document.write([], [], found, quick=True, minutes=1.0)


def test_a_process_that_dies_leaves_its_last_words(tmp_path):
    missing = {"task": "mlp", "precision": "float32", "images": 1, "turns": [1], "file": "/none.npz", "is_mnist": False}
    with (
        training_race.start({"contestant": "sklearn", **missing}) as child,
        pytest.raises(ChildError, match=r"^FileNotFoundError: .*none\.npz"),
    ):
        child.answer()


def test_missing_peers_are_named_and_are_no_failure(course, monkeypatch):
    course, _ = course
    monkeypatch.setitem(tasks.CONTESTANTS, "pytorch", tasks.Contestant("PyTorch", "torch_contestants", "no_such_torch"))
    task = tasks.TASKS["resnet20"]
    results = {result.entry: result for result in training_race.race(course, "resnet20", task)}
    assert results[Entry("pytorch")].problem == "no_such_torch is not installed"
    assert results[Entry("stock")].seconds
    found = Measurements(races={"resnet20": list(results.values())})
    failed = [entry for entry, result in results.items() if result.failed]
    assert failed == [
        Entry("ours", "bfloat16"),
        Entry("stock", "bfloat16"),
    ]  # the fake ones die; what is missing does not count
    assert "no_such_torch is not installed" in document.write([], [], found, quick=False, minutes=1.0)


def test_failure_is_exit_code_1_after_the_document(capsys, monkeypatch):
    monkeypatch.setattr(training, "_measure", lambda args, wanted, command: ("# the document\n", True))
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert training.main(["--quick"]) == 1
    finally:
        for n, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(n, handler)
    assert capsys.readouterr().out == "# the document\n"


def test_first_epochs_and_memory_are_medians_of_fresh_processes(course):
    course, _ = course
    ours, stock = sections.time_first_epochs(course)
    assert (ours.first, ours.seconds) == (0.5, [1.5, 1.5, 1.5])
    assert stock.entry == Entry("stock")
    rows = sections.weigh(course)
    assert [(row.entry.contestant, row.images) for row in rows] == [
        ("ours", 6000),
        ("ours", 600),
        ("stock", 6000),
        ("stock", 600),
    ]
    assert all(len(row.results) == 3 and row.resident == 100.0 and row.peak == 200.0 for row in rows)


def test_only_keeps_the_order_and_refuses_unknown_names():
    assert tasks.chosen_sections(None) == tasks.SECTIONS
    assert tasks.chosen_sections("cnn, digits") == ("digits", "cnn")
    with pytest.raises(zoo.UsageError, match="did you mean 'mlp'"):
        tasks.chosen_sections("mpl")


def test_every_entry_has_a_function():
    for task in tasks.TASKS.values():
        assert task.section in tasks.SECTIONS
        for entry in tasks.with_compiled_torch(task).entries:
            suffix = "" if task.kind == "train" else f"_{task.kind}"
            source = (SCRIPT.parent / f"{tasks.CONTESTANTS[entry.contestant].module}.py").read_text()
            assert f"\ndef {entry.contestant}{suffix}(" in source


def test_made_up_samples_are_uint8_with_a_pattern_a_class(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    source, is_real = samples.prepare("cifar", 500, str(tmp_path / "cifar.npz"))
    assert source.startswith("made up")
    assert not is_real
    arrays = samples.read(tmp_path / "cifar.npz", 400)
    assert arrays.x.shape == (400, 32, 32, 3)
    assert arrays.x.dtype == arrays.x_test.dtype == np.uint8
    assert arrays.validation is None
    with pytest.raises(zoo.DataError, match="500 training images, 501"):
        samples.read(tmp_path / "cifar.npz", 501)
    means = np.stack([arrays.x[arrays.y == k].mean(axis=(0, 2)).ravel() for k in range(10)])
    assert np.ptp(means, axis=0).mean() > 5


@pytest.mark.parametrize(
    "layer", [floors.Layer((6,), (6, 4), (4,)), floors.Convolution((8, 6, 3), (3, 3, 3, 5), (8, 6, 5))]
)
def test_floors_are_the_products_of_a_gradient_step(layer):
    def operand(shape):
        return tf.random.stateless_normal(shape, [0, 0], stddev=0.1)

    x, w, dy = operand((8, *layer.inputs)), operand(layer.weights), operand((8, *layer.outputs))
    x, dy = x[4:], dy[4:]  # the second batch of four
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        y = tf.matmul(x, w) if x.shape.rank == 2 else tf.nn.conv2d(x, w, 1, "SAME")
    dx, dw = tape.gradient(y, [x, w], output_gradients=dy)
    steps, *results = floors.steps_in_graph(layer(4, tf.float32), 6)()
    assert int(steps) == 6
    for expected, result in zip((y, dw, dx), results, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["digits", "softmax", "mlp", "cnn", "resnet20"])
def test_all_contestants_build_the_same_network(name, tmp_path):
    task = tasks.TASKS[name]
    job = stopwatch.Job(task, "float32", 1, tmp_path)
    shape = samples.SHAPES[task.data][0]
    ours = zoo.build(task.model, shape, samples.CLASSES, **task.options)
    stock = keras_contestants._compiled(job, shape)
    expected = sorted(tuple(weight.shape) for weight in ours.trainable_weights)
    assert sorted(tuple(weight.shape) for weight in stock.trainable_weights) == expected
    pytest.importorskip("torch")
    network = importlib.import_module("torch_contestants").network(task, shape)
    sizes = sorted(weight.numel() for weight in network.parameters())
    assert sizes == sorted(int(np.prod(shape)) for shape in expected)
