"""Processes to be killed while they write, and what lies in a folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def running(code, *arguments):
    """A Python process that has printed a line; killed with SIGKILL at the latest on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        kill(process)
        process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def fill(context, name, error):
    """Writes to what `context` yields (or to a file in it) and fails."""
    with context as temporary:
        (temporary / name).write_text("half")
        raise error


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def all_of(folder):
    """Calls every file of a folder our own."""
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
