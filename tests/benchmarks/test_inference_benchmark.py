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


QUICK = """
import sys, inference_tasks
for name in set(inference_tasks.CONTESTANTS) - {"call", "pytorch"}:
    del inference_tasks.CONTESTANTS[name]
import inference
sys.exit(inference.main(["--quick", "--only", "softmax", "--output", sys.argv[1]]))
"""


def test_a_quick_run_times_its_contestants(tmp_path):
    """Two of them, since each takes seconds to start; that the others answer the next test shows."""
    done = subprocess.run(
        [sys.executable, "-c", QUICK, tmp_path / "a.md"], cwd=SCRIPT.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "a.md").read_text()
    assert done.stdout == text
    assert "A quick run" in text
    for name in ("call", "pytorch"):
        assert text.count(f"| {tasks.CONTESTANTS[name].title} ") == len(tasks.SIZES)
    assert "failed" not in text


@pytest.mark.parametrize("name", tasks.CONTESTANTS)
def test_every_contestant_answers(name):
    if problem := inference.missing(*tasks.CONTESTANTS[name].needs):
        pytest.skip(problem)
    run = importlib.import_module(tasks.CONTESTANTS[name].module).contestant("softmax", name)
    for count in tasks.SIZES:
        images = np.random.default_rng(0).integers(0, 256, (count, *tasks.SHAPES["softmax"])).astype(np.uint8)
        answer = run(images)
        assert answer.shape == (count, 10)
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=0.02)


def made_up(name, milliseconds, rounds=3):
    return inference.Result(name, {1: [[milliseconds] * 9] * rounds}, others=[0.01])


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


@pytest.mark.parametrize("name", tasks.SECTIONS)
def test_torch_has_the_same_network(name):
    torch_contestants = pytest.importorskip("torch") and importlib.import_module("torch_contestants")
    zoo, all_tasks = importlib.import_module("zoo"), importlib.import_module("tasks").TASKS
    theirs = torch_contestants.network(all_tasks[name], tasks.SHAPES[name])
    ours = zoo.build(all_tasks[name].model, tasks.SHAPES[name], 10, **all_tasks[name].options)
    count = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    assert sum(weight.numel() for weight in theirs.parameters()) == count
