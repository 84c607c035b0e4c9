"""What a disk refuses, and what became of the file then."""

from __future__ import annotations

import errno
import os

import pytest
from storing import names

from zoo import storage
from zoo.appending import AppendedFile
from zoo.errors import SaveError


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
