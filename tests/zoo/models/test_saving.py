from __future__ import annotations

import resource

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from keras.src.saving import saving_lib

import zoo
from zoo.errors import SaveError
from zoo.models.saving import save_model, save_weights

FILES = {"model.keras": save_model, "model.weights.h5": save_weights}


@pytest.fixture
def model():
    model = zoo.build("softmax", (8, 8, 1), 10, kernel_initializer="he_normal")
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_what_is_written_is_what_keras_writes(model, tmp_path):
    save_model(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    other = zoo.build("softmax", (8, 8, 1), 10)
    save_weights(model, tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for name in (loaded, other):
        for one, expected in zip(name.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, expected)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_hdf5_is_made_in_memory_even_when_that_is_short(model, tmp_path, monkeypatch, name):
    """On a full disk, HDF5 ends the interpreter."""
    opened, open_file = [], saving_lib.h5py.File
    monkeypatch.setattr(saving_lib, "is_memory_sufficient", lambda model: False)
    monkeypatch.setattr(
        saving_lib.h5py, "File", lambda file, *a, **k: (opened.append(file), open_file(file, *a, **k))[1]
    )
    FILES[name](model, tmp_path / name)
    assert opened
    assert all(hasattr(file, "getbuffer") for file in opened)


@pytest.mark.parametrize("name", FILES)
def test_what_does_not_fit_leaves_the_old_file(model, tmp_path, name):
    FILES[name](model, tmp_path / name)
    before, limits = (tmp_path / name).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 1000, len(before) // 2, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(SaveError, match=rf"^{tmp_path / name} cannot be written: File too large; "):
                FILES[name](model, tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / name).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]
