"""A contestant's process, and what every race writes down of it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import machine
import samples

SETTLE = 0.2  # seconds of rest before a turn, in which spinning threads of the one before fall asleep


class ChildError(Exception):
    """A contestant's process ended before its work did; the message is the last line of its standard error."""


class Child:
    """A contestant's process.

    Args:
        spec: the JSON document that the worker takes.
        worker: the script that it runs, which does `stopwatch.work`.
    """

    def __init__(self, spec: Mapping[str, Any], worker: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(  # noqa: S603  (this interpreter, a file of this folder)
            [sys.executable, str(worker), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches the race alone, which then ends its children
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        below = machine.processes_below(self._process.pid)  # some of Ray's have groups of their own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for number in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def go(self) -> None:
        """Tells it to run the next turn; after the last one, to come to its end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is found when its answer is read
            print("go", file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """Its next answer.

        Raises:
            ChildError: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), None)
        if code < 0:  # its last words were about something else
            raise ChildError(f"killed by signal {-code}")
        raise ChildError(last or f"ended with exit code {code}")


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """What became of a contestant; the results of all races are such.

    Attributes:
        others: share of the machine's cores that other programs took, one value a turn.
        problem: why there are no numbers: a missing package, missing data, or the last words of a process that failed.
        failed: whether that is an error.
    """

    others: list[float] = dataclasses.field(default_factory=list)
    problem: str | None = None
    failed: bool = False

    def fail(self, error: ChildError) -> None:
        """Writes down that its process has failed."""
        self.problem, self.failed = f"failed: {error}", True


def missing(*packages: str, data: str = "") -> str | None:
    """Why a contestant cannot take part, or `None`.

    Args:
        packages: what it imports.
        data: what it loads by `zoo.load_dataset`; MNIST must lie prepared, so that nothing is downloaded.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    if data == "mnist" and not samples.is_prepared(data):
        return "skipped: TFDS has no MNIST prepared (TFDS_DATA_DIR)"
    return None
