from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from data_examples import save_classes

# TFDS reads the variable once, when it is imported: it is set before any test module is.
_SHARED = Path(__file__).parents[4] / "shared" / "datasets"
if _SHARED.is_dir():
    os.environ.setdefault("TFDS_DATA_DIR", str(_SHARED))


@pytest.fixture
def put_in(monkeypatch, tmp_path):
    """Makes caches go to memory, to disk (in the empty folder that is returned) or nowhere."""

    def put_in(place):
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr("zoo.data.streaming.available_memory", lambda: 2**40 if place == "memory" else 1000)
        if place is None:
            monkeypatch.setattr("zoo.data.streaming.place_for", lambda *sizes: None)
        return folder

    return put_in


@pytest.fixture
def pictures(tmp_path):
    return save_classes(tmp_path / "pictures", {"cat": 20, "dog": 30})
