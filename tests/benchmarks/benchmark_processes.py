"""Benchmarks in processes of their own, and the tables that they write."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def start(script, folder, *arguments):
    """A script in a process of its own; its files, and so its children's command lines, are below `folder`."""
    environment = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"} | {"TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )


def check_wrong_usage(script, folder, *arguments):
    process = start(script, folder, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


def check_no_child_outlives(process, folder, number, *, children=1):
    """Sends a signal to a benchmark that has so many processes below `folder`: all of them end, and what they left goes."""
    deadline = time.monotonic() + 60
    while len(below(folder)) < children and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(below(folder)) >= children
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        assert err.splitlines()[-1] == "interrupted"
    while below(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert below(folder) == []
    if number != signal.SIGKILL:
        assert not list(folder.glob("*-benchmark-*"))


def below(folder):
    """Numbers of the processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder) in path.read_text():
                found.append(path.parent.name)
        except OSError:  # it has just ended
            continue
    return found


def rows_of(text):
    return [re.split(r"\s*\|\s*", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


def check_targets(targets, expected):
    """`expected` is {claim: (value, whether it is met)}; of all others nothing is known."""
    found = {target.claim: target for target in targets}
    for claim, (value, met) in expected.items():
        assert found[claim].measured == pytest.approx(value)
        assert found[claim].is_met is met
    unknown = [target for claim, target in found.items() if claim not in expected]
    assert all(target.measured is None and target.is_met is None for target in unknown)
    assert len(found) == 17
