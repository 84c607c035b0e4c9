from __future__ import annotations

import pytest

from zoo import storage
from zoo.errors import UsageError
from zoo.paths import checked_path, make_parents, remove_empty


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "names a file or folder. Received: ''"),
        (5, "Received: 5"),
        (None, "Received: None"),
        (b"x", "Received: b'x'"),
        ("a\0b", r"'a\\x00b' is no path: a NUL is in it"),
        ("n" * 300, "the name is too long; choose a shorter one"),
    ],
)
def test_what_no_file_can_be_called_is_refused(path, words):
    with pytest.raises(UsageError, match=words) as refusal:
        checked_path(path)
    assert str(refusal.value).isprintable()


def test_any_other_name_is_a_path(tmp_path):
    for name in ("..", "-x", "a\nb", "\udcff", "no/such/folder"):
        assert checked_path(str(tmp_path / name)) == tmp_path / name


def test_folders_that_were_made_for_nothing_go_and_others_stay(tmp_path):
    made = make_parents(tmp_path / "a" / "b" / "c.txt")
    assert made == [tmp_path / "a" / "b", tmp_path / "a"]
    (tmp_path / "a" / "other.txt").touch()
    remove_empty(made)
    assert [file.name for file in tmp_path.rglob("*")] == ["a", "other.txt"]


@pytest.mark.parametrize("write", [storage.atomic_path, storage.atomic_directory])
def test_what_cannot_be_written_leaves_no_folder(tmp_path, write):
    with pytest.raises(RuntimeError, match="no"), write(tmp_path / "a" / "b" / "c"):
        raise RuntimeError("no")
    assert list(tmp_path.iterdir()) == []
