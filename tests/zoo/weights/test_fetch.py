from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from weight_files import GOOD, ROOT, SHARED_WEIGHTS, write

import zoo
from zoo.weights.fetch import find_weights
from zoo.weights.labels import list_classes
from zoo.weights.sources import SOURCES, Source

CONTENT = GOOD["th"]
OTHER = GOOD["pth"]  # good weights, but not those that were asked for
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# how much the publisher says of a file
KNOWN = {
    "all digits": {"sha256": DIGEST},
    "eight digits": {"sha256": DIGEST[:8]},
    "size": {"sha256": None, "size": len(CONTENT)},
}
EVERY = [(model, name) for model, sources in SOURCES.items() for name in sources]


class Publisher:
    """A server of one file, which remembers what it was asked for.

    Attributes:
        manner: "whole"; "short": it says how much comes, and sends half of it; "unsaid": the same without saying how
            much; or a status such as "404".
        content: what it sends.
    """

    def __init__(self):
        self.requests = []
        self.manner = "whole"
        self.content = CONTENT
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.requests.append(self.path)
                if publisher.manner.isdigit():
                    self.send_error(int(publisher.manner))
                    return
                content = publisher.content
                self.send_response(200)
                if publisher.manner != "unsaid":
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content if publisher.manner == "whole" else content[: len(content) // 2])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publisher = Publisher()
    yield publisher
    publisher.close()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The folder of our downloads, below a home of Keras that is the test's own; Keras reads KERAS_HOME only once."""
    monkeypatch.delenv("ZOO_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras" / "keras-zoo"


def publish(monkeypatch, url, known="all digits", **parts):
    """Makes `find_weights("resnet20", "tiny")` one that finds the file of this address."""
    source = dataclasses.replace(SOURCES["resnet20"]["cifar10"], url=f"{url}/tiny.th", **KNOWN[known], **parts)
    monkeypatch.setitem(SOURCES, "resnet20", {"tiny": source, "cifar10": SOURCES["resnet20"]["cifar10"]})
    return source


def closed_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def no_such_host(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def one_line(error):
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


# What is no download


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


# Downloads


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


# The table


def test_file_names_are_unique():
    names = [SOURCES[model][name].file_name for model, name in EVERY]
    assert len(set(names)) == len(names)


def test_every_model_of_the_table_is_one_of_the_catalog():
    assert set(SOURCES) <= set(zoo.list_models())
    assert all(sources for sources in SOURCES.values())


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_every_source_is_told_as_it_should_be(model, name):
    source = SOURCES[model][name]
    assert isinstance(source, Source)
    assert re.fullmatch(r"https://[\w.-]+/[\w./~-]+", source.url)
    assert re.fullmatch(r"[\w-]+\.(npy|pth|th|pt)", source.file_name)
    digits = re.search(r"-([0-9a-f]{8})\.", source.file_name)
    if source.sha256 is None:
        assert source.size > 2**20
        assert digits is None
    else:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{8}", source.sha256)
        assert source.size is None
        assert digits is not None
        assert source.sha256.startswith(digits[1])
    assert source.format == ("npy" if source.file_name.endswith(".npy") else "torch")
    assert source.licence
    assert source.shortcut in (None, "projection", "zero_padding")
    assert (source.shortcut is not None) == source.classes.startswith("cifar")


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_classes_and_accuracies_are_plausible(model, name):
    source = SOURCES[model][name]
    classes = len(list_classes(source.classes))
    assert name.startswith(source.classes)
    assert 100 / classes < source.top1 < 100
    assert source.top5 is None or source.top1 < source.top5 < 100


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_normalizations_are_those_of_natural_images(model, name):
    mean, std = SOURCES[model][name].normalization
    assert all(0.4 < m < 0.52 for m in mean)
    assert mean[0] > mean[1] > mean[2]  # photographs are warm: this would be wrong in blue, green, red
    if model == "alexnet":
        assert std == pytest.approx((1 / 255,) * 3)  # Caffe divides by nothing
    else:
        assert all(0.19 < s < 0.29 for s in std)


@pytest.mark.parametrize(
    ("model", "name", "mean", "std"),
    [
        ("resnet50", "imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("alexnet_v2", "imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet20", "cifar10", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet20", "cifar10_projection", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("resnet20", "cifar100", (0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)),
    ],
)
def test_normalizations_are_those_of_the_publishers(model, name, mean, std):
    assert SOURCES[model][name].normalization == (mean, std)


def test_deeper_networks_are_better():
    for models in (["resnet20", "resnet32", "resnet44", "resnet56"], ["resnet18", "resnet34", "resnet50"]):
        for name in SOURCES[models[0]]:
            accuracies = [SOURCES[model][name].top1 for model in models]
            assert accuracies == sorted(accuracies)
