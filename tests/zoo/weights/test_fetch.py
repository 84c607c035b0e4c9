"""Weight files that are here already, and what is no weight file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from publishing import CONTENT, DIGEST, KNOWN, OTHER, one_line, publish
from weight_files import SHARED_WEIGHTS, write

import zoo
from zoo.weights.fetch import find_weights
from zoo.weights.sources import SOURCES

pytestmark = pytest.mark.usefixtures("cache")


def test_no_weights_are_no_file():
    assert find_weights("resnet20", None) is None


@pytest.mark.parametrize(
    ("model", "weights", "near"),
    [
        ("resnet20", "cifar1", "cifar10"),
        ("resnet20", "CIFAR10", "cifar10"),
        ("resnet50", "imagenet_v3", "imagenet_v2"),
        ("alexnet", "imagnet", "imagenet"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(model, weights, near):
    with pytest.raises(zoo.UsageError) as refusal:
        find_weights(model, weights)
    message = one_line(refusal)
    assert f"{near!r}" in message.partition("did you mean")[2].partition("?")[0]
    assert repr(weights) in message
    assert all(name in message for name in SOURCES[model])


def test_the_name_of_another_model_is_refused():
    with pytest.raises(zoo.UsageError, match="Known: imagenet"):
        find_weights("resnet18", "cifar10")


@pytest.mark.parametrize("weights", ["nowhere.pth", "./imagenet", "/no/such/folder/weights", "~/no such weights.npy"])
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_a_path_that_is_missing_is_refused_by_name(tmp_path, monkeypatch, weights, kind):
    monkeypatch.chdir(tmp_path)
    if kind is Path and weights == "./imagenet":
        weights = "folder/imagenet"  # a Path forgets its ./
    with pytest.raises(zoo.UsageError) as refusal:
        find_weights("alexnet", kind(weights))
    assert Path(weights).name in one_line(refusal)
    assert "imagenet" in str(refusal.value)


def test_a_folder_is_no_weight_file(tmp_path):
    with pytest.raises(zoo.UsageError, match="no such weight file"):
        find_weights("alexnet", tmp_path)


@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_a_file_of_ones_own_is_taken_as_the_models_first(tmp_path, kind):
    path = write(tmp_path / "mine.th", OTHER)
    found = find_weights("resnet20", kind(path))
    assert found.path == path
    assert found.sha256 == hashlib.sha256(OTHER).hexdigest()
    assert found.source is SOURCES["resnet20"]["cifar10"]
    assert list(found.tensors) == ["a", "b"]


@pytest.mark.parametrize("known", KNOWN)
def test_a_file_of_ones_own_that_is_a_published_one_is_taken_as_that(monkeypatch, tmp_path, known):
    mine = publish(monkeypatch, "https://example.org", known)
    monkeypatch.setitem(SOURCES, "resnet20", dict(reversed(SOURCES["resnet20"].items())))
    assert find_weights("resnet20", write(tmp_path / "any name.bin", CONTENT)).source is mine
    assert find_weights("resnet20", write(tmp_path / "another.bin", OTHER)).source is not mine


def test_a_file_in_the_home_folder_and_in_this_one_is_found(monkeypatch, tmp_path):
    write(tmp_path / "mine.th", CONTENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for weights in ("~/mine.th", "mine.th", "./mine.th"):
        assert find_weights("resnet20", weights).sha256 == DIGEST


def test_a_damaged_file_of_ones_own_is_refused_by_name(tmp_path):
    path = write(tmp_path / "mine.th", CONTENT[:-1])
    with pytest.raises(zoo.WeightsError) as refusal:
        find_weights("resnet20", path)
    assert one_line(refusal).startswith(f"{path}: ")


@pytest.mark.parametrize("known", KNOWN)
def test_the_folder_of_weights_is_looked_into_first(monkeypatch, tmp_path, publisher, cache, known):
    publish(monkeypatch, publisher.url, known)
    cache.mkdir()
    write(cache / "tiny.th", CONTENT)
    path = write(tmp_path / "tiny.th", CONTENT)
    monkeypatch.setenv("ZOO_WEIGHTS_DIR", str(tmp_path))
    assert find_weights("resnet20", "tiny").path == path
    assert publisher.requests == []


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("content", [OTHER, CONTENT[:-1], CONTENT + b"1", b""], ids=["other", "cut", "long", "empty"])
def test_another_file_in_the_folder_of_weights_is_refused_by_name(
    monkeypatch, tmp_path, publisher, cache, known, content
):
    publish(monkeypatch, publisher.url, known)
    path = write(tmp_path / "tiny.th", content)
    monkeypatch.setenv("ZOO_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(zoo.WeightsError) as refusal:
        find_weights("resnet20", "tiny")
    message = one_line(refusal)
    assert message.startswith(f"{path}: ")
    assert hashlib.sha256(content).hexdigest() in message
    assert publisher.requests == []
    assert path.read_bytes() == content  # it is not ours to delete


@pytest.mark.parametrize("folder", ["", "elsewhere", "empty"])
def test_a_folder_of_weights_without_the_file_is_passed_over(monkeypatch, tmp_path, publisher, cache, folder):
    publish(monkeypatch, publisher.url)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("ZOO_WEIGHTS_DIR", str(tmp_path / folder) if folder else "")
    assert find_weights("resnet20", "tiny").path == cache / "tiny.th"


@pytest.mark.parametrize(("model", "name"), [("resnet20", "cifar10"), ("resnet56", "cifar10")])
def test_the_shared_files_are_the_published_ones(monkeypatch, model, name):
    source = SOURCES[model][name]
    if not (SHARED_WEIGHTS / source.file_name).is_file():
        pytest.skip(f"{source.file_name} is not among the shared files")
    monkeypatch.setenv("ZOO_WEIGHTS_DIR", str(SHARED_WEIGHTS))
    found = find_weights(model, name)
    assert found.sha256 == source.sha256
    assert found.source is source
    assert found.shortcut == source.shortcut == "zero_padding"
