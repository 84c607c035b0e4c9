"""Downloads that a server or a disk stops; broken off, wrong or missing ones are in tests/zoo/weights/test_fetch.py."""

from __future__ import annotations

import dataclasses
import socket
import types

import pytest
from full_disks import files_of_at_most

import zoo
from zoo.data import tfds_source
from zoo.weights.fetch import find_weights
from zoo.weights.sources import SOURCES


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Downloads a file of 5,000 bytes from an address; what is said where it fails, as one line."""
    monkeypatch.delenv("ZOO_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))

    def run(url):
        source = dataclasses.replace(SOURCES["resnet20"]["cifar10"], url=url, sha256=None, size=5_000)
        monkeypatch.setitem(SOURCES, "resnet20", {"cifar10": source})
        with pytest.raises(zoo.WeightsError) as caught:
            find_weights("resnet20", "cifar10")
        text = str(caught.value)
        assert text.startswith(f"{source.file_name} cannot be downloaded from {url} (")
        assert text.endswith("or give weights= the file's path")
        assert "\n" not in text
        return text

    return run


def test_a_server_that_says_nothing_is_not_waited_for_without_end(fetch, monkeypatch):
    most, limit = [], socket.setdefaulttimeout
    monkeypatch.setattr(socket, "setdefaulttimeout", lambda seconds: (most.append(seconds), limit(seconds and 0.1)))
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "timed out" in fetch(f"http://127.0.0.1:{server.getsockname()[1]}/weights")
    assert most[0] == 60
    assert socket.getdefaulttimeout() == before


def test_a_download_that_does_not_fit_names_the_disk(fetch, tmp_path):
    (tmp_path / "published").write_bytes(bytes(5_000))
    with files_of_at_most(1_000):
        assert "File too large" in fetch((tmp_path / "published").as_uri())


def test_a_data_set_whose_download_fails_is_one_line(monkeypatch):
    """TFDS has several lines for a wrong checksum, for a page in place of a file, and for a full disk."""

    def refuse():
        raise OSError("Artifact http://x/y.zip has wrong checksum.\nGot: 1\nExpected: 2")

    monkeypatch.setattr(tfds_source, "_network_answers", lambda: True)
    builder = types.SimpleNamespace(is_prepared=lambda: False, download_and_prepare=refuse)
    with pytest.raises(zoo.ZooError) as caught:
        tfds_source.Source._prepare(types.SimpleNamespace(name="kmnist", builder=builder))
    reason = "Artifact http://x/y.zip has wrong checksum. Got: 1 Expected: 2"
    assert str(caught.value) == f"kmnist: the download failed ({reason}); try again, or use 'digits'"
