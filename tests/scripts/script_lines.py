"""What a script says when it ends with an error."""

from __future__ import annotations


def check_line(err, words):
    (line,) = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("error: ")
    assert words in line
    assert line.isprintable()
    assert "Error:" not in line  # no exception that nobody thought of
