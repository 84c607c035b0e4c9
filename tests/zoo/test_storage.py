"""Files that are whole at every moment, manifests and locks."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest
from storing import fill, kill, names, running

from zoo import storage
from zoo.errors import LockedError

SUFFIXES = ["model.keras", "model.weights.h5", "a.tar.gz", "plain", ".hidden.json"]


# atomic_path


@pytest.mark.parametrize("name", SUFFIXES)
def test_atomic_path_keeps_the_suffixes_and_leaves_no_temporary(tmp_path, name):
    target = tmp_path / "deep" / name
    for text in ("one", "two"):
        with storage.atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary != target
            assert temporary.name.endswith("".join(Path(name).suffixes))
            temporary.write_text(text)
        assert target.read_text() == text
        assert names(target.parent) == [name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_path_keeps_the_old_file_on_failure(tmp_path, error):
    target = storage.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error):
        fill(storage.atomic_path(target), "", error)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_path_into_which_nothing_was_written_keeps_the_old_file(tmp_path):
    target = storage.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OSError), storage.atomic_path(target):
        pass
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_threads_that_write_the_same_file_never_mix(tmp_path):
    texts = [str(k) * 50_000 for k in range(8)]
    threads = [threading.Thread(target=storage.write_text, args=(tmp_path / "a.txt", t)) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.txt").read_text() in texts
    assert names(tmp_path) == ["a.txt"]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    code = """
import sys, time
from zoo.storage import atomic_path
with atomic_path(sys.argv[1]) as temporary, open(temporary, "w") as file:
    file.write("half of the new")
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""
    target = storage.write_text(tmp_path / "a.json", "old")
    for _ in range(3):
        with running(code, target) as process:
            kill(process)
        assert target.read_text() == "old"


def test_a_process_killed_at_any_moment_leaves_one_whole_file(tmp_path):
    code = """
import sys
from zoo.storage import write_text
k = 0
while True:
    write_text(sys.argv[1], str(k % 10) * 300_000)
    if k == 0:
        print("ready", flush=True)
    k += 1
"""
    for delay in (0, 0.003, 0.011, 0.02, 0.037):
        with running(code, tmp_path / "a.txt") as process:
            time.sleep(delay)
            kill(process)
        text = (tmp_path / "a.txt").read_text()
        assert len(text) == 300_000
        assert len(set(text)) == 1
    storage.write_text(tmp_path / "a.txt", "")
    assert names(tmp_path) == ["a.txt"]


# JSON


def test_write_json_keeps_the_order_of_keys_and_utf8(tmp_path):
    value = {"z": 1, "a": [0.5, None, "λ"]}
    path = storage.write_json(tmp_path / "a.json", value)
    assert list(json.loads(path.read_text(encoding="utf-8")).items()) == list(value.items())
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, value):
    path = storage.write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        storage.write_json(path, {"new": value})
    assert json.loads(path.read_text()) == {"old": 1}
    assert names(tmp_path) == ["a.json"]


# manifests


def test_a_manifest_names_every_file_with_its_hash(tmp_path):
    storage.write_text(tmp_path / "b.txt", "b")
    storage.write_text(tmp_path / "a" / "c.txt", "c" * 3_000_000)
    assert storage.manifest(tmp_path) == {
        "a/c.txt": hashlib.sha256(b"c" * 3_000_000).hexdigest(),
        "b.txt": hashlib.sha256(b"b").hexdigest(),
    }
    assert list(storage.manifest(tmp_path)) == ["a/c.txt", "b.txt"]


def test_a_flipped_byte_changes_the_manifest(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(bytes(1000))
    before = storage.manifest(tmp_path)
    path.write_bytes(bytes(500) + b"\1" + bytes(499))
    assert storage.manifest(tmp_path) != before


# locks

HOLD = """
import sys, time
from zoo.storage import DirectoryLock
with DirectoryLock(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def assert_held_by(pid, folder):
    with pytest.raises(LockedError, match=rf"\b{pid}\b") as refusal, storage.DirectoryLock(folder):
        pytest.fail("one folder was held twice")
    assert str(refusal.value).startswith(str(folder))
    assert "\n" not in str(refusal.value)


def test_a_held_folder_is_refused_and_its_holder_named(tmp_path):
    with running(HOLD, tmp_path / "run") as process:
        for _ in range(2):
            assert_held_by(process.pid, tmp_path / "run")


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path):
    for _ in range(3):
        with running(HOLD, tmp_path) as process:
            kill(process)
            with storage.DirectoryLock(tmp_path):  # the killed one's pid still stands there
                assert_held_by(os.getpid(), tmp_path)


def test_a_released_folder_can_be_held_again(tmp_path):
    lock = storage.DirectoryLock(tmp_path / "made" / "here")
    with pytest.raises(RuntimeError), lock:
        raise RuntimeError
    with lock, pytest.raises(LockedError), storage.DirectoryLock(lock.directory):
        pass
    with running(HOLD, lock.directory), pytest.raises(LockedError), lock:
        pytest.fail("held twice")


def test_two_folders_are_held_independently(tmp_path):
    with storage.DirectoryLock(tmp_path / "a"), storage.DirectoryLock(tmp_path / "b"):
        assert_held_by(os.getpid(), tmp_path / "a")
        assert_held_by(os.getpid(), tmp_path / "b")


def test_a_lock_whose_holder_cannot_be_written_is_let_go(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_json", full)
        with pytest.raises(OSError, match="no space left") as kept, storage.DirectoryLock(tmp_path):
            pass
    with storage.DirectoryLock(tmp_path):
        assert kept.value is not None
