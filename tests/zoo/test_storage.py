from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from zoo import replacing, storage
from zoo.appending import AppendedFile
from zoo.errors import LockedError, SaveError, UsageError
from zoo.paths import temporary_file, temporary_folder
from zoo.replacing import check_replaceable

ROOT = Path(__file__).parents[2]
SUFFIXES = ["model.keras", "model.weights.h5", "a.tar.gz", "plain", ".hidden.json"]


@contextmanager
def running(code, *arguments):
    """A Python process that has printed a line; killed with SIGKILL at the latest on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        kill(process)
        process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def fill(context, name, error):
    """Writes to what `context` yields (or to a file in it) and fails."""
    with context as temporary:
        (temporary / name).write_text("half")
        raise error


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def all_of(folder):
    """Calls every file of a folder our own."""
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


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


# atomic_directory


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_atomic_directory_replaces_the_whole_folder(tmp_path, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)  # elsewhere than on Linux it cannot exchange in one step
    target = tmp_path / "deep" / "model"
    for text in ("one", "two"):
        with storage.atomic_directory(target, owned=all_of) as temporary:
            assert names(temporary) == []
            (temporary / f"{text}.txt").write_text(text)
            (temporary / "variables").mkdir()
            (temporary / "variables" / "data").write_text(text)
        assert names(target) == sorted([f"{text}.txt", "variables"])
        assert (target / "variables" / "data").read_text() == text
        assert names(target.parent) == ["model"]


@pytest.mark.parametrize("existed", [True, False])
def test_atomic_directory_keeps_the_old_folder_on_failure(tmp_path, existed):
    target = tmp_path / "model"
    if existed:
        storage.write_text(target / "a.txt", "old")
    with pytest.raises(RuntimeError):
        fill(storage.atomic_directory(target, owned=all_of), "a.txt", RuntimeError)
    assert names(tmp_path) == (["model"] if existed else [])
    if existed:
        assert (target / "a.txt").read_text() == "old"


def test_atomic_directory_can_be_read_by_others(tmp_path):
    with storage.atomic_directory(tmp_path / "model"):
        pass
    assert (tmp_path / "model").stat().st_mode & 0o555 == 0o555


@pytest.mark.parametrize("kind", ["file", "link"])
def test_atomic_directory_over_what_is_no_folder_leaves_no_temporary(tmp_path, kind):
    target, real = tmp_path / "model", tmp_path / "real"
    real.mkdir()
    if kind == "file":
        target.write_text("old")
    else:
        target.symlink_to(real)
    try:
        with storage.atomic_directory(target) as temporary:
            (temporary / "a.txt").write_text("new")
    except UsageError:
        assert kind == "file"
        assert target.read_text() == "old"
    else:
        assert (real / "a.txt").read_text() == "new"
        assert target.is_symlink()
    assert names(tmp_path) == ["model", "real"]


def test_a_process_killed_while_it_fills_a_folder_leaves_the_old_one(tmp_path):
    code = """
import sys, time
from zoo.storage import atomic_directory
with atomic_directory(sys.argv[1], owned=lambda folder: ["a.txt"]) as temporary:
    (temporary / "a.txt").write_text("new")
    print("ready", flush=True)
    time.sleep(60)
"""
    target = tmp_path / "model"
    storage.write_text(target / "a.txt", "old")
    for _ in range(3):
        with running(code, target) as process:
            kill(process)
        assert names(target) == ["a.txt"]
        assert (target / "a.txt").read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders in one step")
def test_a_process_killed_at_any_moment_leaves_one_whole_folder(tmp_path):
    code = """
import sys
from zoo.storage import atomic_directory
k = 0
while True:
    with atomic_directory(sys.argv[1], owned=lambda folder: "abc") as temporary:
        for part in "abc":
            (temporary / part).write_text(str(k))
    if k == 0:
        print("ready", flush=True)
    k += 1
"""
    target = tmp_path / "model"
    for delay in (0, 0.003, 0.011, 0.02, 0.037):
        with running(code, target) as process:
            time.sleep(delay)
            kill(process)
        assert names(target) == ["a", "b", "c"]
        assert len({(target / part).read_text() for part in "abc"}) == 1
    with storage.atomic_directory(target, owned=lambda folder: "abc"):
        pass
    assert names(tmp_path) == ["model"]


def test_a_folder_that_holds_what_is_not_ours_is_not_replaced(tmp_path):
    target = tmp_path / "model"
    storage.write_text(target / "sub" / "thesis.tex", "of somebody")
    storage.write_text(target / "a.txt", "ours")
    words = r"model holds sub/thesis\.tex, which would be lost; move it elsewhere, or choose another directory$"
    with pytest.raises(UsageError, match=words), storage.atomic_directory(target, owned=lambda folder: ["a.txt"]):
        pytest.fail("it was begun")
    assert names(tmp_path) == ["model"]


def test_what_somebody_puts_into_a_folder_meanwhile_is_not_deleted(tmp_path):
    target = storage.write_text(tmp_path / "model" / "a.txt", "old").parent
    with (
        pytest.raises(UsageError, match="late"),
        storage.atomic_directory(target, owned=lambda f: ["a.txt"]) as temporary,
    ):
        (temporary / "a.txt").write_text("new")
        (target / "late").write_text("of somebody")
    assert (target / "a.txt").read_text() == "old"
    assert names(target) == ["a.txt", "late"]
    assert names(tmp_path) == ["model"]


def test_what_arrives_in_the_last_moment_is_put_back(tmp_path, monkeypatch):
    target, exchange = storage.write_text(tmp_path / "model" / "a.txt", "old").parent, replacing._exchange

    def late(path, *names):
        (path / "late").write_text("of somebody")
        monkeypatch.setattr(replacing, "_exchange", exchange)
        exchange(path, *names)

    monkeypatch.setattr(replacing, "_exchange", late)
    with (
        pytest.raises(UsageError, match="model holds late, which would be lost"),
        storage.atomic_directory(target, owned=lambda f: ["a.txt"]) as temporary,
    ):
        (temporary / "a.txt").write_text("new")
    assert (target / "a.txt").read_text() == "old"
    assert names(target) == ["a.txt", "late"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["../victim", "{root}/victim", "sub/victim", "sub", "a\0b", "", ".", "model"])
def test_names_from_outside_delete_nothing_elsewhere(tmp_path, name):
    """As those in the certificate of somebody who knows where the victim lies."""
    (tmp_path / "victim").write_text("of somebody")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "victim").write_text("of somebody")
    target = storage.write_text(tmp_path / "model" / "a.txt", "old").parent
    (target / "sub").symlink_to(tmp_path / "elsewhere")
    theirs = ["a.txt", name.format(root=tmp_path)]
    with pytest.raises(UsageError, match="holds sub, which would be lost"):
        storage.atomic_directory(target, owned=lambda f: theirs).__enter__()
    (target / "sub").unlink()
    with storage.atomic_directory(target, owned=lambda f: theirs) as temporary:
        (temporary / "b.txt").write_text("new")
    storage.remove_files(target, theirs)
    assert names(target) == ["b.txt"]
    assert all_of(tmp_path / "elsewhere") == ["victim"]
    assert names(tmp_path) == ["elsewhere", "model", "victim"]


def test_only_named_files_of_a_folder_are_removed_and_it_if_it_is_empty_then(tmp_path):
    for name in ("ours", "theirs", "deeper/ours"):
        storage.write_text(tmp_path / "x" / name, "")
    (tmp_path / "x" / "empty").mkdir()
    storage.remove_files(tmp_path / "x", ["ours", "deeper/ours", "deeper", "missing"])
    assert names(tmp_path / "x") == ["deeper", "empty", "theirs"]
    assert all_of(tmp_path / "x" / "deeper") == ["ours"]
    storage.write_text(tmp_path / "y" / "ours", "")
    storage.remove_files(tmp_path / "y", ["ours"])
    storage.remove_files(tmp_path / "missing", ["ours"])
    assert names(tmp_path) == ["x"]


# what processes leave that are killed


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


def test_a_folder_with_a_long_name_is_replaced(tmp_path):
    target = tmp_path / ("n" * 250)
    for text in "ab":
        with storage.atomic_directory(target, owned=lambda folder: ["a.txt"]) as temporary:
            (temporary / "a.txt").write_text(text)
    assert (target / "a.txt").read_text() == "b"
    assert names(tmp_path) == [target.name]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes of folders are those of POSIX")
def test_a_folder_that_holds_a_closed_one_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "model" / "private").mkdir(parents=True)
    listed = os.scandir

    def refusing(path):
        if Path(path).name == "private":  # as for another user's; root may list all
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UsageError, match="holds private, which would be lost"):
        check_replaceable(tmp_path / "model", lambda folder: [])


def test_an_interruption_between_two_renames_puts_the_old_folder_back(tmp_path, monkeypatch):
    target, rename = storage.write_text(tmp_path / "model" / "a.txt", "old").parent, os.rename

    def interrupted(old, new):
        if Path(new) == target and Path(old).suffix == ".tmp" and not str(old).endswith(".old.tmp"):
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "rename", interrupted)
    monkeypatch.setattr(replacing.sys, "platform", "other")
    with (
        pytest.raises(KeyboardInterrupt),
        storage.atomic_directory(target, owned=lambda folder: ["a.txt"]) as temporary,
    ):
        (temporary / "a.txt").write_text("new")
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


# what a disk refuses


def test_what_a_disk_refuses_names_the_file_and_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.txt", tmp_path):
        with pytest.raises(SaveError, match=rf"^{path} cannot be written: .*; choose another place$"):
            storage.write_text(path, "")
    with pytest.raises(SaveError, match=rf"^{tmp_path / 'file' / 'x'} cannot be written: "):
        storage.DirectoryLock(tmp_path / "file" / "x").__enter__()
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_found_behind_the_errors_of_libraries(tmp_path, number):
    def fail(told):
        try:
            raise (
                OSError(number, os.strerror(number))
                if told
                else RuntimeError(f"native: {os.strerror(number)} [Op:Save]")
            )
        finally:
            raise ValueError("can't close the archive")  # as ZIP files do

    for told in (True, False):
        for context in (storage.atomic_path(tmp_path / "a"), storage.atomic_directory(tmp_path / "b")):
            with pytest.raises(SaveError, match=f"cannot be written: {os.strerror(number)}; .*choose another"), context:
                fail(told)
    assert names(tmp_path) == []


def test_other_errors_of_long_work_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="photo 7"), storage.atomic_directory(tmp_path / "model"):
        raise FileNotFoundError("photo 7 is gone")
    with pytest.raises(KeyError), storage.atomic_path(tmp_path / "a"):
        raise KeyError("x")


def test_a_record_that_does_not_fit_leaves_the_file_as_it_was(tmp_path):
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    path, limits = tmp_path / "journal", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"sound torn")
    file = AppendedFile(path, size=6)
    file.write(b"one ")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(SaveError, match=rf"^{path} cannot be written: File too large; raise the limit"):
            file.write(b"x" * 1000)  # of which the system takes the beginning
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"sound one "
    file.write(b"two ")
    file.flush()
    file.close()
    assert path.read_bytes() == b"sound one two "


def test_a_record_that_does_not_reach_the_disk_goes(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = AppendedFile(tmp_path / "journal")
    file.write(b"one ")
    file.flush()
    file.write(b"two ")
    with monkeypatch.context() as patch, pytest.raises(SaveError, match="journal cannot be written: Input/output"):
        patch.setattr(os, "fsync", refuse)
        file.flush()
    assert (tmp_path / "journal").read_bytes() == b"one "
    file.write(b"three ")
    file.flush()
    file.close()
    assert (tmp_path / "journal").read_bytes() == b"one three "


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
