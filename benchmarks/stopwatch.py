"""What a contestant's process sees of the race: its job, where it answers, and the stopwatch that it stops after each epoch."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

import machine
import samples
from tasks import Task


@dataclasses.dataclass(frozen=True)
class Job:
    """What a contestant is asked to do.

    Attributes:
        task: model, data and optimizer.
        precision: "float32" or "bfloat16"; of the input pipeline, the augmentation.
        images: training images an epoch.
        file: what `samples.prepare` wrote.
        is_mnist: whether that file holds MNIST as TFDS has prepared it.
    """

    task: Task
    precision: str
    images: int
    file: Path
    is_mnist: bool = False

    @property
    def dtype(self) -> str:
        """The precision as a Keras dtype policy."""
        return "mixed_bfloat16" if self.precision == "bfloat16" else "float32"

    def arrays(self) -> samples.Arrays:
        """The data, with as many training images as the job says."""
        return samples.read(self.file, self.images)


class Stopwatch:
    """Runs in a contestant's process: waits for "go" on standard input, and answers with the seconds of a turn.

    Args:
        channel: where answers go, one JSON document a line.
        turns: epochs of each turn. The first one traces and compiles.
    """

    def __init__(self, channel: TextIO, turns: list[int]) -> None:
        self._channel, self._turns = channel, list(turns)
        self.epochs = sum(turns)
        self._done, self._started, self._worked = 0, 0.0, 0.0
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ready(self, weights: int | None = None) -> None:
        """Says that the model (of so many trainable weights) is built, and waits for the first "go"."""
        self.send("ready", weights=weights)
        self._wait()

    def lap(self) -> None:
        """To be called after every epoch. Where a turn ends, reports its time and blocks until the next "go"."""
        self._done += 1
        if self._done < self._turns[0]:
            return
        seconds, worked = time.perf_counter() - self._started, machine.worked_seconds() - self._worked
        self.send("turn", seconds=seconds / self._turns.pop(0), worked=worked, **memory())
        self._done = 0
        self._wait()

    def send(self, event: str, **facts: Any) -> None:
        """Writes one line to the race."""
        print(json.dumps({"event": event, **facts}), file=self._channel, flush=True)

    def _wait(self) -> None:
        self._lines.get()
        self._worked, self._started = machine.worked_seconds(), time.perf_counter()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(1)  # the race has ended, however it did: nobody is left who could end this process


def work(action: Callable[[dict[str, Any], TextIO], None]) -> NoReturn:
    """Does what a process of `child.Child` is for, and ends it: with exit code 1 after an error, whose traceback it prints.

    Args:
        action: takes the job, which is the first argument of the command line as JSON, and the channel for answers. That is
            what was standard output; what libraries print goes to standard error.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        action(json.loads(sys.argv[1]), channel)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    channel.flush()
    os._exit(0)  # at once: threads and destructors that are left would only keep the others waiting


def memory(process: int | str = "self") -> dict[str, float | None]:
    """Resident memory of a process and its peak in MB, as Linux counts them; `None` elsewhere, and once it has ended."""
    found: dict[str, float | None] = {"resident": None, "peak": None}
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found["resident" if name == "VmRSS" else "peak"] = int(value.split()[0]) * 1024 / 1e6
    return found
