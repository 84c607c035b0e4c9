"""What is loaded of a file that fits, and what the model then remembers."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from resnet_files import SHAPE, cifar_tensors, saved

import zoo
from zoo.errors import UsageError

MOST_MEMORY = 2.5  # of the file's size
LOAD_ALEXNET = """
import json, os, sys, threading, time
import zoo.startup
import keras
import zoo
zoo.build("mlp", (4,), 2)
import zoo.models.alexnet

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

samples, is_done = [resident()], threading.Event()

def sample():
    while not is_done.wait(0.005):
        samples.append(resident())

thread = threading.Thread(target=sample)
thread.start()
model = zoo.build("alexnet", (227, 227, 3), 1000, weights=sys.argv[1])
is_done.set()
thread.join()
samples.append(resident())
last = [float(model.get_layer(name).kernel[-1, -1]) for name in ("fc6", "fc7", "predictions")]
print(json.dumps({"grown": max(samples) - samples[0], "samples": len(samples), "last": last}))
"""


# What is loaded


@pytest.mark.parametrize("shortcut", ["zero_padding", "projection"])
def test_every_tensor_comes_into_its_variable_bit_for_bit(files, shortcut):
    model, tensors = zoo.build("resnet20", SHAPE, 10, weights=files[shortcut]), cifar_tensors(shortcut=shortcut)
    loaded = {v.path: np.asarray(v) for v in model.weights if not v.path.startswith("normalization")}
    assert len(loaded) == sum("num_batches" not in name for name in tensors)
    expected = {
        "conv1/kernel": tensors["conv1.weight"].transpose(2, 3, 1, 0),
        "conv1_batch_normalization/gamma": tensors["bn1.weight"],
        "conv1_batch_normalization/moving_variance": tensors["bn1.running_var"],
        "stage2_block1_conv1/kernel": tensors["layer2.0.conv1.weight"].transpose(2, 3, 1, 0),
        "stage2_block1_conv2_batch_normalization/beta": tensors["layer2.0.bn2.bias"],
        "stage3_block3_conv2_batch_normalization/moving_mean": tensors["layer3.2.bn2.running_mean"],
        "predictions/kernel": tensors["fc.weight"].T,
        "predictions/bias": tensors["fc.bias"],
    }
    if shortcut == "projection":
        expected["stage3_block1_shortcut/kernel"] = tensors["layer3.0.downsample.0.weight"].transpose(2, 3, 1, 0)
        expected["stage3_block1_shortcut_batch_normalization/gamma"] = tensors["layer3.0.downsample.1.weight"]
    for path, value in expected.items():
        np.testing.assert_array_equal(loaded[path], value, err_msg=path)


def idelbayev_name(name: str) -> str:
    return f"module.{name.replace('fc.', 'linear.')}"


def test_the_names_of_the_repositories_say_the_same(files, tmp_path):
    tensors = {idelbayev_name(name): tensor for name, tensor in cifar_tensors().items()}
    theirs = zoo.build("resnet20", SHAPE, 10, weights=saved(tensors, tmp_path / "idelbayev.safetensors"))
    shortcuts = {
        name.replace(".downsample.", ".shortcut."): tensor
        for name, tensor in cifar_tensors(shortcut="projection").items()
    }
    others = zoo.build("resnet20", SHAPE, 10, weights=saved(shortcuts, tmp_path / "shortcuts.safetensors"))
    for model, shortcut in ((theirs, "zero_padding"), (others, "projection")):
        ours = zoo.build("resnet20", SHAPE, 10, weights=files[shortcut])
        for one, other in zip(ours.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("are_there", [True, False])
def test_counts_of_batches_are_ignored(tmp_path, are_there):
    tensors = {n: t for n, t in cifar_tensors().items() if are_there or "num_batches_tracked" not in n}
    tensors |= {"somewhere.else.num_batches_tracked": np.array(3)} if are_there else {}
    model = zoo.build("resnet20", SHAPE, 10, weights=saved(tensors, tmp_path / "counts.safetensors"))
    np.testing.assert_array_equal(model.get_layer("predictions").bias, tensors["fc.bias"])


@pytest.mark.parametrize("kind", ["float16", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_numbers_of_another_precision_are_converted(tmp_path, kind, dtype):
    tensors = {n: t if t.dtype.kind == "i" else t.astype(kind) for n, t in cifar_tensors().items()}
    path = saved(tensors, tmp_path / "weights.safetensors")
    model = zoo.build("resnet20", SHAPE, 10, weights=path, dtype=dtype)
    kernel = np.asarray(model.get_layer("conv1").kernel)
    assert kernel.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(kernel, tensors["conv1.weight"].transpose(2, 3, 1, 0).astype(kernel.dtype))


def test_a_file_for_other_classes_gives_all_but_the_last_layer(files, caplog):
    path = files["zero_padding"]
    whole = zoo.build("resnet20", SHAPE, 10, weights=path)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="zoo"):
        model = zoo.build("resnet20", SHAPE, 4, weights=path, seed=3)
    (record,) = [r for r in caplog.records if r.name == "zoo"]
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert "\n" not in message
    for part in (str(path), "its 10 classes", "'predictions'", "resnet20", "4 classes"):
        assert part in message
    for one, other in zip(whole.weights[:-2], model.weights[:-2], strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one, other)
    kernel, bias = model.get_layer("predictions").get_weights()
    assert kernel.shape == (64, 4)
    assert kernel.std() == pytest.approx((2 / 64) ** 0.5, rel=0.2)  # he_normal
    np.testing.assert_array_equal(bias, 0)
    assert np.all(np.isfinite(model(np.ones((1, *SHAPE), np.float32))))


def test_the_new_last_layer_is_drawn_by_the_seed(files):
    def head(seed: int) -> np.ndarray:
        model = zoo.build("resnet20", SHAPE, 4, weights=files["zero_padding"], seed=seed)
        return np.asarray(model.get_layer("predictions").kernel)

    np.testing.assert_array_equal(head(1), head(1))
    assert not np.array_equal(head(1), head(2))


def test_the_new_last_layer_has_the_initializer_that_was_asked_for(files):
    model = zoo.build("resnet20", SHAPE, 4, weights=files["zero_padding"], kernel_initializer="ones")
    np.testing.assert_array_equal(model.get_layer("predictions").kernel, 1)
    assert not np.all(np.asarray(model.get_layer("conv1").kernel) == 1)


def test_a_file_for_as_many_classes_says_nothing(files, caplog):
    with caplog.at_level(logging.DEBUG, logger="zoo"):
        zoo.build("resnet20", SHAPE, 10, weights=files["zero_padding"])
    assert not [r for r in caplog.records if r.name == "zoo"]


@pytest.mark.parametrize(
    "initializer",
    ["he_normal", "glorot_uniform", keras.initializers.RandomNormal(stddev=0.25, seed=3)],
    ids=["he_normal", "glorot_uniform", "object"],
)
@pytest.mark.parametrize("num_classes", [10, 4])
def test_the_configuration_names_the_initializer_that_was_asked_for(files, initializer, num_classes):
    options = {"weights": files["projection"], "kernel_initializer": initializer}
    model = zoo.build("resnet20", SHAPE, num_classes, **options)
    expected = keras.initializers.get(initializer)
    layers = [layer for layer in model.layers if hasattr(layer, "kernel_initializer")]
    assert len(layers) == 22
    for layer in layers:
        assert type(layer.kernel_initializer) is type(expected)
        config = layer.get_config()["kernel_initializer"]
        assert config["class_name"] == type(expected).__name__
        assert config["config"].get("stddev") == expected.get_config().get("stddev")
    again = keras.Model.from_config(model.get_config())
    assert np.asarray(again.get_layer("conv1").kernel).std() > 0.01


def test_a_model_remembers_the_file_and_its_hash(files):
    path = files["zero_padding"]
    for weights in (path, str(path)):
        model = zoo.build("resnet20", SHAPE, 10, weights=weights)
        assert model.zoo_build["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert model.zoo_build["options"] == {"weights": str(path)}
        json.dumps(model.zoo_build)
    assert "weights_sha256" not in zoo.build("resnet20", SHAPE, 10).zoo_build


def has_projections(model: keras.Model) -> bool:
    shortcuts = [layer for layer in model.layers if layer.name.endswith("_shortcut")]
    assert len(shortcuts) == 2
    return all(isinstance(layer, keras.layers.Conv2D) for layer in shortcuts)


@pytest.mark.parametrize("shortcut", ["zero_padding", "projection"])
def test_the_file_decides_the_shortcuts(files, shortcut):
    model = zoo.build("resnet20", SHAPE, 10, weights=files[shortcut])
    assert has_projections(model) == (shortcut == "projection")
    same = zoo.build("resnet20", SHAPE, 10, weights=files[shortcut], shortcut=shortcut)
    assert [layer.name for layer in same.layers] == [layer.name for layer in model.layers]


def test_without_a_file_shortcuts_are_those_of_the_paper_unless_asked_otherwise():
    assert not has_projections(zoo.build("resnet20", SHAPE, 10))
    assert has_projections(zoo.build("resnet20", SHAPE, 10, shortcut="projection"))
    with pytest.raises(UsageError, match="shortcut='none'"):
        zoo.build("resnet20", SHAPE, 10, shortcut="none")


def test_pixels_are_normalised_in_the_model_where_there_are_weights(files):
    model = zoo.build("resnet20", SHAPE, 10, weights=files["zero_padding"])
    assert [layer.name for layer in model.layers][:3] == ["inputs", "normalization", "conv1"]
    layer = model.get_layer("normalization")
    assert isinstance(layer, keras.layers.Normalization)
    x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    expected = (x - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    names = [layer.name for layer in zoo.build("resnet20", SHAPE, 10).layers]
    assert "normalization" not in names
    assert names == [layer.name for layer in model.layers if layer.name != "normalization"]


def test_training_changes_the_weights_and_not_the_normalisation_or_the_file(files):
    path = files["zero_padding"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = zoo.build("resnet20", SHAPE, 10, weights=path)
    before = {v.path: np.asarray(v) for v in model.weights}
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.random.default_rng(0).random((4, *SHAPE), np.float32), np.arange(4), verbose=0)
    changed = {v.path for v in model.weights if not np.array_equal(v, before[v.path])}
    assert {"conv1/kernel", "predictions/kernel"} <= changed
    assert not [path for path in changed if path.startswith("normalization")]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


# Memory


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc to measure memory")
def test_the_file_of_alexnet_is_loaded_in_little_more_than_twice_its_size(tmp_path):
    shapes = {
        "conv1": (11, 11, 3, 96),
        "conv2": (5, 5, 48, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384),
        "conv5": (3, 3, 192, 256),
        "fc6": (9216, 4096),
        "fc7": (4096, 4096),
        "fc8": (4096, 1000),
    }
    random = np.random.default_rng(0)
    layers = {
        name: [random.random(shape, np.float32), random.random(shape[-1], np.float32)] for name, shape in shapes.items()
    }
    path = tmp_path / "bvlc_alexnet.npy"
    np.save(path, np.array(layers, dtype=object), allow_pickle=True)
    last = [float(layers[name][0][-1, -1]) for name in ("fc6", "fc7", "fc8")]
    del layers
    size = path.stat().st_size
    assert 243_000_000 < size < 245_000_000
    command = [sys.executable, "-c", LOAD_ALEXNET, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    path.unlink()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"grown by {found['grown'] / size:.2f} times the file, {found['samples']} samples")
    assert found["last"] == last
    assert found["samples"] > 20
    assert 0.9 * size < found["grown"] < MOST_MEMORY * size, f"{found['grown'] / size:.2f} times the file"
