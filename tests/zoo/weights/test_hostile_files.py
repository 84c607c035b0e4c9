"""Files that were made to harm: each is refused by name in one line and little memory, and nothing in it is executed."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import subprocess
import sys
import time

import psutil
import pytest
import weight_files
from hostile_numpy_files import of_numpy
from hostile_pickles import DUDS, EXECUTED, ODD
from hostile_safetensors_files import RARE_KINDS, of_safetensors_files
from hostile_torch_files import of_legacy_files, of_torch
from hostile_zip_files import of_zip_files
from weight_files import (
    GOOD,
    ONLY,
    ROOT,
    WITH,
    pickled,
    write,
)

PATIENCE = 5  # seconds of computing for one file; the slowest that is refused as it should be takes well below one
WAITING = 200  # seconds for one file on a machine that computes other things
CONTAINERS = ("npy", "th", "pth")
TORCH = ("th", "pth")


def hostile_files():
    """Every case: its name -> a function that makes the file, given the one that it is to make when it is executed."""
    cases = {}
    for container in CONTAINERS:
        for case, opcodes in EXECUTED.items():
            cases[f"{container}: executed: {case}"] = lambda marker, c=container, o=opcodes: WITH[c](o(marker))
            cases[f"{container}: executed alone: {case}"] = lambda marker, c=container, o=opcodes: ONLY[c](o(marker))
        for case, opcodes in ODD.items():
            cases[f"{container}: odd: {case}"] = lambda marker, c=container, o=opcodes: ONLY[c](o)
    groups = {
        "npy": of_numpy(),
        "th": of_torch("th") | of_legacy_files(),
        "pth": of_torch("pth") | of_zip_files(),
        "safetensors": of_safetensors_files(),
    }
    for group, files in groups.items():
        for case, file in files.items():
            cases[f"{group}: {case}"] = lambda marker, f=file: f() if callable(f) else f
    return cases


HOSTILE = hostile_files()
# Of these nothing is asked but that they do no harm.
MAY_BE_READ = {"th: bfloat16 under many names", "pth: bfloat16 under many names"}
MAY_BE_READ |= {
    f"{container}: stride {of}, of more than can be counted"
    for container in TORCH
    for of in ("that is not used", "of no numbers")
}
MAY_BE_READ |= {f"safetensors: kind {kind}" for kind in RARE_KINDS}


class Reader:
    """A process of `weight_files.py`, and another one where it died or did not answer."""

    def __init__(self, folder, program=(weight_files.__file__,), patience=PATIENCE):
        self.folder, self.program, self.patience = folder, program, patience
        self.marker = folder / "executed"
        self.process = None

    def outcome(self, content):
        """What became of a file: (name of the error or "read", its message, whether something was executed)."""
        if self.process is None:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, *self.program, str(self.marker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                text=True,
            )
        path = write(self.folder / "weights.bin", content)
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answered = self.wait()
        line = self.process.stdout.readline() if answered else ""
        if line:
            return json.loads(line)
        self.process.kill()
        error = self.process.communicate()[1].strip().rpartition("\n")[2]
        self.process = None
        executed = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return ["the process died" if answered else f"no answer in {self.patience} seconds", error, executed]

    def wait(self):
        """Whether there is an answer, before the process has computed for too long: a busy machine takes no time from it."""
        process, deadline = psutil.Process(self.process.pid), time.monotonic() + WAITING
        begun = sum(process.cpu_times()[:2])
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            if sum(process.cpu_times()[:2]) - begun > self.patience or time.monotonic() > deadline:
                return False
        return True

    def close(self):
        """Ends the process, which then looks whether it imported too much."""
        if self.process is not None:
            _, error = self.process.communicate()
            assert self.process.returncode == 0, error


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(tmp_path_factory.mktemp("hostile"))
    yield reader
    reader.close()


def test_a_reader_that_never_answers_and_one_that_dies_are_noticed(tmp_path):
    endless = Reader(tmp_path, ("-c", "input()\nwhile True: pass"), patience=0.2)
    assert endless.outcome(b"") == ["no answer in 0.2 seconds", "", False]
    assert endless.process is None
    dying = Reader(tmp_path, ("-c", "input()\nraise SystemExit('killed')"))
    assert dying.outcome(b"") == ["the process died", "killed", False]


@pytest.mark.parametrize("case", EXECUTED)
def test_python_itself_would_execute_the_payloads(tmp_path, case):
    marker = tmp_path / "executed"
    with contextlib.suppress(Exception):
        pickle.loads(pickled(EXECUTED[case](marker)))
    assert marker.exists() == (case not in DUDS)


def test_the_process_reads_what_is_as_it_should_be(reader):
    for content in GOOD.values():
        assert reader.outcome(content) == ["read", "2", False]


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_little_memory(reader, case):
    kind, message, executed = reader.outcome(HOSTILE[case](reader.marker))
    assert not executed
    if case in MAY_BE_READ and kind == "read":
        return
    assert kind == "WeightsError", message
    assert message.startswith(f"{reader.folder / 'weights.bin'}: ")
    assert len(message.splitlines()) == 1
