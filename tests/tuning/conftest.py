from __future__ import annotations

import hashlib
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tuning import executors
from tuning.task import TrialOutcome, TrialTask, is_kept, model_path, state_path
from zoo.storage import sha256_of_file


@pytest.fixture(scope="session")
def blobs() -> zoo.DataSplits:
    return zoo.load_dataset("blobs", limit=60, validation=0.3)


@pytest.fixture(scope="session")
def digits() -> zoo.DataSplits:
    return zoo.load_dataset("digits", limit=200, validation=0.3)


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """All runners of a file share their models, as the trials of one search do: each structure is traced once.

    What a program trained before changes nothing; `test_a_model_is_traced_once_a_structure` compares with a fresh one.
    """
    from tuning.space_runs import SpaceRunner

    kept: dict[tuple[Any, ...], Any] = {}
    make = SpaceRunner.__init__

    def make_sharing(runner: SpaceRunner, setting: Any, **options: Any) -> None:
        make(runner, setting, **options)
        if setting.data.train.store is not None:
            runner._programs = kept.setdefault(_kind_of(setting), runner._programs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpaceRunner, "__init__", make_sharing)
        patch.setattr(SpaceRunner, "close", lambda _: None)
        yield
    for programs in kept.values():
        programs.close()


def _kind_of(setting: Any) -> tuple[Any, ...]:
    """What programs of a setting know besides a structure: the builder, and the examples."""
    space, splits = setting.hypermodel, (setting.data.train, setting.data.validation)
    stores = [hashlib.sha256(split.store.array.tobytes()).hexdigest() for split in splits if split]
    scalings = [repr(split.scaling) for split in splits if split]
    copied = setting.folds if len({split.store for split in splits if split}) > 1 else None  # folds have one store
    return type(space), space.model_name, space.input_shape, space.num_classes, *stores, *scalings, copied


class FakeExecutor:
    """Scores the values themselves, at once; a model is a text file, a state too.

    Attributes:
        ran: numbers of the trials that were run to their end.
        sizes: of the groups that were submitted.
    """

    def __init__(self, *, fail: Callable[[int], bool], interrupt_at: int | None, pick: Callable[[int], int]) -> None:
        self.fail, self.interrupt_at, self.pick = fail, interrupt_at, pick
        self.ran: list[int] = []
        self.groups: list[list[TrialTask]] = []
        self.sizes: list[int] = []
        self.capacity = 1

    def submit(self, group: list[TrialTask]) -> None:
        assert len(self.groups) < self.capacity
        self.groups.append(group)
        self.sizes.append(len(group))

    def next_outcomes(self) -> tuple[list[TrialTask], list[TrialOutcome]]:
        group = self.groups.pop(self.pick(len(self.groups)))
        if any(task.number == self.interrupt_at for task in group):
            raise KeyboardInterrupt
        return group, [self.run(task) for task in group]

    def run(self, task: TrialTask) -> TrialOutcome:
        self.ran.append(task.number)
        epochs = (task.epochs or 1) - task.initial_epoch
        if self.fail(task.number):
            return TrialOutcome("failed", reason="RuntimeError: as asked", epochs=epochs, seconds=0.5)
        if task.parent is not None:
            assert state_path(task.folder, task.parent, 0).exists()
        if task.pause:
            self.write(state_path(task.folder, task.number, 0), f"state {task.number}")
        values = task.hyperparameters["values"]
        numbers = [v for k, v in values.items() if isinstance(v, float | int) and not k.startswith("tuner/")]
        score = math.sin(1000 * math.fsum(numbers)) + 0.01 * (task.epochs or 0)
        sha256 = None
        if is_kept(score, task, "max"):
            sha256 = sha256_of_file(self.write(model_path(task.folder, task.number), f"trial {task.number}"))
        metrics = {"val_accuracy": score, "loss": -score}
        return TrialOutcome("completed", score, metrics, epochs=epochs, seconds=0.5, model_sha256=sha256)

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def __enter__(self) -> FakeExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.groups.clear()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeExecutor]:
    """Installs the executor "fake" and returns it."""

    def install(
        *,
        fail: Callable[[int], bool] = lambda _: False,
        interrupt_at: int | None = None,
        pick: Callable[[int], int] = lambda _: 0,
    ) -> FakeExecutor:
        executor = FakeExecutor(fail=fail, interrupt_at=interrupt_at, pick=pick)

        def make(setting: Any, *, workers: int, address: str | None, on_progress: Any) -> FakeExecutor:
            executor.capacity = workers
            return executor

        monkeypatch.setitem(sys.modules, "fake_executor", types.SimpleNamespace(make=make))
        monkeypatch.setitem(executors.EXECUTORS, "fake", ("fake_executor", "make"))
        return executor

    return install
