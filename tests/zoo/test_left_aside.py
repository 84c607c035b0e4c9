"""What processes leave aside that are killed, and who removes it."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from storing import kill, names, running

from zoo import storage
from zoo.paths import temporary_file, temporary_folder


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    with running("print('ready', flush=True); input()") as process:
        pass
    return process.pid


def test_of_temporary_files_only_ours_of_the_dead_are_removed(tmp_path, dead):
    left, alive = f".zoo-{dead}-{'0' * 16}.keras", f".zoo-{os.getpid()}-{'0' * 16}.npz"
    theirs = [".env", ".zoo-notes", ".zoo-1-2.txt", f".zoo-{10**30}-{'0' * 16}", alive]
    for name in (left, *theirs):
        (tmp_path / name).write_text("")
    folder, link = f".zoo-{dead}-{'1' * 16}", f".zoo-{dead}-{'2' * 16}"
    (tmp_path / folder).mkdir()
    (tmp_path / link).symlink_to(tmp_path / ".env")
    storage.remove_torn(tmp_path)
    assert names(tmp_path) == sorted([*theirs, folder, link])
    storage.remove_torn(tmp_path / "missing")


def as_of(temporary, pid):
    """The name that another process would have given."""
    return temporary.with_name(temporary.name.replace(str(os.getpid()), str(pid), 1))


def test_the_next_write_of_a_file_removes_what_the_killed_left_of_it(tmp_path, dead):
    with storage.atomic_path(tmp_path / "a.tar.gz") as mine, storage.atomic_path(tmp_path / "b.tar.gz") as other:
        mine.touch()
        other.touch()
        as_of(mine, dead).write_text("half")
        as_of(other, dead).write_text("half")
        storage.write_text(tmp_path / "a.tar.gz", "new")
        assert not as_of(mine, dead).exists()
        assert as_of(other, dead).exists()  # its own next write removes it
        assert mine.exists()
    storage.write_text(tmp_path / "b.tar.gz", "new")
    assert names(tmp_path) == ["a.tar.gz", "b.tar.gz"]


def test_temporary_names_of_other_machines_stay(tmp_path, dead, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        theirs = [as_of(temporary_file(tmp_path / "a"), dead), as_of(temporary_folder(tmp_path / "b"), dead)]
    theirs[0].touch()
    theirs[1].mkdir()
    storage.write_text(tmp_path / "a", "")
    with storage.atomic_directory(tmp_path / "b"):
        pass
    assert all(entry.exists() for entry in theirs)


@pytest.mark.parametrize("files", [["a.txt"], ["a.txt", "thesis.tex"]])
def test_the_next_write_of_a_folder_removes_what_the_killed_left_of_it(tmp_path, dead, files):
    target, owned = tmp_path / "model", {"owned": lambda folder: ["a.txt"]}
    torn, aside = (as_of(temporary_folder(target), dead) for _ in range(2))
    aside = aside.with_suffix(".old.tmp")
    for folder, inside in ((torn, ["half", "b/half"]), (aside, files)):
        for name in inside:
            storage.write_text(folder / name, "")
    for _ in range(2):  # while there is nothing at its place, the old one may be the only one
        assert aside.exists()
        with storage.atomic_directory(target, **owned) as temporary:
            (temporary / "a.txt").touch()
        assert not torn.exists()
    assert names(tmp_path) == ["model"] if len(files) == 1 else [aside.name, "model"]


def test_a_folder_whose_process_was_killed_is_written_again_and_nothing_is_left(tmp_path):
    code = """
import os, sys, time
from zoo import replacing
from zoo.storage import atomic_directory
moment, calls, rename = int(sys.argv[2]), 0, os.rename
def counted(*names):
    global calls
    if calls == moment:
        print("ready", flush=True)
        time.sleep(60)
    calls += 1
    rename(*names)
os.rename = counted
with atomic_directory(sys.argv[1], owned=lambda folder: ["a.txt"]) as temporary:
    (temporary / "a.txt").write_text("new")
"""
    target = storage.write_text(tmp_path / "model" / "a.txt", "old").parent
    for moment in range(2):  # before and after the exchange
        with running(code, target, moment) as process:
            kill(process)
        assert len(names(tmp_path)) == 2
        assert (target / "a.txt").read_text() == ("new" if moment and sys.platform == "linux" else "old")
        with storage.atomic_directory(target, owned=lambda folder: ["a.txt"]) as temporary:
            (temporary / "a.txt").write_text("old")
        assert names(tmp_path) == ["model"]
