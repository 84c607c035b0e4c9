"""The benchmark of searches: it runs, it survives what fails, and its tables say what was measured.

Nothing here asserts on wall time.
"""

import importlib
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import machine
import numpy as np
import pytest
import search
import search_document
import search_memory
import search_networks
import search_ours
import search_race
import search_tasks
import stopwatch
from benchmark_processes import check_no_child_outlives, check_wrong_usage, rows_of, start
from child import ChildError
from search_targets import Measurements
from search_tasks import Entry, Found, Job, Trial

import zoo
from tuning import discovery

SCRIPT = Path(search.__file__)

# A contestant without a framework: it trains what it is asked to, an epoch less in bfloat16, and dies as "optuna".
FAKE_WORKER = """
import itertools, json, sys
sys.path.insert(0, {folder!r})
import search_tasks
spec = json.loads(sys.argv[1])
def say(**facts): print(json.dumps(facts), flush=True)
task = search_tasks.TASKS[spec["task"]].shortened()
say(event="ready")
assert sys.stdin.readline() == "go\\n"
if spec["entry"][0] == "optuna":
    sys.exit("line one\\nit broke\\n")
with open({log!r}, "a") as log: log.write(f"{{spec['entry'][0]}}{{spec['seed']}} ")
say(event="turn", seconds=0.5 + spec["seed"], worked=0.0, resident=100.0, peak=200.0)
assert sys.stdin.readline() == "go\\n"
cells = [dict(zip(task.space, cell)) for cell in itertools.product(*task.space.values())]
trials = [dict(values=cell, score=0.5, epochs=task.epochs) for cell in cells]
if spec["entry"][1] == "bfloat16":
    trials[-1]["epochs"] = 0
say(event="end", trials=trials, curve=[], workers=[], traces=None, signatures=None)
"""


def softmax_with(monkeypatch, *entries):
    task = search_tasks.dataclasses.replace(search_tasks.TASKS["softmax"], entries=entries)
    monkeypatch.setitem(search_tasks.TASKS, "softmax", task)


def test_quick_softmax_is_a_race_and_a_document(tmp_path, monkeypatch, run_main):
    """Of those that had better not run in this process; the others are below."""
    entries = (Entry("optuna"), Entry("ray"))
    softmax_with(monkeypatch, *entries)
    output = tmp_path / "results" / "search.md"
    out, _ = run_main(search.main, "--quick", "--only", "softmax", "--output", str(output))
    assert output.read_text() == out
    for what in ("processor", "cores", "keras-tuner", "optuna", "ray", "command"):
        assert re.search(rf"^\| {what} +\| \S", out, re.MULTILINE), what
    table = {(row[0], row[1]): row for row in rows_of(out) if len(row) == 12}
    for entry in entries:
        row = table[entry.title, entry.precision]
        if "not installed" in row[2]:
            continue
        assert float(row[2]) > 0  # seconds
        assert row[6:8] == ["4", "4"]  # trials, epochs
        assert 0 <= float(row[10]) <= 1  # best score
    assert not list(tmp_path.glob("search-benchmark-*"))


@pytest.mark.parametrize("entry", [Entry("ours"), Entry("ours", at_once=2, stacked=False), Entry("stock")])
def test_contestants_search_all_of_the_grid(tmp_path, entry):
    pytest.importorskip("keras_tuner")
    space = {"l2": [0.01], "learning_rate": [0.03, 0.1]}
    task = search_tasks.dataclasses.replace(search_tasks.TASKS["softmax"].shortened(), space=space)
    job = Job(task, entry, 0, tmp_path)
    module = importlib.import_module(search_tasks.CONTESTANTS[entry.contestant].module)
    found = module.search(job, module.load(job))
    search_race.check(task, entry, found)
    assert len(found.trials) == 2
    assert all(0 <= trial.score <= 1 for trial in found.trials)


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("--repeats", "0")])
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path, arguments):
    check_wrong_usage(SCRIPT, tmp_path, *arguments)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_no_child_outlives_the_race(tmp_path):
    process = start(SCRIPT, tmp_path, "--quick", "--only", "hyperband")
    check_no_child_outlives(process, tmp_path, signal.SIGTERM)


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A race of processes without frameworks; gives the file in which they write down their turns."""
    worker, log = tmp_path / "worker.py", tmp_path / "log"
    worker.write_text(FAKE_WORKER.format(folder=str(SCRIPT.parent), log=str(log)))
    monkeypatch.setattr(search_race, "_WORKER", worker)
    monkeypatch.setattr(search_race, "missing", lambda *packages, data: None)
    softmax_with(monkeypatch, Entry("ours"), Entry("stock"), Entry("optuna"), Entry("stock", "bfloat16"))
    return log


def test_a_race_goes_forth_and_back_and_refuses_what_was_not_trained(fakes):
    lines = []
    everyone = tuple(search_tasks.CONTESTANTS)
    ours, stock, broken, lazy = search_race.race("softmax", rounds=3, quick=True, engines=everyone, say=lines.append)
    assert fakes.read_text().split() == ["ours0", "stock0", "stock0", "stock1", "ours1", "ours2", "stock2"]
    assert (ours.seconds, ours.median, ours.trials, ours.epochs, ours.best) == ([0.5, 1.5, 2.5], 1.5, 4, 4, 0.5)
    assert ours.resident == [100.0] * 3
    assert (broken.failed, broken.problem, broken.median) == (True, "failed: it broke", None)
    assert (lazy.failed, lazy.problem) == (True, "failed: 3 epochs were trained, not 4")
    assert not stock.failed
    found = Measurements({"softmax": [ours, stock, broken, lazy]})
    assert found.failed
    text = search_document.write([], found, quick=True, minutes=1.0)
    assert "failed: it broke" in text
    assert "not judged" in text


def test_only_the_chosen_engines_take_part(fakes):
    results = search_race.race("softmax", rounds=1, quick=True, engines=("stock",), say=str)
    assert [result.entry.contestant for result in results] == ["stock", "stock"]
    assert set(fakes.read_text().split()) == {"stock0"}


def test_missing_packages_and_data_are_named_and_are_no_failure(monkeypatch, tmp_path):
    contestant = search_tasks.Contestant("Ray Tune", "search_ray", ("tensorflow", "no_such_ray"))
    monkeypatch.setitem(search_tasks.CONTESTANTS, "ray", contestant)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    softmax_with(monkeypatch, Entry("ray"), Entry("stock"))
    ray, stock = search_race.race("softmax", rounds=1, quick=False, engines=("ray", "stock"), say=str)
    assert ray.problem == "no_such_ray is not installed"
    assert stock.problem == "skipped: TFDS has no MNIST prepared (TFDS_DATA_DIR)"
    assert [ray.failed, stock.failed] == [False, False]


def test_check_counts_cells_and_epochs():
    task = search_tasks.TASKS["softmax"].shortened()
    cells = [dict(zip(task.space, cell, strict=True)) for cell in itertools.product(*task.space.values())]
    search_race.check(task, Entry("ray"), Found([Trial(cell, 0.5, 1) for cell in cells]))
    with pytest.raises(ChildError, match="5 epochs"):
        search_race.check(task, Entry("ray"), Found([Trial(cell, 0.5, 1) for cell in [*cells, cells[0]]]))
    with pytest.raises(ChildError, match="4 trials with 1 combinations"):
        search_race.check(task, Entry("ray"), Found([Trial(cells[0], 0.5, 1)] * 4))
    band = search_tasks.TASKS["hyperband"]
    whole = Found([Trial({}, 0.5, band.budget)])
    search_race.check(band, Entry("optuna"), whole)  # as many trials as it likes
    with pytest.raises(ChildError, match="1 trials"):
        search_race.check(band, Entry("stock"), whole)


@pytest.mark.parametrize(("max_epochs", "cost"), [(1, (1, 1)), (3, (6, 11)), (9, (23, 75)), (27, (70, 375))])
def test_budget_of_hyperband_is_that_of_keras_tuner(max_epochs, cost):
    keras_tuner = pytest.importorskip("keras_tuner")
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1)
    if max_epochs > 1:
        oracle = keras_tuner.oracles.HyperbandOracle(
            "val_accuracy", max_epochs=max_epochs, factor=3, hyperparameters=hp
        )
        trials = epochs = 0
        for bracket in range(oracle._get_num_brackets()):
            for rung in range(bracket + 1):
                size = oracle._get_size(bracket, rung)
                before = oracle._get_epochs(bracket, rung - 1) if rung else 0
                trials, epochs = trials + size, epochs + size * (oracle._get_epochs(bracket, rung) - before)
        assert (trials, epochs) == cost
    task = search_tasks.dataclasses.replace(search_tasks.TASKS["hyperband"], epochs=max_epochs)
    assert (task.trials, task.budget) == cost


@pytest.mark.parametrize("name", list(search_tasks.TASKS))
def test_every_task_is_whole(name):
    task = search_tasks.TASKS[name]
    assert task.section in search_tasks.SECTIONS
    assert (task.trials, task.budget) == {
        "softmax": (20, 100),
        "cnn": (6, 18),
        "hyperband": (70, 375),
        "memory": (50, 50),
    }[name]
    assert task.shortened().budget <= 11
    assert len(set(task.entries)) == len(task.entries)
    for entry in task.entries:
        source = (SCRIPT.parent / f"{search_tasks.CONTESTANTS[entry.contestant].module}.py").read_text()
        assert "\ndef search(" in source


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("softmax", {"learning_rate": 0.1, "l2": 0.01}),
        ("cnn", {"combination": 3}),
        ("hyperband", {"num_layers": 2, "units": 32, "dropout": 0.3, "learning_rate": 0.01}),
    ],
)
def test_all_contestants_build_the_same_network(name, values):
    task, data = search_tasks.TASKS[name], zoo.load_dataset("digits", limit=100)
    options = task.options(values)
    rate = options.pop("learning_rate")
    ours = zoo.build(task.model, data.input_shape, data.num_classes, **options)
    stock = search_networks.network(task, data.input_shape, data.num_classes, "float32", values)
    stock.set_weights(ours.get_weights())
    x = data.train.inputs[:8].astype("float32") / 255
    np.testing.assert_allclose(stock(x), ours(x), rtol=1e-5, atol=1e-6)
    assert float(stock.optimizer.learning_rate) == pytest.approx(rate)
    losses = [sum(float(loss) for loss in model.losses) for model in (ours, stock)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    dropouts = [[layer.rate for layer in model.layers if "dropout" in layer.name] for model in (ours, stock)]
    assert dropouts[0] == dropouts[1]


def test_our_combinations_are_the_listed_ones():
    keras_tuner = pytest.importorskip("keras_tuner")
    task, data = search_tasks.TASKS["cnn"], zoo.load_dataset("digits", limit=100)
    space = search_ours.CombinationSpace(task, data, zoo.Recipe(optimizer="adam"), "mixed_bfloat16")
    declared = discovery.discover(space).space
    assert [(parameter.name, list(parameter.values)) for parameter in declared] == [("combination", list(range(6)))]
    for index, combination in enumerate(task.combinations):
        hp = keras_tuner.HyperParameters()
        hp.Fixed("combination", index)
        options, recipe = space.choose(hp)
        assert options.pop("dtype") == "mixed_bfloat16"
        assert {**options, "learning_rate": recipe.learning_rate} == combination


def test_loading_gives_the_images_of_the_split(tmp_path):
    task = search_tasks.TASKS["hyperband"].shortened()
    arrays = search_networks.load(Job(task, Entry("stock"), 0, tmp_path))
    data = search_ours.load(Job(task, Entry("ours"), 0, tmp_path))
    np.testing.assert_array_equal(arrays.x, data.train.inputs.astype("float32") / 255)
    np.testing.assert_array_equal(arrays.y_validation, data.validation.labels)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory in /proc")
def test_watch_sees_memory_after_each_trial_and_the_workers(monkeypatch):
    monkeypatch.setattr(search_memory, "_LEAST", 0.0)
    done = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with search_memory.Watch(lambda: len(done)) as watch:
            done += [1, 2]
            deadline = time.monotonic() + 10
            while (len(watch.curve) < 2 or not watch.workers) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert process.pid in machine.processes_below()
            done.append(3)
        process.communicate(b"\n")
    assert len(watch.curve) == 3
    assert min(watch.curve) > 10
    assert watch.workers
    assert stopwatch.memory(process.pid)["peak"] is None


def test_journal_trials_are_counted(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert search_memory.journal_trials(path) == 0
    records = [{"record": {"kind": kind}} for kind in ("header", "trial", "trial")]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert search_memory.journal_trials(path) == 2


def test_work_of_processes_below_counts():
    before = machine.worked_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert machine.worked_seconds() - before > 0.02
