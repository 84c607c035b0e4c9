from __future__ import annotations

import io
import os
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning import progress, status
from tuning.progress import SearchProgress
from tuning.status import SearchStatus, trial_line
from tuning.task import TrialProgress


def trial(number, score=0.5, **changes):
    values = {"learning_rate": 0.123456, "units": "json:[8, 4]", "tuner/epochs": 3, "tuner/round": 1}
    status = "completed" if score is not None else "failed"
    return {
        "number": number,
        "status": status,
        "score": score,
        "reason": "RuntimeError: [red]",
        "seconds": 2.0,
        "values": values,
    } | changes


def shown(**options):
    return SearchProgress(**{"objective": "val_accuracy", "direction": "max", "total": 10} | options)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error a terminal of 100 columns; in the test, as pytest puts its own in place after the fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def install():
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return install


def test_a_trial_is_a_line():
    line = trial_line(trial(2, 0.97123), objective="val_accuracy", best=0.98, total=10)
    assert line == "trial 3/10  val_accuracy 0.9712  best 0.9800  2.0 s  epochs=3 learning_rate=0.1235 units=(8, 4)"
    line = trial_line(trial(0, None, values={}), objective="val_accuracy", best=None, total=None)
    assert line.startswith("trial 1  failed (RuntimeError: [red])  2.0 s")


def test_elsewhere_every_trial_is_a_line_on_standard_output(capsys):
    with shown() as live:
        live.started(0)
        live.on_progress(TrialProgress(0, 1.0, 3.0, 0.5))
        live.finished(trial(0), 0.5)
        live.note("a [bold] note")
        live.finished(trial(1, None), 0.5)
    out, err = capsys.readouterr()
    assert [line[:22] for line in out.splitlines()] == [
        "trial 1/10  val_accura",
        "a [bold] note",
        "trial 2/10  failed (Ru",
    ]
    assert err == ""


def test_silence_is_broken_by_what_is_running(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.05)
    with shown(done=3, failed=1, best=0.9) as live:
        live.started(4)
        live.on_progress(TrialProgress(3, 2.5, 10.0))
        time.sleep(0.3)
    time.sleep(0.05)
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 6
    assert lines[0].startswith("3/10 trials done  best 0.9000  failed 1  running 4 epoch 2.5/10, 5  left ")
    assert "search-progress" not in [thread.name for thread in threading.enumerate()]


def test_nothing_is_said_while_nothing_runs(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.02)
    with shown():
        time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_one_live_line(terminal, capsys):
    screen = terminal()
    with shown(done=2, failed=0, best=0.5) as live:
        live.started(2)
        live.on_progress(TrialProgress(2, 1.5, 3.0))
        live._bar.refresh()
        live.finished(trial(2, 0.75), 0.75)
        live.finished(trial(3, None), 0.75)
        live.finished(trial(4, None), 0.75)
    text = screen.getvalue()
    assert "2/10" in text
    assert "running 3 epoch 1.5/3" in text
    assert "5/10" in text
    assert "best 0.7500" in text
    assert "failed 2" in text
    assert text.count("failed (RuntimeError: [red])") == 1  # the first one, with its reason
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_terminal_is_left_clean(terminal, error):
    screen = terminal()
    before = sys.stdout, sys.stderr
    with pytest.raises(error), shown() as live:
        live.started(0)
        raise error
    text = screen.getvalue()
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0  # the cursor is shown again
    assert text.removesuffix("\x1b[?25h").endswith("\n")
    assert (sys.stdout, sys.stderr) == before


def test_the_line_stays_one_line_on_a_narrow_terminal(terminal, monkeypatch):
    terminal()
    monkeypatch.setenv("COLUMNS", "48")
    with shown(done=2, best=0.5) as live:
        for number in range(3):
            live.on_progress(TrialProgress(number, 1.5, 3.0))
        live._bar.refresh()
        rows = live._bar.console.render_lines(live._bar.get_renderable(), pad=False)
    assert len(rows) == 1
    assert "2/10" in "".join(segment.text for segment in rows[0])


def test_quiet_is_quiet(capsys, terminal):
    screen = terminal()
    with shown(verbose=False) as live:
        live.started(0)
        live.on_progress(TrialProgress(0, 1, 2))
        live.note("nothing")
        live.finished(trial(0), 0.5)
    assert capsys.readouterr().out == screen.getvalue() == ""


def test_a_broken_output_never_ends_the_search(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Broken())
    with shown() as live:
        live.finished(trial(0), 0.5)
        live.note("still here")
        live.finished({"number": 1}, None)  # a record that is none
    monkeypatch.setattr(sys, "stderr", None)
    with shown() as live:
        live.started(0)


def test_the_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(status.time, "monotonic", lambda: now[0])
    live = shown(total=5)
    assert live.status.time_left() == "left ?"
    live.started(0)
    live.started(1)
    now[0] += 10
    live.on_progress(TrialProgress(0, 1, 4))  # 40 s in all
    live.on_progress(TrialProgress(1, 2, 4))  # 20 s
    assert live.status.seconds_left() == pytest.approx((30 + 10 + 3 * 30) / 2)  # two at a time
    live._verbose = False
    live.status.total = None
    assert live.status.time_left() == "left ?"


def test_a_search_that_was_resumed_waits_for_its_own_trials(monkeypatch):
    monkeypatch.setattr(progress, "print", lambda *args, **kwargs: None, raising=False)
    live = shown(total=10, done=6)
    assert live.status.seconds_left() is None
    live.finished(trial(6), 0.5)
    assert live.status.seconds_left() == pytest.approx(3 * 2.0)
    assert live.status.time_left() == "left 0:00:06"


steps = st.lists(st.tuples(st.sampled_from(["started", "progress", "finished"]), st.integers(0, 4), st.floats(0, 3)))


@given(steps, st.none() | st.integers(0, 5))
def test_any_order_of_events_counts_what_finished(events, total):
    live = shown(total=total)
    live._say = lambda text: None
    for kind, number, done in events:
        if kind == "started":
            live.started(number)
        elif kind == "progress":
            live.on_progress(TrialProgress(number, done, 2.0))
        else:
            live.finished(trial(number), 0.5)
    assert live._verbose
    assert live.status.done == sum(kind == "finished" for kind, _, _ in events)
    assert (live.status.seconds_left() or 0) >= 0
    assert "\n" not in live.status.summary()


def test_a_real_terminal(tmp_path):
    """Under a pseudo-terminal, in a process of its own."""
    pty = pytest.importorskip("pty")
    code = (
        "from tuning.progress import SearchProgress\n"
        "with SearchProgress(objective='a', direction='max', total=3, best=0.5) as live:\n"
        "    live.started(0)\n"
        "    print('a print of the user')\n"
        "    raise KeyboardInterrupt\n"
    )
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-c", code])
    text = b""
    try:
        while part := os.read(fd, 4096):
            text += part
    except OSError:  # Linux says so where others say end of file
        pass
    os.waitpid(pid, 0)
    assert b"a print of the user\r\n" in text
    assert text.count(b"\x1b[?25h") == text.count(b"\x1b[?25l") == 1
    assert text.rstrip().endswith(b"KeyboardInterrupt")


def test_trials_that_train_together_share_the_time():
    """64 ended in 0.02 s each; 64 more have just started, 512 wait: 576 shares are left, one group after the other."""
    shown = SearchStatus(total=640, done=0, failed=0, best=None)
    for number in range(64):
        shown.started(number, 64)
    for number in range(64):
        shown.finished({"number": number, "seconds": 0.02, "status": "completed"}, 0.5)
    for number in range(64, 128):
        shown.started(number, 64)
    assert shown.seconds_left() == pytest.approx(576 * 0.02, rel=0.05)
