"""Folders that take the place of others: the old one or the whole new one, and nothing that is not ours is lost."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from storing import all_of, fill, kill, names, running

from zoo import replacing, storage
from zoo.errors import UsageError
from zoo.replacing import check_replaceable


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
