"""Scripts that use worker processes: killed at any moment they leave none, and they need no `__main__` guard."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from stand_in import wait_for

import zoo

START = """
    import sys
    from tuning.executors.processes import ProcessExecutor

    class Processes(ProcessExecutor):
        runner = "stand_in:StandIn"

    from stand_in import task_of
"""
SEARCH = """
    folder, workers, *actions = sys.argv[1:]
    workers = int(workers)
    with Processes({"array": bytearray(50_000_000)}, workers=workers, address=None, on_progress=lambda progress: None) as executor:
        for number in range(workers):
            executor.submit([task_of(number, folder, ["meet", workers], *actions)])
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


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.06, 0.2])
def test_workers_that_are_starting_go_with_their_search(tmp_path: Path, moment: float):
    script = start(tmp_path, SEARCH, str(tmp_path), "3", "block")
    wait_for(lambda: workers_of(script.pid))
    time.sleep(moment)
    assert kill_and_watch(script) >= 1


@pytest.mark.parametrize("action", ["block", "spin"])
def test_workers_that_compute_go_with_their_search(tmp_path: Path, action: str):
    script = start(tmp_path, SEARCH, str(tmp_path), "3", action)
    wait_for(lambda: len(list(tmp_path.glob("here-*"))) == 3)
    assert kill_and_watch(script) == 3


@pytest.mark.parametrize(("waiting_for", "workers"), [("here-2", 3), ("multiplying", 1)])
def test_workers_in_tensorflow_go_with_their_search(tmp_path: Path, waiting_for: str, workers: int):
    """While they import it, and in a long call."""
    script = start(tmp_path, SEARCH, str(tmp_path), str(workers), "multiply")
    wait_for((tmp_path / waiting_for).exists)
    time.sleep(0.3)
    assert kill_and_watch(script) == workers


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
