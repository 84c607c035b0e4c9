"""Starts work in processes of its own, kills it, and says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST = 120.0  # seconds that any work may take before it is held to hang


class ForkServer:
    """Starts work in processes of its own and kills it; see `fork_server.py`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        command = [sys.executable, str(ROOT / "tests" / "faults" / "fork_server.py")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._pid: int | None = None
        assert self._server.stdout.readline() == "ready\n"

    def start(self, work: str, *arguments: object) -> None:
        """Begins some work; the work before it has ended."""
        self.log.write_text("")
        self._server.stdin.write(json.dumps([work, str(self.log), *arguments]) + "\n")
        self._server.stdin.flush()
        self._pid = int(self._server.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the work, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def wait(self) -> int:
        """The exit code of the work; what does not end is killed."""
        watchdog = threading.Timer(LONGEST, self.send, [signal.SIGKILL])
        watchdog.start()
        try:
            return int(self._server.stdout.readline())
        finally:
            watchdog.cancel()

    def run(self, work: str, *arguments: object) -> float:
        """Does some work to its end, which has to be a good one; the seconds that it took."""
        started = time.monotonic()
        self.start(work, *arguments)
        code = self.wait()
        assert code == 0, self.log.read_text()
        return time.monotonic() - started

    def close(self) -> None:
        """Ends the server, and what it may have left running."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()
        self._server.stdin.close()
        self._server.stdout.close()


def kill_once(server: ForkServer, work: Sequence[object], number: signal.Signals, seconds: float) -> str:
    """Kills some work after so many seconds; the signal's name, or "too late" where it had ended by then.

    To SIGTERM it has to answer in order: one line, exit code 130.
    """
    server.start(*work)
    time.sleep(seconds)
    server.send(number)
    code = server.wait()
    text = server.log.read_text()
    in_order = {0, 130, -signal.SIGTERM}  # the last one where it comes when the script has given its own answer up
    assert code in ({0, -signal.SIGKILL} if number == signal.SIGKILL else in_order), text
    assert "Traceback" not in text, text
    assert code != 130 or [line[:11] for line in text.splitlines()] == ["interrupted"], text
    return "too late" if code in {0, -signal.SIGTERM} else number.name
