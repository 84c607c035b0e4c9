"""Weight files that are downloaded into the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import subprocess
import sys

import pytest
from publishing import CONTENT, DIGEST, KNOWN, OTHER, one_line, publish
from weight_files import ROOT, write

import zoo
from zoo.weights.fetch import find_weights
from zoo.weights.sources import SOURCES

pytestmark = pytest.mark.usefixtures("cache")


def closed_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def no_such_host(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("known", KNOWN)
def test_a_file_is_downloaded_into_the_cache_and_only_once(monkeypatch, capfd, publisher, cache, known):
    source = publish(monkeypatch, publisher.url, known)
    for _ in range(2):
        found = find_weights("resnet20", "tiny")
        assert found.path == cache / "tiny.th"
        assert found.sha256 == DIGEST
        assert found.source is source
        assert list(found.tensors) == ["a", "b"]
    assert publisher.requests == ["/tiny.th"]
    assert [f.name for f in cache.iterdir()] == ["tiny.th"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("manner", ["short", "unsaid"])
def test_a_download_that_breaks_off_is_refused_and_another_try_succeeds(
    monkeypatch, capfd, publisher, cache, known, manner
):
    source = publish(monkeypatch, publisher.url, known)
    publisher.manner = manner
    for _ in range(2):
        with pytest.raises(zoo.WeightsError) as refusal:
            find_weights("resnet20", "tiny")
        assert source.file_name in one_line(refusal)
    publisher.manner = "whole"
    assert find_weights("resnet20", "tiny").sha256 == DIGEST
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("content", [CONTENT[:100], b"", OTHER], ids=["half", "empty", "other"])
def test_what_a_killed_download_left_in_the_cache_is_not_taken_nor_in_the_way_for_ever(
    monkeypatch, publisher, cache, known, content
):
    publish(monkeypatch, publisher.url, known)
    cache.mkdir()
    write(cache / "tiny.th", content)
    try:
        found = find_weights("resnet20", "tiny")
    except zoo.WeightsError:
        found = find_weights("resnet20", "tiny")
    assert found.sha256 == DIGEST


@pytest.mark.parametrize("known", KNOWN)
def test_another_file_at_the_address_is_refused(monkeypatch, publisher, known):
    publish(monkeypatch, publisher.url, known)
    publisher.content = OTHER
    with pytest.raises(zoo.WeightsError, match=r"tiny\.th"):
        find_weights("resnet20", "tiny")


def test_what_is_as_it_is_published_but_no_weights_is_refused_by_name(monkeypatch, publisher, cache):
    publisher.content = b"<html>" * 10
    source = publish(monkeypatch, publisher.url)
    digest = hashlib.sha256(publisher.content).hexdigest()
    monkeypatch.setitem(SOURCES, "resnet20", {"tiny": dataclasses.replace(source, sha256=digest)})
    with pytest.raises(zoo.WeightsError) as refusal:
        find_weights("resnet20", "tiny")
    assert one_line(refusal).startswith(f"{cache / 'tiny.th'}: ")


@pytest.mark.parametrize("manner", ["404", "403", "500", "no network", "no such host"])
def test_without_the_file_the_error_says_where_it_is_and_how_to_do_without(
    monkeypatch, capfd, publisher, cache, manner
):
    source = publish(monkeypatch, closed_url() if manner == "no network" else publisher.url)
    if manner == "no such host":
        monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    publisher.manner = manner
    with pytest.raises(zoo.WeightsError) as refusal:
        find_weights("resnet20", "tiny")
    message = one_line(refusal)
    assert source.url in message
    assert "ZOO_WEIGHTS_DIR" in message
    assert capfd.readouterr().out == ""
    assert not (cache / "tiny.th").exists()


def test_a_cache_that_cannot_be_written_to_is_an_error_of_ours(monkeypatch, publisher, cache):
    source = publish(monkeypatch, publisher.url)
    cache.write_text("a file where a folder should be")
    with pytest.raises(zoo.WeightsError) as refusal:
        find_weights("resnet20", "tiny")
    assert source.file_name in one_line(refusal)


def test_the_cache_is_below_keras_home(tmp_path, publisher):
    script = f"""if True:
        import dataclasses
        from zoo.weights.sources import SOURCES
        from zoo.weights.fetch import find_weights
        source = SOURCES["resnet20"]["cifar10"]
        SOURCES["resnet20"] = dict(tiny=dataclasses.replace(source, url="{publisher.url}/tiny.th", sha256="{DIGEST}"))
        assert find_weights("resnet20", None) is None
        assert str(find_weights("resnet20", "tiny").path).endswith("tiny.th")
    """
    home = tmp_path / "another home"
    environment = os.environ | {"KERAS_HOME": str(home), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "nobody")}
    environment.pop("ZOO_WEIGHTS_DIR", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert publisher.url in done.stderr  # the user learns what is being downloaded
    assert (home / "keras-zoo" / "tiny.th").read_bytes() == CONTENT
    assert not (tmp_path / "nobody" / ".keras").exists()
