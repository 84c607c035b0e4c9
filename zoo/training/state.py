"""Pause and resume: all that a training needs to go on as if it had never stopped, in one file.

Weights (moving statistics too), the optimizer's slots and iterations, every seed generator, the place in the data, early
stopping, and the records so far. One mechanism for runs that were killed and for trials that are paused at a rung.
"""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.errors import ZooError, one_line
from zoo.storage import atomic_path

if TYPE_CHECKING:
    from zoo.training.program import Program
    from zoo.training.records import EpochRecords
    from zoo.training.validation import Validations

_SAVE_EVERY = 5.0  # seconds; what a killed process loses at most
_SHARE = 0.02  # of the time that saving may take; a large model is saved less often


class State:
    """A paused training as plain values and arrays.

    Attributes:
        facts: JSON values: `phase`, `epoch` (the next one, counted from 0 through all phases), `step` in it, `seconds` so
            far, and the states of validations and records.
        arrays: "model/N", "optimizer/N", "metrics/N", "best/N", "losses", "steps".
    """

    def __init__(self, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.facts, self.arrays = facts, arrays

    def group(self, name: str) -> list[np.ndarray]:
        """The arrays "name/0", "name/1", ..."""
        count = sum(key.startswith(f"{name}/") for key in self.arrays)
        return [self.arrays[f"{name}/{i}"] for i in range(count)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file atomically (.npz, which holds a checksum of each array).

        Raises:
            SaveError: the disk did not take it.
        """
        facts = np.frombuffer(json.dumps(self.facts).encode("utf-8"), np.uint8)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, facts=facts, **self.arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, of_weights: bool = False) -> State:
        """Reads a file that `save` wrote; nothing in it is executed.

        Args:
            path: the file.
            of_weights: whether the state has weights and no facts, as that of a model with a `fit` of its own.

        Raises:
            ZooError: the file is damaged, or none of ours.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():  # before anything is allocated that a header merely declares
                    _check_member(archive, member)
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            facts = json.loads(arrays.pop("facts").tobytes().decode("utf-8"))
            state = cls(facts, arrays)
            if not of_weights:
                _check_state(state)
        except Exception as error:  # of a dozen kinds: of ZIP, of NumPy's headers, of JSON, MemoryError
            raise ZooError(f"{path} is damaged ({one_line(error, 120)}); delete it to start again") from None
        return state


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raises a ValueError unless a member is an array that has all of its numbers, as `save` writes it."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename:.100} is compressed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell() or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename:.100} has not the numbers that it declares")


def _check_state(state: State) -> None:
    """Raises an error of any kind unless a state is what `take_state` gives; models and optimizers know their own arrays."""
    facts, records = state.facts, state.facts["records"]
    counts = [facts["phase"], facts["epoch"], facts["step"], records["phase_start"], records["phase_first_step"]]
    seconds = [facts["seconds"], records["elapsed"]]
    rows = [*records["epochs"], *records["earlier_validations"]]
    if not all(type(n) is int and 0 <= n < 2**53 for n in counts) or not all(0 <= s < math.inf for s in seconds):
        raise ValueError("it was taken nowhere")
    if not all(type(row["epoch"]) is int for row in rows) or not isinstance(facts["validations"], dict | None):
        raise ValueError("it has no records")
    if state.arrays["steps"].shape[1:] != (2,) or state.arrays["losses"].shape[1:] != (2,):
        raise ValueError("it has no losses")
    for name in ("model", "optimizer", "metrics", "best"):
        state.group(name)


def take_state(program: Program, records: EpochRecords, validations: Validations | None, seconds: float) -> State:
    """The state of a training between two gradient steps."""
    phase, (facts, steps) = records.phase, records.state()
    step = program.epochs.position[1]
    arrays = {"steps": steps, "losses": program.recorder.present()}
    groups = {"model": program.model.variables, "optimizer": program.model.optimizer.variables}
    if step:
        groups["metrics"] = program.metrics_variables
    for name, variables in groups.items():
        arrays |= {f"{name}/{i}": np.asarray(v.numpy()) for i, v in enumerate(variables)}
    of_validations = None
    if validations is not None:
        of_validations = validations.state()
        arrays |= {f"best/{i}": value for i, value in enumerate(validations.best_weights or [])}
    return State(
        {
            "phase": phase,
            "epoch": len(records.epochs),
            "step": step,
            "seconds": seconds,
            "records": facts,
            "validations": of_validations,
        },
        arrays,
    )


def put_state(state: State, program: Program, validations: Validations | None) -> None:
    """Brings a program and the validations of its phase to where `state` was taken; its records are restored by now.

    Raises:
        ZooError: the state is that of another model or optimizer.
    """
    model = program.model
    model.optimizer.build(program.learner.trainable_variables)  # a stream's program leaves that to the first step
    put_weights(state, model)
    _assign("optimizer", model.optimizer.variables, state.group("optimizer"))
    program.recorder.restore(state.arrays["losses"])
    if validations is not None and state.facts["validations"] is not None:
        validations.restore(state.facts["validations"], state.group("best") or None)
    if state.facts["step"]:
        program.epochs.skip_to(state.facts["step"], state.group("metrics"))


def put_weights(state: State, model: keras.Model) -> None:
    """Gives a model the weights that a state was taken with.

    Raises:
        ZooError: the state is that of another model.
    """
    _assign("model", model.variables, state.group("model"))


def _assign(name: str, variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise ZooError(
            f"the saved state is that of another {name}; delete the state file (state.npz of a run) to start again"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class StateSaver(keras.callbacks.Callback):
    """Saves the state at the end of an epoch, and between graph calls, when the last time was long enough ago.

    Args:
        path: the file.
        take: gives the state.
        pause_at: save also when this many epochs are done, or when training stops before.

    Attributes:
        sharing: how many trainings save one after the other, in the share of the time that saving may take.
    """

    sharing = 1

    def __init__(self, path: Path, take: Callable[[], State], *, pause_at: int | None = None) -> None:
        super().__init__()
        self._path, self._take, self._pause_at = path, take, pause_at
        self._saved, self._interval = time.monotonic(), _SAVE_EVERY

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if logs is not None and not math.isfinite(logs.get("loss", 0.0)):
            return  # nothing would come of it
        if self._pause_at is not None and (epoch + 1 == self._pause_at or self.model.stop_training):
            self.save()
        else:
            self.after_steps()

    def after_steps(self) -> None:
        """Saves if it is time; called between two gradient steps."""
        if time.monotonic() - self._saved >= self._interval:
            self.save()

    def save(self) -> None:
        """Saves now."""
        started = time.monotonic()
        self._take().save(self._path)
        self._saved = time.monotonic()
        self._interval = max(_SAVE_EVERY, self.sharing * (self._saved - started) / _SHARE)
