"""The benchmark of members of one program: it runs, it survives what fails, and its tables say what was measured.

Nothing here asserts on wall time.
"""

import dataclasses
import importlib
import re
import signal
import statistics
from pathlib import Path

import child
import members
import members_document
import members_race
import members_tasks
import pytest
from benchmark_processes import check_no_child_outlives, check_wrong_usage, rows_of, start
from members_race import Result
from members_tasks import CONTESTANTS, TASKS

SCRIPT = Path(members.__file__)

# A contestant without a framework: its turns last as many seconds as it was told to train members, and PyTorch's dies.
FAKE_WORKER = """
import json, sys
sys.path.insert(0, {folder!r})
spec = json.loads(sys.argv[1])
def say(**facts): print(json.dumps(facts), flush=True)
say(event="ready")
for count in spec["counts"]:
    assert sys.stdin.readline() == "go\\n"
    if spec["contestant"] == "pytorch" and count > 1:
        sys.exit("line one\\nit broke\\n")
    with open({log!r}, "a") as log: log.write(f"{{spec['contestant']}}{{count}} ")
    say(event="turn", seconds=float(count), worked=0.0, resident=100.0, peak=200.0)
assert sys.stdin.readline() == "go\\n"
say(event="end", accuracies=[1 / count for count in spec["counts"]])
"""


def test_quick_run_has_every_row(tmp_path, monkeypatch, run_main):
    """One of ours and one of PyTorch's; the others are below."""
    for name in ("ours", "pytorch_stacked"):
        monkeypatch.setitem(CONTESTANTS, name, CONTESTANTS[name]._replace(needs="no_such_package"))
    output = tmp_path / "results" / "members.md"
    out, _ = run_main(members.main, "--quick", "--only", "digits", "--output", str(output))
    assert output.read_text() == out
    for what in ("processor", "cores", "tensorflow", "torch", "command"):
        assert re.search(rf"^\| {what} +\| \S", out, re.MULTILINE), what
    part = out.split("\n## ")[1]
    table = {(row[0], row[1]): row for row in rows_of(part) if len(row) == 7}
    for count in ("1", "8"):
        for contestant in CONTESTANTS.values():
            row = table[count, contestant.title]
            if "not installed" in row[2]:
                continue
            assert float(row[2].replace(",", "")) > 0  # member-epochs a second
            assert 0 <= float(row[6]) <= 1  # accuracy
    assert not list(tmp_path.glob("members-benchmark-*"))


def test_members_together_are_as_accurate_as_one_at_a_time(tmp_path):
    task = TASKS["digits"].shortened()
    ours = {}
    for name in ("together", "ours"):
        (tmp_path / name).mkdir()
        train = importlib.import_module(CONTESTANTS[name].module).contestant(task, name, tmp_path / name)
        ours[name] = [train(task.members(count)[:4]) for count in task.sizes]
    for together, alone in zip(ours["together"], ours["ours"], strict=True):
        assert statistics.fmean(together) == pytest.approx(statistics.fmean(alone), abs=0.05)


def test_stacked_torch_is_a_contestant(tmp_path):
    pytest.importorskip("torch")
    task = TASKS["digits"].shortened()
    train = importlib.import_module("members_torch").contestant(task, "pytorch_stacked", tmp_path)
    for count in task.sizes:
        accuracies = train(task.members(count))
        assert len(accuracies) == count
        assert all(0 <= accuracy <= 1 for accuracy in accuracies)


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("--repeats", "0")])
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path, arguments):
    check_wrong_usage(SCRIPT, tmp_path, *arguments)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_no_child_outlives_the_race(tmp_path):
    process = start(SCRIPT, tmp_path, "--quick", "--only", "digits")
    check_no_child_outlives(process, tmp_path, signal.SIGINT)


def test_a_race_goes_forth_and_back_and_goes_on_without_who_fails(tmp_path, monkeypatch):
    worker, log = tmp_path / "worker.py", tmp_path / "log"
    worker.write_text(FAKE_WORKER.format(folder=str(SCRIPT.parent), log=str(log)))
    monkeypatch.setattr(members_race, "_WORKER", worker)
    monkeypatch.setattr(members_race, "SETTLE", 0)
    monkeypatch.setitem(
        CONTESTANTS, "pytorch", CONTESTANTS["pytorch"]._replace(needs="json")
    )  # the fake one needs none
    monkeypatch.setitem(CONTESTANTS, "pytorch_stacked", CONTESTANTS["pytorch_stacked"]._replace(needs="no_such_torch"))
    lines = []
    results = members_race.race("softmax", rounds=2, quick=True, say=lines.append)
    together, ours, broken, absent = results
    first = "together1 ours1 pytorch1 together8 ours8"
    assert log.read_text().split() == f"{first} ours1 together1 ours8 together8".split()
    assert together.seconds == {1: [1.0, 1.0], 8: [8.0, 8.0]}
    assert together.accuracies == {1: [1.0, 1.0], 8: [0.125, 0.125]}
    assert (together.rate(8), ours.rate(8)) == (2.0, 1.0)  # 8 and 4 members, 2 epochs, 8 seconds
    assert (broken.failed, broken.problem, broken.rate(1)) == (True, "failed: it broke", None)
    assert (absent.failed, absent.problem) == (False, "no_such_torch is not installed")
    assert members_document.failed({"softmax": results})
    assert not members_document.failed({"softmax": [together, ours, absent]})
    text = members_document.write([], {"softmax": results}, quick=True, minutes=1.0)
    assert "failed: it broke" in text
    assert "not measured" in text


def test_missing_packages_and_data_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert child.missing("json", data="mnist") == "skipped: TFDS has no MNIST prepared (TFDS_DATA_DIR)"
    assert child.missing("json", data="digits") is None
    assert child.missing("json", "no_such_torch", data="mnist") == "no_such_torch is not installed"


def made_up(others=0.01):
    def result(name, seconds):
        return Result(name, 2, dict.fromkeys((1, 8, 64, 256), seconds), {64: [0.5, 0.75]}, others=[others])

    return {
        "softmax": [
            result("together", [1.0, 2.0, 9.0]),
            result("ours", [0.5, 0.5, 0.5]),
            result("pytorch", [1.0]),
            Result("pytorch_stacked", 2, problem="torch is not installed"),
        ]
    }


def test_document_shows_ratios_of_medians_and_verdicts():
    text = members_document.write([("cores", "2")], made_up(), quick=False, minutes=1.0)
    rows = rows_of(text)
    title = CONTESTANTS["together"].title
    assert ["64", title, "64.0", "14.2 to 128", "4.00", "8.00", "0.6250"] in rows
    assert any(row[:3] == ["64", CONTESTANTS["pytorch_stacked"].title, "torch is not installed"] for row in rows)
    verdicts = {row[0].split(":")[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["softmax"] == ["≥ 5", "4.00", "no"]
    assert verdicts["mlp-sgd"] == ["≥ 2", "not measured", "–"]
    assert "quiet machine" not in text
    assert "quiet machine" in members_document.write([], made_up(others=0.5), quick=False, minutes=1.0)


@pytest.mark.parametrize("name", list(TASKS))
def test_members_are_of_one_structure_and_spread(name):
    task = TASKS[name]
    for count in task.sizes:
        found = task.members(count)
        assert len(found) == count
        rates = [member.values["learning_rate"] for member in found]
        assert task.rates[0] < rates[0]
        assert rates[-1] < task.rates[1]
        assert len(set(rates)) == count
        assert all(value > 0 for member in found for value in member.values.values())  # zero is another structure
        assert {member.seed for member in found} == (set(range(count)) if task.has_own_orders else {0})
        assert set(found[0].values) <= set(task.space)
    assert members_tasks.sample(3) == [0, 1, 2]
    assert members_tasks.sample(64) == [0, 16, 32, 48]


@pytest.mark.parametrize("name", list(TASKS))
def test_stacked_torch_trains_as_its_plain_loop_does(name):
    """From the same weights, with all examples in one batch (so that no order matters) and next to no dropout."""
    torch = pytest.importorskip("torch")
    members_torch = importlib.import_module("members_torch")
    which = TASKS[name].other[0]
    task = dataclasses.replace(
        TASKS[name].shortened(),
        batch_size=300,
        epochs=20,
        other=(which, *{"l2": (0.01, 0.1), "dropout": (0, 0)}[which]),
    )
    arrays, found = members_torch.read(task), task.members(3)
    stack = members_torch.Stack(task, arrays, found)
    plain = [members_torch.One(task, arrays, member) for member in found]
    with torch.no_grad():
        for place, one in enumerate(plain):
            for weight, own in zip(weights_of(stack, place), one.model.parameters(), strict=True):
                own.copy_(weight)
    accuracies = stack.train()
    assert accuracies == pytest.approx([one.train() for one in plain], abs=0.04)
    for place, one in enumerate(plain):
        for weight, own in zip(weights_of(stack, place), one.model.parameters(), strict=True):
            # On average: Adam makes a step of full length of what is a rounding error for the one and none for the other.
            assert float((weight - own).detach().abs().mean()) < 1e-3


def weights_of(stack, place):
    """One member's weights in the shapes of torch's layers."""
    for weight in stack.weights:
        if weight.ndim < 3:  # the first layer of members with one order
            part = weight.chunk(3, dim=-1)[place]
        else:
            part = weight[place]
            part = part[0] if len(part) == 1 else part
        yield part.T if part.ndim == 2 else part
