"""A runner that does what a trial's "hyperparameters" say, and drivers' way to it."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuning.task import TrialOutcome, TrialProgress, TrialTask, model_path, state_path
from zoo.errors import DataError, SaveError
from zoo.storage import sha256_of_file

NAME = "stand_in:StandIn"
PATIENCE = 30  # seconds


def task_of(number: int, folder: Any, *actions: Any, **fields: Any) -> TrialTask:
    return TrialTask(number, {"actions": list(actions)}, str(folder), **fields)


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def ignore(_: TrialProgress) -> None:
    pass


def make_executor(
    kind: type,
    *,
    setting: Any,
    workers: int = 1,
    address: str | None = None,
    on_progress: Callable[[TrialProgress], None] = ignore,
    **attributes: Any,
) -> Any:
    """An executor that runs stand-ins and often looks at its workers; `attributes` are those of its class."""
    kind = type(kind.__name__, (kind,), {"runner": NAME, "check_every": 0.1, **attributes})
    return kind(setting, workers=workers, address=address, on_progress=on_progress)


class StandIn:
    """Runs actions: a name of a method, or a list of it and its arguments."""

    def __init__(self, setting: Any) -> None:
        self.setting = setting
        self.hoard: list[bytearray] = []
        self.needed: list[bytearray] = []

    def run(
        self, tasks: Sequence[TrialTask], on_progress: Callable[[TrialProgress], None] | None = None
    ) -> list[TrialOutcome]:
        self.needed.clear()
        return [self._run(task, on_progress or (lambda _: None)) for task in tasks]

    def _run(self, task: TrialTask, tell: Callable[[TrialProgress], None]) -> TrialOutcome:
        tell(TrialProgress(task.number, 0, 1, os.getpid()))  # the score tells the tests whom to kill
        value = None
        for action in task.hyperparameters["actions"]:
            name, *arguments = [action] if isinstance(action, str) else action
            value = getattr(self, name)(task, *arguments)
        tell(TrialProgress(task.number, 1, 1, os.getpid()))
        path = model_path(task.folder, task.number)
        sha256 = sha256_of_file(path) if path.exists() else None
        return TrialOutcome("completed", value, {"pid": os.getpid()}, epochs=1, model_sha256=sha256)

    def close(self) -> None:
        pass

    def score(self, task: TrialTask) -> float:
        return float(self.setting["function"](task.number))

    def total(self, task: TrialTask) -> float:
        return float(self.setting["array"].sum())

    def variable(self, task: TrialTask, name: str) -> float:
        return float(os.environ[name])

    def meet(self, task: TrialTask, others: int) -> None:
        """Waits until so many trials have come here."""
        (Path(task.folder) / f"here-{task.number}").touch()
        wait_for(lambda: len(list(Path(task.folder).glob("here-*"))) >= others)

    def wait(self, task: TrialTask, name: str) -> None:
        wait_for((Path(task.folder) / name).exists)

    def once(self, task: TrialTask, *action: Any) -> None:
        """Does it in the trial's first attempt."""
        mark = Path(task.folder) / f"tried-{task.number}"
        if not mark.exists():
            mark.touch()
            getattr(self, action[0])(task, *action[1:])

    def kill(self, task: TrialTask, signal: int) -> None:
        os.kill(os.getpid(), signal)
        time.sleep(PATIENCE)

    def leave(self, task: TrialTask, status: int) -> None:
        os._exit(status)

    def leave_child(self, task: TrialTask) -> None:
        """Dies, and leaves a process that holds what it had open."""
        if os.fork() == 0:
            time.sleep(1.5)
        os._exit(3)

    def hold(self, task: TrialTask, size: int) -> None:
        self.hoard.append(bytearray(os.urandom(1)) * size)

    def need(self, task: TrialTask, size: int) -> None:
        """Takes memory until its group has ended."""
        self.needed.append(bytearray(os.urandom(1)) * size)

    def sleep(self, task: TrialTask, seconds: float) -> None:
        time.sleep(seconds)

    def block(self, task: TrialTask) -> None:
        """A call that never gives the interpreter to another thread."""
        ctypes.PyDLL(None).sleep(PATIENCE)

    def spin(self, task: TrialTask) -> None:
        while True:
            pass

    def multiply(self, task: TrialTask) -> None:
        """A long call of TensorFlow."""
        import tensorflow as tf

        matrix = tf.ones((2000, 2000))
        (Path(task.folder) / "multiplying").touch()
        while True:
            matrix = tf.linalg.matmul(matrix, matrix) * 0

    def say(self, task: TrialTask, text: str) -> None:
        print(text)
        print(text, file=sys.stderr)

    def fill_disk(self, task: TrialTask) -> None:
        raise OSError(28, "No space left on device", "states/x.npz")

    def lose_state(self, task: TrialTask) -> None:
        raise SaveError("states/x.npz cannot be written: No space left on device")

    def refuse(self, task: TrialTask) -> None:
        raise DataError("labels out of range")

    def break_down(self, task: TrialTask) -> None:
        raise KeyError("a mistake")

    def exit(self, task: TrialTask) -> None:
        sys.exit(7)

    def add_state(self, task: TrialTask, text: str) -> float:
        """Adds to the trial's state, or to its parent's where it has none; the score is its length."""
        own = state_path(task.folder, task.number, 0)
        parent = None if task.parent is None else state_path(task.folder, task.parent, 0)
        source = own if own.exists() else parent
        before = source.read_text() if source is not None and source.exists() else ""
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(before + text)
        return float(len(before + text))

    def save_model(self, task: TrialTask, text: str) -> None:
        path = model_path(task.folder, task.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class CannotStart:
    """A runner that is none."""

    def __init__(self, setting: Any) -> None:
        raise RuntimeError("no such device")
