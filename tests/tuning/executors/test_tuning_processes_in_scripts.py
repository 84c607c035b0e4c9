"""Scripts that use worker processes: killed at any moment they leave none, and they need no `__main__` guard."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from stand_in import wait_for

import zoo
from tuning.executors.inline import InlineExecutor
from tuning.executors.processes import ProcessExecutor
from tuning.spaces import space
from tuning.task import Setting, TrialTask

START = """
    import sys
    from tuning.executors.processes import ProcessExecutor

    class Processes(ProcessExecutor):
        runner = "stand_in:StandIn"

    from stand_in import task_of
"""
SEARCH = """
    folder, *actions = sys.argv[1:]
    with Processes({"array": bytearray(50_000_000)}, workers=3, address=None, on_progress=lambda progress: None) as executor:
        for number in range(3):
            executor.submit([task_of(number, folder, ["meet", 3], *actions)])
        while True:
            executor.next_outcomes()
"""


def start(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen:
    script = tmp_path / "script.py"
    paths = [str(Path(__file__).parent), str(Path(zoo.__file__).parents[1])]
    script.write_text(f"import sys; sys.path[1:1] = {paths!r}\n" + textwrap.dedent(START) + textwrap.dedent(code))
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def workers_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if child.is_running()]


def is_alive(process: psutil.Process) -> bool:
    """Not for one that has ended and is only not yet reaped by the system's first process."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_and_watch(script: subprocess.Popen) -> int:
    """Kills the script by SIGKILL; the number of workers that it had, all of which are gone soon."""
    workers = workers_of(script.pid)
    script.kill()
    script.communicate()
    try:
        wait_for(lambda: not any(map(is_alive, workers)), seconds=1)
    finally:
        for worker in filter(is_alive, workers):
            worker.kill()
    return len(workers)


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2])
def test_workers_that_are_starting_go_with_their_search(tmp_path: Path, moment: float):
    script = start(tmp_path, SEARCH, str(tmp_path), "block")
    wait_for(lambda: workers_of(script.pid))
    time.sleep(moment)
    assert kill_and_watch(script) >= 1


@pytest.mark.parametrize("action", ["block", "spin"])
def test_workers_that_compute_go_with_their_search(tmp_path: Path, action: str):
    script = start(tmp_path, SEARCH, str(tmp_path), action)
    wait_for(lambda: len(list(tmp_path.glob("here-*"))) == 3)
    assert kill_and_watch(script) == 3


@pytest.mark.parametrize("waiting_for", ["here-2", "multiplying"])
def test_workers_in_tensorflow_go_with_their_search(tmp_path: Path, waiting_for: str):
    """While they import it, and in a long call."""
    script = start(tmp_path, SEARCH, str(tmp_path), "multiply")
    wait_for((tmp_path / waiting_for).exists)
    time.sleep(0.3)
    assert kill_and_watch(script) == 3


def test_a_script_needs_no_guard_and_its_functions_go_along(tmp_path: Path):
    (tmp_path / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    script = start(
        tmp_path,
        """
        import helper

        offset = 0.5

        class Scorer:
            def __call__(self, number):
                return helper.twice(number) + offset

        print("once")
        with Processes({"function": Scorer()}, workers=2, address=None, on_progress=lambda progress: None) as executor:
            executor.submit([task_of(3, ".", "score")])
            executor.submit([task_of(4, ".", "score")])
            print(sorted(executor.next_outcomes()[1][0].score for _ in range(2)))
        """,
    )
    assert script.communicate(timeout=60) == ("once\n[6.5, 8.5]\n", "")


def test_the_real_runner_gives_the_same_here_and_there(tmp_path: Path):
    data = zoo.load_dataset("blobs", limit=60, validation=0.3)
    hypermodel = space("softmax", data.input_shape, data.num_classes)
    recipe = zoo.Recipe(epochs=2, batch_size=16)
    setting = Setting(hypermodel, data, recipe, objective="val_accuracy", direction="max")
    scores, progress = [], []
    for kind, workers in ((InlineExecutor, 1), (ProcessExecutor, 2)):
        tasks = [TrialTask(n, hyperparameters(hypermodel, n), str(tmp_path / kind.__name__)) for n in range(2)]
        outcomes = {}
        with kind(setting, workers=workers, address=None, on_progress=progress.append) as executor:
            while tasks:
                batch = [tasks.pop(0) for _ in range(executor.capacity)]
                for task in batch:
                    executor.submit([task])
                for _ in batch:
                    (task,), (outcome,) = executor.next_outcomes()
                    outcomes[task.number] = outcome
        assert {outcome.reason for outcome in outcomes.values()} == {None}
        scores.append([(outcomes[n].score, outcomes[n].metrics["val_loss"]) for n in range(2)])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    assert progress


def hyperparameters(hypermodel: object, seed: int) -> dict:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    for parameter in hp.space:
        hp.values[parameter.name] = parameter.random_sample(seed)
    return hp.get_config()
