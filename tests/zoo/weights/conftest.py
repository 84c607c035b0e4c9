from __future__ import annotations

from pathlib import Path

import pytest
from publishing import Publisher
from resnet_files import cifar_tensors, saved


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("weights")
    return {
        shortcut: saved(cifar_tensors(shortcut=shortcut), directory / f"{shortcut}.safetensors")
        for shortcut in ("zero_padding", "projection")
    }


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publisher = Publisher()
    yield publisher
    publisher.close()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The folder of our downloads, below a home of Keras that is the test's own; Keras reads KERAS_HOME only once."""
    monkeypatch.delenv("ZOO_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras" / "keras-zoo"
