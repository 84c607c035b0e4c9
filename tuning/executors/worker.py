"""A worker process: both ends of its channel.

`WorkerProcess` is the end in the search; `main` is the other one, run by `python -m tuning.executors.worker`. The channel
is a pair of sockets that only these two hold: when the search dies, however it dies, the worker reads the end of the
channel and goes too. What both kinds of workers (here and on a Ray cluster) have in common stands first.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import IO, Any

from tuning.task import TrialTask
from zoo.errors import UsageError, ZooError

# ("ready", None), ("progress", TrialProgress), ("outcomes", list[TrialOutcome]), ("error", Exception)
Message = tuple[str, Any]

_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)
_TAIL = 4096  # bytes of standard error that are kept
_PATIENCE = 2.0  # seconds that a worker has to go when it is asked to


class WorkerLost(Exception):  # noqa: N818  (it is what happened, not what went wrong in this process)
    """A worker is no more; the message says how it went, `words` what it last wrote to standard error."""

    def __init__(self, how: str, words: str = "") -> None:
        super().__init__(how)
        self.words = words


def pack(setting: Any) -> list[Any]:
    """A setting as bytes-like parts: a pickle, then the memory of its arrays, which is not copied.

    What is defined in a script or a notebook goes along by value, so the receiver need not run them.

    Raises:
        UsageError: something in it cannot be pickled.
    """
    import cloudpickle

    arrays: list[pickle.PickleBuffer] = []
    try:
        return [cloudpickle.dumps(setting, protocol=5, buffer_callback=arrays.append), *(a.raw() for a in arrays)]
    except Exception as error:
        raise UsageError(
            f"the model or the data cannot be sent to workers: {_one_line(error)}; use executor='inline'"
        ) from error


def make_runner(path: str, parts: Sequence[Any]) -> Any:
    """What runs the trials of a packed setting; `path` is "module:class"."""
    module, _, name = path.partition(":")
    setting = pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301  (from the search itself, never from a file)
    return getattr(importlib.import_module(module), name)(setting)


def run_group(runner: Any, group: Sequence[TrialTask], tell: Callable[[Message], None]) -> Message:
    """Runs trials; the message that ends them. What the runner lets through becomes an error that any process can read."""
    try:
        return "outcomes", runner.run(group, lambda progress: tell(("progress", progress)))
    except Exception as error:
        if isinstance(error, OSError | ZooError) and type(error).__module__ in ("builtins", "zoo.errors"):
            return "error", error
        numbers = ", ".join(str(task.number + 1) for task in group)
        surprise = ZooError(f"trial {numbers} broke its worker: {_one_line(error)}")
        surprise.add_note("".join(traceback.format_exception(error)))
        return "error", surprise


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a worker: its threads, and the modules that the search can import."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # or the first worker takes the whole GPU
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),  # noqa: PTH109
    }


class WorkerProcess:
    """A process that runs trials, as the search sees it.

    Args:
        environment: added to this process's own.

    Attributes:
        channel: what `multiprocessing.connection.wait` takes.
        pid: of the process.
        ready: whether it takes trials.
        work: what it works at; kept by the executor.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.ready = False
        self.work: Any = None
        self.channel, theirs = multiprocessing.Pipe()
        number = str(theirs.fileno())
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "tuning.executors.worker", number, str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **environment},
            )
        self.pid = self._process.pid
        self._tail = bytearray()
        self._reader = threading.Thread(target=_keep_tail, args=(self._process.stderr, self._tail), daemon=True)
        self._reader.start()

    def prepare(self, runner: str, parts: Sequence[Any]) -> None:
        """Sends the setting; "ready" comes when the runner has been made of it."""
        with contextlib.suppress(OSError):  # it is dead: `receive` will say so
            self.channel.send((runner, len(parts)))
            for part in parts:
                self.channel.send_bytes(part)

    def give(self, group: Sequence[TrialTask]) -> None:
        """Sends trials."""
        self._tail.clear()
        with contextlib.suppress(OSError):
            self.channel.send(group)

    def has_died(self) -> bool:
        """Whether the process has ended, and everything that it said has been received."""
        return self._process.poll() is not None and not self.channel.poll()

    def receive(self) -> list[Message]:
        """What the worker says next.

        Raises:
            WorkerLost: it will say nothing more.
        """
        with contextlib.suppress(EOFError, OSError):
            if not self.has_died():  # a process that it forked may hold the channel open
                return [self.channel.recv()]
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise WorkerLost("it closed its channel", self.words()) from None
        self._reader.join(_PATIENCE)
        how = f"killed by signal {-code}" if code < 0 else f"it ended with exit status {code}"
        said = self.words().partition("Fatal Python error")[0].strip()  # what faulthandler adds goes to the traceback
        raise WorkerLost(f"{how}; it said: {said.splitlines()[-1]}" if said else how, self.words())

    def words(self) -> str:
        """The last of what it wrote to standard error since it was given its trial."""
        return self._tail.decode(errors="replace").strip()

    def end(self) -> None:
        """Returns when the process is gone: asked to go by SIGTERM, killed when it does not."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._process.kill()
        self._process.wait()
        self.channel.close()
        self._reader.join(_PATIENCE)


def _one_line(error: Exception) -> str:
    return " ".join([type(error).__name__ + ":", *str(error).strip().splitlines()[:1]])


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    with stream:
        while chunk := stream.read(_TAIL):
            tail += chunk
            del tail[:-_TAIL]


def _end_with(parent: int) -> None:
    """Has the system kill this process with its parent: the thread that listens may wait long for a busy interpreter.

    Linux means the parent's thread that started it, which here is the one that runs the search.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)  # it was gone before


def _listen(channel: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    """Puts what comes into the inbox, and ends the process when the search is gone, whatever the main thread does."""
    try:
        runner, count = channel.recv()
        inbox.put((runner, [bytearray(channel.recv_bytes()) for _ in range(count)]))  # writable, as arrays are
        while True:
            inbox.put(channel.recv())
    except (EOFError, OSError):
        pass
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(1)


def main(descriptor: int, parent: int) -> None:
    """Runs the trials that come through the channel until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the search decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.set_inheritable(descriptor, False)
    _end_with(parent)
    faulthandler.enable()
    channel: Connection = Connection(descriptor)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()
    runner = make_runner(*inbox.get())
    channel.send(("ready", None))
    while True:
        channel.send(run_group(runner, inbox.get(), channel.send))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
