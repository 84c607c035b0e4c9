"""Work that is to be killed, each time in a process of its own that need not import TensorFlow first.

Says that it is ready, reads lines of JSON from standard input, `[work, log file, arguments...]`, and answers each with the pid of the process that does
it, and with its exit code when it has ended.

That it forks is safe: TensorFlow begins its threads with its first operation, which is the work's, and those that OpenBLAS and jemalloc have by then
are made for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import command
import numpy as np

import tuning
import zoo
import zoo.reporting.page
import zoo.training.trainer
from zoo.exporting import checking
from zoo.features import cache
from zoo.training import records, state


def train(folder: str, epochs: int) -> None:
    """Trains with everything written as often as can be."""
    state._SAVE_EVERY, state._SHARE, records._SAVE_EVERY = 0.0, 1e9, 0.1
    data = zoo.load_dataset("digits", limit=300)
    model = zoo.build("softmax", data.input_shape, 10, l2=1e-3)
    zoo.train(model, data, zoo.Recipe(epochs=epochs, batch_size=32), output_dir=folder, verbose=False)


def search(folder: str, epochs: int) -> None:
    """Searches one by one and in groups, with states as often as can be."""
    state._SAVE_EVERY, state._SHARE = 0.0, 1e9
    values = {"l2": [0.0, 1e-3], "learning_rate": [0.01, 0.1], "units": [4]}
    options = {"method": "grid", "recipe": zoo.Recipe(epochs=epochs, batch_size=32), "verbose": False}
    tuning.search("mlp", zoo.load_dataset("digits", limit=150), values=values, directory=folder, **options)


def export(folder: str) -> None:
    """Replaces an export by another one, again and again: of a model with the weights 0, and of one with the weights 1."""
    checking._LATENCY_SECONDS = 0.0
    data, model = zoo.load_dataset("blobs"), zoo.build("softmax", (2,), 2)
    for i in itertools.count():
        model.set_weights([np.full((2, 2), i % 2), np.array([0.0, i % 2])])
        zoo.export(model, folder, check_with=data.test)


def keep_features(folder: str) -> None:
    """Computes rows of features into the cache, and tells often how far it is."""
    os.environ["ZOO_CACHE_DIR"] = folder
    cache._SAVE_EVERY = 0.0

    def fill(array, first, on_rows):
        for row in range(first, len(array), 10):
            array[row : row + 10] = np.arange(row, row + 10)[:, None]
            on_rows(row + 10)

    cache.stored("a" * 64, (1000, 3), np.dtype("float32"), fill, {})


def report(folder: str) -> None:
    """Writes a page and its pictures again and again, under two titles."""
    data = zoo.load_dataset("digits", limit=100)
    for i in itertools.count():
        zoo.write_report(Path(folder) / "report.html", data=data, title="AB"[i % 2], plots=Path(folder) / "plots")


WORK = {work.__name__: work for work in (train, search, export, keep_features, report)}


def _work(name: str, log: str, arguments: list) -> None:
    """Does something as the scripts do, with their answer to SIGTERM, and ends the process."""
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), *[(log, os.O_WRONLY | os.O_CREAT)] * 2]):
        os.dup2(os.open(path, flags, 0o644), number)

    def act(_: argparse.Namespace) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # from here on a script would hear it
        WORK[name](*arguments)

    code = command.run(argparse.ArgumentParser(), act, [], resumable=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serves until standard input ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("ready", flush=True)
    for line in sys.stdin:
        name, log, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _work(name, log, arguments)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
