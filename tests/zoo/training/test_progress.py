"""What a training says of itself while it runs."""

from __future__ import annotations

import contextlib
import io
import sys

import zoo.startup

# isort: split
import keras
import pytest
from stock_twins import MODELS, assert_as_before, interrupt, recipe

import zoo
from zoo.training import epochs as epochs_module
from zoo.training import progress as progress_module
from zoo.training.progress import ProgressBar


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_a_long_epoch_tells_how_far_it_is_every_ten_seconds(clock, capfd):
    bar = ProgressBar(3, "epoch")
    bar.on_train_begin()
    times = []
    for second in range(1, 46):
        clock.now = 1000.0 + second
        bar.on_steps(second, 100)
        lines = capfd.readouterr().err.splitlines()
        times += [second] * len(lines)
        assert lines in ([], [f"epoch 1/3  step {second}/100"])
    assert times == [10, 20, 30, 40]
    clock.now += 7  # 12 s after the line of 40 s
    bar.on_epoch_end(0, {"loss": 1.0})
    assert capfd.readouterr().err.startswith("epoch 1/3  loss 1.0000")
    clock.now += 9
    bar.on_steps(5, 100)
    assert capfd.readouterr().err == ""
    clock.now += 1
    bar.on_steps(6, 100)
    assert capfd.readouterr().err == "epoch 2/3  step 6/100\n"


def test_short_epochs_tell_nothing_between_their_ends(digits, monkeypatch, capfd):
    monkeypatch.setattr(epochs_module, "_LONGEST_CALL", 0.0)
    zoo.train(MODELS["softmax"](), digits, recipe())
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "step" not in shown.err
    assert "epoch 2/2  loss" in shown.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", None])
def test_a_terminal_has_its_cursor_back_however_training_ends(digits, monkeypatch, hook):
    terminal, out = Terminal(), sys.stdout
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", out)  # put back, whatever happens
    monkeypatch.setenv("TERM", "xterm")
    model, callback = MODELS["softmax"](), keras.callbacks.Callback()
    if hook:
        setattr(callback, hook, interrupt)
    with pytest.raises(KeyboardInterrupt) if hook else contextlib.nullcontext():
        zoo.train(model, digits, recipe(), callbacks=[callback])
    assert_as_before(model)
    hidden, shown = (terminal.getvalue().count(code) for code in ("\x1b[?25l", "\x1b[?25h"))
    assert hidden == shown > 0
    assert (sys.stdout, sys.stderr) == (out, terminal)
