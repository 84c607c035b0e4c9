from __future__ import annotations

import zoo.startup

import numpy as np
import pytest

import zoo
from zoo.exporting import checking
from zoo.exporting.formats import installed_formats

# isort: split


@pytest.fixture(scope="session", autouse=True)
def _short_measurements():
    """Times are measured with one call: what they are is no matter of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "_LATENCY_CALLS", (1, 1))
        yield


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """(folder of an export in every installed format, its model, its data): small RGB images of three tints."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = random.integers(0, 150, (240, 10, 12, 3)) + 105 * (np.arange(3) == labels[:, None])[:, None, None, :]
    pairs = images.astype(np.uint8), labels
    data = zoo.DataSplits.from_arrays(
        tuple(a[:160] for a in pairs), test=tuple(a[160:] for a in pairs), class_names=["red", "green", "deep blue"]
    )
    model = zoo.build("cnn", data.input_shape, 3, filters=4, units=8, dropout=0.25, batch_normalization=True)
    zoo.train(model, data, zoo.Recipe(epochs=12, batch_size=16, learning_rate=0.01), verbose=False)
    folder = tmp_path_factory.mktemp("colours") / "export"
    zoo.export(
        model,
        folder,
        formats=installed_formats(),
        check_with=data.test,
        calibrate_with=data.train,
        data_config=data.config,
        recipes=[{"epochs": 12}],
    )
    return folder, model, data


@pytest.fixture(scope="module")
def blobs():
    return zoo.load_dataset("blobs")
