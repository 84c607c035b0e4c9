"""Features in files: found again, checked, bounded, and gone on with after a kill."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from zoo.errors import LockedError
from zoo.features import cache
from zoo.storage import DirectoryLock

KEY, OTHER = "a" * 64, "b" * 64


class Filled:
    """Fills rows with their numbers, ten at a time, and counts them."""

    def __init__(self, *, dies_at: int | None = None) -> None:
        self.rows, self.dies_at = 0, dies_at

    def __call__(self, array, first, on_rows):
        for row in range(first, len(array), 10):
            if row == self.dies_at:
                raise KeyboardInterrupt
            array[row : row + 10] = np.arange(row, row + 10)[:, None]
            self.rows += 10
            on_rows(row + 10)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    return tmp_path / "features"


def stored(fill, key=KEY, rows=50):
    return cache.stored(key, (rows, 3), np.dtype("float32"), fill, {"layer": "pool"})


EXPECTED = np.repeat(np.arange(50, dtype="float32")[:, None], 3, axis=1)


def test_what_was_computed_once_is_read():
    first, second = Filled(), Filled()
    for fill in (first, second):
        store = stored(fill)
        np.testing.assert_array_equal(store.array, EXPECTED)
        np.testing.assert_array_equal(store.tensor, EXPECTED)
    assert (first.rows, second.rows) == (50, 0)


def test_another_key_or_none_is_computed(folder):
    stored(Filled())
    for key in (OTHER, None):
        fill = Filled()
        np.testing.assert_array_equal(stored(fill, key).array, EXPECTED)
        assert fill.rows == 50
    assert sorted(f.name for f in folder.iterdir()) == [KEY, OTHER]


@pytest.mark.parametrize("damage", ["flip", "cut", "about", "missing", "shape"])
def test_a_damaged_file_is_computed_again(folder, damage):
    stored(Filled())
    file = folder / KEY / "features.npy"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-8])
    elif damage == "about":
        (folder / KEY / "about.json").write_text("[]")
    elif damage == "missing":
        file.unlink()
    fill = Filled()
    rows = 60 if damage == "shape" else 50
    assert len(stored(fill, rows=rows).array) == rows == fill.rows
    assert json.loads((folder / KEY / "about.json").read_text())["layer"] == "pool"


def test_what_is_changed_in_memory_does_not_reach_the_file():
    stored(Filled()).array[:] = 7
    np.testing.assert_array_equal(stored(Filled()).array, EXPECTED)


def test_a_killed_computation_is_gone_on_with(monkeypatch):
    monkeypatch.setattr(cache, "_SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        stored(Filled(dies_at=30))
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 20


@pytest.fixture
def begun(folder):
    """What a killed computation left: 20 rows of zeros, which are wrong."""
    partial = folder / f"{KEY}.partial"
    partial.mkdir(parents=True)
    np.save(partial / "features.npy", np.zeros((50, 3), "float32"))
    (partial / "done.json").write_text('{"rows": 20}')
    return partial


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "\xff", '{"rows": null}', '{"rows": 51}', '{"rows": -1}'])
def test_a_partial_array_that_does_not_say_how_far_it_is_is_begun_again(begun, text):
    (begun / "done.json").write_bytes(text.encode("latin-1"))
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 50
    assert not begun.exists()


@pytest.mark.parametrize("size", [0, 50, 300])
def test_a_partial_array_that_is_too_short_is_begun_again(begun, size):
    os.truncate(begun / "features.npy", size)
    np.testing.assert_array_equal(stored(Filled()).array, EXPECTED)


def test_what_another_process_made_meanwhile_is_used(folder, monkeypatch):
    make_room = cache._make_room

    def meanwhile(*args):
        monkeypatch.setattr(cache, "_make_room", make_room)
        stored(Filled())

    monkeypatch.setattr(cache, "_make_room", meanwhile)
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 0
    assert [f.name for f in folder.iterdir()] == [KEY]


def test_what_is_wrong_with_the_examples_is_told_at_once():
    calls = []

    def fill(array, first, on_rows):
        calls.append(first)
        raise FileNotFoundError("photo 7 is gone")

    with pytest.raises(FileNotFoundError, match="photo 7 is gone"):
        stored(fill)
    assert calls == [0]


@pytest.mark.parametrize("name", [KEY, f"{KEY}.partial"])
def test_a_file_in_the_way_is_not_ours_to_delete(folder, name):
    folder.mkdir()
    (folder / name).write_text("no folder")
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 50
    assert (folder / name).read_text() == "no folder"


def test_the_folder_of_another_user_is_read(monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    stored(Filled())
    monkeypatch.setattr(os, "utime", refuse)
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 0


def test_what_another_process_computes_is_computed_in_memory(folder):
    with DirectoryLock(folder / f"{KEY}.partial"):
        np.testing.assert_array_equal(stored(Filled()).array, EXPECTED)
    assert not (folder / KEY).exists()


def watch(monkeypatch):
    """The entries that are deleted from here on; each has to be held meanwhile."""
    removed, remove = [], cache._remove

    def held(entry):
        if entry.exists() and not entry.name.endswith(".partial"):
            removed.append(entry.name)
            with pytest.raises(LockedError), DirectoryLock(entry):
                pass
        remove(entry)

    monkeypatch.setattr(cache, "_remove", held)
    return removed


def test_an_entry_with_a_file_of_somebody_is_in_the_way_before_the_work(folder):
    stored(Filled())
    (folder / KEY / "mine.txt").write_text("of somebody")
    (folder / KEY / "about.json").write_text("damaged")
    fill = Filled()
    np.testing.assert_array_equal(stored(fill).array, EXPECTED)
    assert fill.rows == 50  # once, in memory
    assert [file.name for file in (folder / KEY).iterdir()] == ["mine.txt"]
    assert [entry.name for entry in folder.iterdir()] == [KEY]


def test_those_not_used_for_longest_go(folder, monkeypatch):
    rows = 5_000  # beside which the other files of an entry are small
    monkeypatch.setattr(cache, "MOST_BYTES", 2.5 * rows * 3 * 4)
    keys = [c * 64 for c in "abcd"]
    for i, key in enumerate(keys[:2]):
        stored(Filled(), key, rows)
        os.utime(folder / key, (i, i))
    stored(Filled(), keys[0], rows)  # used again
    removed = watch(monkeypatch)
    stored(Filled(), keys[2], rows)
    assert removed == [keys[1]]
    assert {f.name for f in folder.iterdir()} == {keys[0], keys[2]}


def test_without_room_it_is_in_memory_or_not_at_all(folder, monkeypatch):
    monkeypatch.setattr(cache, "MOST_BYTES", 10)
    np.testing.assert_array_equal(stored(Filled()).array, EXPECTED)
    monkeypatch.setattr(cache, "available_memory", lambda: 100)
    assert stored(Filled()) is None
    assert not any(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "file"))
    np.testing.assert_array_equal(stored(Filled()).array, EXPECTED)


def test_the_cache_is_where_it_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_CACHE_DIR")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "keras-zoo" / "features"
    shutil.rmtree(tmp_path)
