"""Very large grids are counted, and somebody is asked."""

from __future__ import annotations

import argparse
import io
import sys

import pytest
from script_lines import check_line
from script_modules import load

import tuning

MILLION = ("--model", "softmax", "--method", "grid", "--values", "batch_size=1:1000000", "--directory", "search")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (io.StringIO("y\n"), "this grid has 1,000,000 cells: --yes trains all of them, --max-trials N the first N"),
        (Terminal("no\n"), "nothing was trained; give shorter lists"),
        (Terminal("\n"), "nothing was trained; give shorter lists"),
        (Terminal(""), "nothing was trained; give shorter lists"),
    ],
    ids=["nobody there", "no", "return", "end of input"],
)
def test_a_very_large_grid_is_counted_and_asked_about(call, stdin, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", stdin)
    code, _, err = call("tune", *MILLION)
    check_line(err, words)
    assert code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_very_large_grid_is_searched_when_somebody_agrees(monkeypatch, capsys):
    script = load("tune")
    space = tuning.space("softmax", (2,), 2, values={"batch_size": (1, 1_000_000)})
    assert script._agreed_trials(argparse.Namespace(yes=True), space) == 1_000_000
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert script._agreed_trials(argparse.Namespace(yes=False), space) == 1_000_000
    assert "this grid has 1,000,000 cells; train all of them? [y/N]" in capsys.readouterr().out
    small = tuning.space("softmax", (2,), 2, values={"batch_size": (1, 10_000)})
    assert script._agreed_trials(argparse.Namespace(yes=False), small) is None
