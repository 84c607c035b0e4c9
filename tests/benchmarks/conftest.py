from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import pytest

# The benchmarks are scripts: their modules find each other in their own folder.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def run_main(tmp_path, monkeypatch, capsys):
    """Runs a benchmark's `main` in this process, its files below `tmp_path`; gives its output and its progress."""
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it asks the environment again

    def run_main(main, *arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run_main
    for number, handler in handlers.items():
        signal.signal(number, handler)
