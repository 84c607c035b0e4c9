"""What a script says about data that were read, but not as they lie there."""

import argparse
import shutil
import warnings

import arguments
import command
import numpy as np
import pytest
from PIL import Image

import zoo


@pytest.fixture
def folder(tmp_path):
    """Two classes of six pictures, one of which lies there twice."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / "copy.png")
    return tmp_path


def run(action, words=()):
    parser = argparse.ArgumentParser()
    arguments.add_data_options(parser)
    parser.add_argument("--seed", type=int)
    return command.run(parser, action, [str(word) for word in words])


def test_left_out_copies_are_one_note_however_often_the_data_are_loaded(folder, capsys):
    def load_twice(args):
        arguments.load_data(args)
        zoo.load_dataset(args.dataset)

    for _ in range(2):  # and again in the next run
        assert run(load_twice, ["--dataset", folder]) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"note: {folder}: 1 copy is left out; ")
        assert ".py" not in line


def test_a_note_is_one_line_and_another_text_another_note(capsys):
    def warn(_):
        for text in ("first\nline", "first\nline", "second"):
            warnings.warn(text, zoo.DataWarning, stacklevel=1)

    assert run(warn) == 0
    assert capsys.readouterr().err == "note: first line\nnote: second\n"


def test_other_warnings_are_shown_as_ever(capsys):
    def warn(_):
        warnings.warn("something else", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        assert run(warn) == 0
    assert "note:" not in capsys.readouterr().err


def test_afterwards_warnings_are_as_before():
    shown = warnings.showwarning
    assert run(lambda _: None) == 0
    assert warnings.showwarning is shown
