from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tuning import executors
from tuning.trial import TrialOutcome, TrialTask, is_better
from zoo.storage import sha256_of_file


@pytest.fixture(scope="session")
def blobs() -> zoo.DataSplits:
    return zoo.load_dataset("blobs", limit=60, validation=0.3)


@pytest.fixture(scope="session")
def digits() -> zoo.DataSplits:
    return zoo.load_dataset("digits", limit=200, validation=0.3)


class FakeExecutor:
    """Scores the values themselves, at once; `model` is a text file."""

    def __init__(self, *, fail: Callable[[int], bool], interrupt_at: int | None) -> None:
        self.fail = fail
        self.interrupt_at = interrupt_at
        self.ran: list[int] = []

    def run(self, task: TrialTask) -> TrialOutcome:
        if task.number == self.interrupt_at:
            raise KeyboardInterrupt
        self.ran.append(task.number)
        if self.fail(task.number):
            return TrialOutcome("failed", reason="RuntimeError: as asked", epochs=1, seconds=0.5)
        values = task.hyperparameters["values"]
        numbers = [v for k, v in values.items() if isinstance(v, float | int) and not k.startswith("tuner/")]
        score = math.sin(1000 * math.fsum(numbers)) + 0.01 * (task.epochs or 0)
        sha256 = None
        assert task.save_to is not None
        if is_better(score, task.better_than, "max"):
            Path(task.save_to).parent.mkdir(exist_ok=True)
            Path(task.save_to).write_text(f"trial {task.number}")
            sha256 = sha256_of_file(task.save_to)
        metrics = {"val_accuracy": score, "loss": -score}
        return TrialOutcome("completed", score, metrics, task.epochs or 1, seconds=0.5, model_sha256=sha256)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeExecutor]:
    """Installs the executor "fake" and returns it."""

    def install(*, fail: Callable[[int], bool] = lambda _: False, interrupt_at: int | None = None) -> FakeExecutor:
        executor = FakeExecutor(fail=fail, interrupt_at=interrupt_at)

        def make(setting: Any) -> FakeExecutor:
            return executor

        monkeypatch.setitem(executors.EXECUTORS, "fake", make)
        return executor

    return install
