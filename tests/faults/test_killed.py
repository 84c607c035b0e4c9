"""`kill -9` and SIGTERM at random moments; `make faults` does it many times more often."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import signal
import sys
import time

import command
import numpy as np
import pytest
from fork_client import ForkServer
from full_disks import everything
from killing import ROUNDS

import tuning
import zoo
from tuning.journal import Journal
from zoo.storage import DirectoryLock
from zoo.training.state import State, StateSaver

# kill -9 of training: tests/zoo/training/test_state.py, of search: tests/tuning/test_tuning_kill.py, of export:
# tests/zoo/exporting/test_loading.py; SIGTERM to them: below.
COUNTS = {"features": 4, "report": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = ForkServer(tmp_path_factory.mktemp("server") / "log")
    yield server
    server.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and processes are those of POSIX")
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_killed_leaves_nothing_half(server, tmp_path, name):
    rounds = ROUNDS[name](server, tmp_path, random.Random(0))
    rounds.kill(COUNTS[name])
    assert rounds.seen["SIGKILL"] == rounds.seen["SIGTERM"] == COUNTS[name] // 2


def be_stopped():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)


@pytest.mark.parametrize(
    ("script", "where", "option"), [("train", "StateSaver", "output"), ("tune", "Journal", "directory")]
)
def test_sigterm_ends_in_order_and_says_how_to_go_on(tmp_path, monkeypatch, capsys, script, where, option):
    """It comes just when something has been saved; what comes at other moments is in `make faults`."""
    monkeypatch.setattr("zoo.training.state._SAVE_EVERY", 0.0)
    kind = {"StateSaver": StateSaver, "Journal": Journal}[where]
    method = "save" if where == "StateSaver" else "append"
    save = getattr(kind, method)

    def save_and_be_stopped(*arguments):
        save(*arguments)
        if where == "StateSaver" or arguments[1]["kind"] == "trial":
            be_stopped()

    monkeypatch.setattr(kind, method, save_and_be_stopped)
    arguments = ["--model", "softmax", "--dataset", "blobs", "--epochs", "2", f"--{option}", str(tmp_path / "x")]
    code = importlib.import_module(script).main(arguments)
    assert code == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("interrupted; to continue: python ")
    assert last.endswith(" ".join(arguments))
    with DirectoryLock(tmp_path / "x"):  # nobody holds it
        pass
    assert not list((tmp_path / "x").rglob(".zoo-*"))
    if script == "train":
        assert State.load(tmp_path / "x" / "state.npz").facts["epoch"] == 1
    else:
        assert len(tuning.load_result(tmp_path / "x").table) == 1


def test_sigterm_leaves_the_old_export(tmp_path, monkeypatch, capsys):
    """It comes when the new one has been written and its first file is on the disk."""
    data, model = zoo.load_dataset("blobs", limit=60), zoo.build("softmax", (2,), 2)
    zoo.export(model, tmp_path / "e", formats="keras", check_with=data.test)
    before = everything(tmp_path)
    synced = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced(descriptor), be_stopped()))
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    parser = argparse.ArgumentParser()
    assert command.run(parser, lambda _: zoo.export(model, tmp_path / "e", check_with=data.test), []) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert everything(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


def test_an_interruption_that_native_code_has_made_another_error_of_is_one_still(capsys):
    """TensorFlow does that when the signal comes while it makes an error of its own."""

    def act(_):
        with contextlib.suppress(KeyboardInterrupt):
            be_stopped()
        raise RuntimeError("error_already_set: REPLACED BY KeyboardInterrupt")

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], sys.unraisablehook
    assert command.run(argparse.ArgumentParser(), act, []) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert ([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], sys.unraisablehook) == before
    with pytest.raises(RuntimeError, match="error_already_set"):
        command.run(argparse.ArgumentParser(), act, ["--debug"])


def test_an_error_long_after_an_interruption_that_a_library_has_swallowed_is_told(monkeypatch, capsys):
    monkeypatch.setattr("interruption._LASTS", 0.0)

    def act(_):
        with contextlib.suppress(KeyboardInterrupt):
            be_stopped()
        raise zoo.DataError("there are no images")

    assert command.run(argparse.ArgumentParser(), act, []) == 1
    assert capsys.readouterr().err == "error: there are no images\n"


def test_an_interruption_that_python_drops_comes_again(capsys):
    """What is raised in a `__del__` goes no further."""

    class Stopped:
        def __del__(self):
            be_stopped()

    def act(_):
        Stopped()
        time.sleep(10)  # and would end well

    assert command.run(argparse.ArgumentParser(), act, []) == 130
    assert capsys.readouterr().err == "interrupted\n"
