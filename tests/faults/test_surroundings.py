"""Standard output that is closed or full, and a clock that is set back."""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import command
import pytest

import tuning
import zoo
from zoo.storage import DirectoryLock, write_text

SCRIPTS = Path(__file__).parents[2] / "scripts"
PRINT = f"""
import argparse, os, sys
sys.path.insert(0, {str(SCRIPTS)!r})
import command

def act(args):
    print("said" * {{count}})
    with open({{file!r}}, "w") as file:  # under the next number that is free
        if {{native}}:
            os.write(1, b"from native code")
        file.write("written")

sys.exit(command.run(argparse.ArgumentParser(), act, []))
"""


def run(tmp_path, redirection, count=1):
    """(exit code, standard error, what was written) of a script that prints and writes a file."""
    file = tmp_path / "file"
    program = tmp_path / "program.py"
    program.write_text(PRINT.format(count=count, file=str(file), native="full" not in redirection))
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$1" {redirection}', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    return done.returncode, done.stderr, file.read_text() if file.is_file() else ""


@pytest.mark.skipif(sys.platform == "win32", reason="redirections are those of a POSIX shell")
@pytest.mark.parametrize("redirection", [">&-", ">&- <&-"])
def test_closed_standard_output_is_no_failure_and_gets_into_no_file(tmp_path, redirection):
    assert run(tmp_path, redirection) == (0, "", "written")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("count", [1, 10_000])  # found at the end, and in the middle
def test_standard_output_that_takes_nothing_is_one_line(tmp_path, count):
    code, said, _ = run(tmp_path, "> /dev/full", count)
    assert code == 1
    assert said == "error: standard output cannot be written: No space left on device; direct it to another place\n"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EPIPE])
def test_an_error_of_another_file_is_not_that_of_standard_output(capfd, number):
    """A bad disk gives one without a file's name when it is read, NumPy when it writes; a worker may leave a pipe."""

    def act(_):
        print("said before")
        raise OSError(number, os.strerror(number))

    assert command.run(argparse.ArgumentParser(), act, []) == 1
    print("said after")
    assert capfd.readouterr() == ("said before\nsaid after\n", f"error: {os.strerror(number)}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_another_error_is_told_though_standard_output_takes_nothing(tmp_path):
    (tmp_path / "file").mkdir()
    code, said, _ = run(tmp_path, "> /dev/full")
    assert (code, said) == (1, f"error: {tmp_path / 'file'}: Is a directory\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe is that of a POSIX shell")
def test_a_reader_that_goes_is_no_traceback(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PRINT.format(count=100_000, file=str(tmp_path / "file"), native=False))
    done = subprocess.run(
        ["sh", "-c", '{ "$0" "$1"; echo $? >&2; } | head -c 1', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("s", "1\n")


@pytest.fixture
def clock_set_back(monkeypatch):
    """A clock that goes back by an hour whenever somebody looks at it."""
    hours = itertools.count()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(hours))


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, clock_set_back):
    data = zoo.load_dataset("blobs", limit=60)
    search = {"method": "random", "max_trials": 2, "max_seconds": 600, "recipe": zoo.Recipe(epochs=1)}
    result = tuning.search("softmax", data, directory=tmp_path / "search", verbose=False, **search)
    assert list(result.table["status"]) == ["completed"] * 2
    run = zoo.train(zoo.build("softmax", (2,), 2), data, zoo.Recipe(epochs=1), output_dir=tmp_path, verbose=False)
    for seconds in (run.seconds, *run.history["seconds"], *result.table["seconds"]):
        assert 0 < seconds < 600
    with DirectoryLock(tmp_path):
        for text in ("old", "new"):
            os.utime(write_text(tmp_path / "a.txt", text), (2e9, 2e9))  # files of the future are replaced too
    assert (tmp_path / "a.txt").read_text() == "new"
