from __future__ import annotations

import zipfile

import zoo.startup

# isort: split
import pytest

import zoo


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a good file."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    zoo.build("mlp", (4, 4, 1), 3, units=4, batch_normalization=True).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
