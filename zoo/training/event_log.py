"""TensorBoard's event files, written as an epoch ends.

TensorBoard's own writer does so in a thread, in which a full disk is a traceback that nobody asked for.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from zoo.appending import AppendedFile

_counter = itertools.count()


class EventLog:
    """One event file in a folder, under the name that TensorBoard looks for.

    Raises:
        SaveError: on writing too, when the disk does not take it.
    """

    def __init__(self, directory: Path) -> None:
        place = f"{socket.gethostname()}.{os.getpid()}.{next(_counter)}"
        self._writer = RecordWriter(AppendedFile(directory / f"events.out.tfevents.{int(time.time()):010d}.{place}"))
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Adds an epoch's measures; a process that is killed afterwards has written them."""
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(event_pb2.Event(wall_time=time.time(), step=epoch, summary=summary_pb2.Summary(value=values)))

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()

    def _write(self, event: event_pb2.Event) -> None:
        self._writer.write(event.SerializeToString())
