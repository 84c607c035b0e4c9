"""The inference benchmark: it runs, its document says what was measured, and the networks are the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "inference.py"
inference = importlib.import_module("inference")
document = importlib.import_module("inference_document")
tasks = importlib.import_module("inference_tasks")


def test_a_quick_run_times_every_contestant(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--only", "softmax", "--output", tmp_path / "a.md"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "a.md").read_text()
    assert done.stdout == text
    assert "A quick run" in text
    for contestant in tasks.CONTESTANTS.values():
        assert text.count(f"| {contestant.title} ") == len(tasks.SIZES)
    assert "failed" not in text


def made_up(name, milliseconds, rounds=3):
    return inference.Result(name, {1: [[milliseconds] * 9] * rounds}, [0.01])


def test_the_document_shows_ratios_and_verdicts():
    results = [made_up("predict", 40.0), made_up("onnx", 0.5), made_up("litert", 1.0), made_up("pytorch", 0.25)]
    results.append(inference.Result("pytorch_traced", problem="torch not installed"))
    text = document.write([("cores", "2")], {"cnn": results}, quick=False, minutes=1.0)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    title = tasks.CONTESTANTS["onnx"].title
    assert [title, "0.500", "0.500", "0.500 to 0.500", "80.00", "2.00"] in rows
    assert any(row[1:2] == ["torch not installed"] for row in rows)
    first, second, third, _ = document.targets({"cnn": results})
    assert (first.measured, first.is_met) == (80.0, True)
    assert (second.measured, second.is_met) == (2.0, False)
    assert third.is_met is None
    assert "quiet machine" not in text


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(inference.importlib.util, "find_spec", lambda name: None)
    assert inference.missing("onnx") == "tf2onnx, onnx, onnxruntime not installed"


@pytest.mark.parametrize("name", tasks.SECTIONS)
def test_torch_has_the_same_network(name):
    torch_contestants = pytest.importorskip("torch") and importlib.import_module("torch_contestants")
    zoo, all_tasks = importlib.import_module("zoo"), importlib.import_module("tasks").TASKS
    theirs = torch_contestants.network(all_tasks[name], tasks.SHAPES[name])
    ours = zoo.build(all_tasks[name].model, tasks.SHAPES[name], 10, **all_tasks[name].options)
    count = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    assert sum(weight.numel() for weight in theirs.parameters()) == count
