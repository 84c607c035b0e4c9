from __future__ import annotations

from pathlib import Path

import pytest

from zoo.data import duplicates
from zoo.data.duplicates import identical_files


def write(root, contents):
    """One file for each content, named by its place."""
    files = [root / f"{i}.bin" for i in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


@pytest.mark.parametrize(
    ("contents", "groups"),
    [
        ([], []),
        ([b"a"], []),
        ([b"a", b"b", b"ab"], []),
        ([b"x", b"a", b"x", b"x"], [[0, 2, 3]]),
        ([b"b", b"aa", b"b", b"aa", b"cc"], [[0, 2], [1, 3]]),
        ([b"", b"a", b""], [[0, 2]]),
    ],
)
def test_groups_are_the_places_of_equal_contents_in_order(tmp_path, contents, groups):
    assert identical_files(write(tmp_path, contents)) == groups


@pytest.mark.parametrize("place", [0, 4_000, 50_000, 99_999])
def test_one_other_byte_anywhere_makes_files_differ(tmp_path, place):
    original = bytes(100_000)
    changed = bytearray(original)
    changed[place] = 1
    assert identical_files(write(tmp_path, [original, bytes(changed), original])) == [[0, 2]]


@pytest.fixture
def opened(monkeypatch):
    """The names of files that are opened or hashed whole, as they are."""
    read = {"sampled": [], "whole": []}
    plain_open, plain_hash = Path.open, duplicates.sha256_of_file
    monkeypatch.setattr(Path, "open", lambda f, *a, **k: (read["sampled"].append(f.name), plain_open(f, *a, **k))[1])
    monkeypatch.setattr(duplicates, "sha256_of_file", lambda f: (read["whole"].append(f.name), plain_hash(f))[1])
    return read


def test_no_more_is_read_than_is_needed(tmp_path, opened):
    long = [bytes([i]) * 10_000 for i in range(3)]
    files = write(tmp_path, [b"alone", *long, long[0]])
    opened["sampled"].clear()
    assert identical_files(files) == [[1, 4]]
    assert sorted(opened["sampled"]) == ["1.bin", "2.bin", "3.bin", "4.bin"]  # one size
    assert sorted(opened["whole"]) == ["1.bin", "4.bin"]  # and one middle
