"""What fits a model and what does not: by name, shape and kind, all or nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import safetensors.numpy

import zoo
from zoo.errors import UsageError, WeightsError
from zoo.weights.convert import load_weights
from zoo.weights.fetch import find_weights

SHAPE = (8, 8, 3)  # the weights of these networks do not depend on it
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


def cifar_tensors(depth: int = 20, classes: int = 10, *, shortcut: str = "zero_padding") -> dict[str, np.ndarray]:
    """A file's tensors in torchvision's names, random; batch counts among them, as Torch saves them."""
    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}

    def convolution(name: str, normalization: str, inputs: int, filters: int, size: int) -> None:
        kernel = random.normal(0, 0.1, (filters, inputs, size, size))
        tensors[f"{name}.weight"] = kernel.astype(np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{normalization}.{part}"] = random.uniform(0.5, 1.5, filters).astype(np.float32)
        tensors[f"{normalization}.num_batches_tracked"] = np.array(7)

    convolution("conv1", "bn1", 3, 16, 3)
    before = 16
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range((depth - 2) // 6):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1", f"{name}.bn1", before, filters, 3)
            convolution(f"{name}.conv2", f"{name}.bn2", filters, filters, 3)
            if before != filters and shortcut == "projection":
                convolution(f"{name}.downsample.0", f"{name}.downsample.1", before, filters, 1)
            before = filters
    tensors["fc.weight"] = random.normal(0, 0.1, (classes, 64)).astype(np.float32)
    tensors["fc.bias"] = random.normal(0, 0.1, classes).astype(np.float32)
    return tensors


def saved(tensors: dict[str, np.ndarray], path: Path) -> Path:
    safetensors.numpy.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("weights")
    return {
        shortcut: saved(cifar_tensors(shortcut=shortcut), directory / f"{shortcut}.safetensors")
        for shortcut in ("zero_padding", "projection")
    }


@pytest.fixture
def resnet20() -> keras.Model:
    return zoo.build("resnet20", SHAPE, 10)


def refusal_of(model: keras.Model, path: Path) -> str:
    """The message with which a file is refused; no variable of the model may have changed."""
    before = model.get_weights()
    with pytest.raises(WeightsError) as caught:
        load_weights(model, find_weights(model.name, path), "he_normal")
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    assert not hasattr(model, "zoo_weights")
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert model.name in message
    return message


# What does not fit


def test_all_that_does_not_fit_is_listed_in_one_line_and_nothing_is_loaded(resnet20, tmp_path):
    tensors = cifar_tensors()
    del tensors["layer1.0.conv1.weight"], tensors["fc.bias"]
    tensors["extra.weight"] = np.zeros(3, np.float32)
    tensors["layer9.0.bn1.bias"] = np.zeros(3, np.float32)
    tensors["conv1.weight"] = np.zeros((16, 3, 5, 5), np.float32)
    tensors["bn1.bias"] = np.zeros(17, np.float32)
    tensors["layer2.0.bn1.weight"] = np.array(1, np.float32)
    tensors["layer3.2.conv2.weight"] = tensors["layer3.2.conv2.weight"].astype(np.int32)
    tensors["layer3.2.bn2.running_var"] = np.ones(64, bool)
    message = refusal_of(resnet20, saved(tensors, tmp_path / "bad.safetensors"))
    missing, superfluous, shapes, kinds = message.partition("; ")[2].split("; ")
    assert missing.startswith("missing: ")
    assert set(missing.removeprefix("missing: ").split(", ")) == {"layer1.0.conv1.weight", "fc.bias"}
    assert superfluous.startswith("superfluous: ")
    assert set(superfluous.removeprefix("superfluous: ").split(", ")) == {"extra.weight", "layer9.0.bn1.bias"}
    assert "conv1.weight is 16x3x5x5 and should be 16x3x3x3" in shapes
    assert "bn1.bias is 17 and should be 16" in shapes
    assert "layer2.0.bn1.weight is one number and should be 32" in shapes
    assert "layer3.2.conv2.weight has int32 numbers" in kinds
    assert "layer3.2.bn2.running_var has bool numbers" in kinds


def without_first(tensors):
    del tensors["conv1.weight"]
    return "missing: conv1.weight"


def without_head(tensors):
    del tensors["fc.weight"], tensors["fc.bias"]
    return "missing: fc.weight, fc.bias"


def with_one_more(tensors):
    tensors["layer1.3.conv1.weight"] = np.zeros((16, 16, 3, 3), np.float32)
    return "superfluous: layer1.3.conv1.weight"


def turned_round(tensors):
    tensors["conv1.weight"] = tensors["conv1.weight"].transpose(2, 3, 1, 0).copy()
    return "conv1.weight is 3x3x3x16 and should be 16x3x3x3"


def head_turned_round(tensors):
    tensors["fc.weight"] = tensors["fc.weight"].T.copy()
    return "fc.weight is 64x10 and should be 10x64"


def of_integers(tensors):
    tensors["bn1.weight"] = np.ones(16, np.int64)
    return "bn1.weight has int64 numbers"


def renamed(tensors):
    tensors["stem.weight"] = tensors.pop("conv1.weight")
    return "missing: conv1.weight; superfluous: stem.weight"


def renamed_with_the_same_shape(tensors):
    tensors["layer1.0.conv9.weight"] = tensors.pop("layer1.0.conv1.weight")
    return "missing: layer1.0.conv1.weight; superfluous: layer1.0.conv9.weight"


def with_a_head_twice(tensors):
    tensors["linear.bias"] = tensors["fc.bias"].copy()
    return "superfluous: linear.bias"


def half_parallel(tensors):
    tensors["module.conv1.weight"] = tensors.pop("conv1.weight")
    return "missing: conv1.weight; superfluous: module.conv1.weight"


def with_a_head_that_disagrees(tensors):
    tensors["fc.bias"] = np.zeros(12, np.float32)
    return "fc.bias is 12 and should be 10"


def with_a_head_for_nobody(tensors):
    tensors["fc.weight"], tensors["fc.bias"] = np.zeros((0, 64), np.float32), np.zeros(0, np.float32)
    return "fc.weight is 0x64 and should be 10x64"


def with_other_classes_and_other_features(tensors):
    tensors["fc.weight"], tensors["fc.bias"] = np.zeros((7, 63), np.float32), np.zeros(7, np.float32)
    return "fc.weight is 7x63 and should be 10x64"


@pytest.mark.parametrize(
    "spoil",
    [
        without_first,
        without_head,
        with_one_more,
        turned_round,
        head_turned_round,
        of_integers,
        renamed,
        renamed_with_the_same_shape,
        with_a_head_twice,
        half_parallel,
        with_a_head_that_disagrees,
        with_a_head_for_nobody,
        with_other_classes_and_other_features,
    ],
    ids=lambda spoil: getattr(spoil, "__name__", None),
)
def test_one_tensor_that_does_not_fit_is_enough(resnet20, tmp_path, spoil):
    tensors = cifar_tensors()
    expected = spoil(tensors)
    assert expected in refusal_of(resnet20, saved(tensors, tmp_path / "bad.safetensors"))


def test_a_long_list_is_cut_and_counted(resnet20, tmp_path):
    path = saved({"nothing.weight": np.zeros(1, np.float32)}, tmp_path / "other.safetensors")
    message = refusal_of(resnet20, path)
    assert "superfluous: nothing.weight" in message
    assert message.count(",") < 30
    count = int(re.search(r"and (\d+) more", message)[1])
    listed = re.search("missing: (.*) and", message)[1].split(", ")
    assert count + len(listed) == 5 * 19 + 2  # a kernel and four of its normalisation; the head


@pytest.mark.parametrize(("file", "model"), [(20, 32), (32, 20)])
def test_the_weights_of_another_depth_are_refused(tmp_path, file, model):
    path = saved(cifar_tensors(file), tmp_path / "weights.safetensors")
    fault = "missing: layer1.3.conv1.weight" if model > file else "superfluous: layer1.3"
    with pytest.raises(WeightsError, match=re.escape(f"{path} does not fit resnet{model}; {fault}")):
        zoo.build(f"resnet{model}", SHAPE, 10, weights=path)


def test_build_says_what_does_not_fit_too(tmp_path):
    tensors = cifar_tensors()
    renamed(tensors)
    path = saved(tensors, tmp_path / "renamed.safetensors")
    with pytest.raises(WeightsError, match=re.escape(f"{path} does not fit resnet20; missing: conv1.weight")):
        zoo.build("resnet20", SHAPE, 10, weights=path)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_that_are_not_rgb_are_refused(files, channels):
    with pytest.raises(UsageError, match=rf"RGB images. Received: input_shape=\(8, 8, {channels}\)"):
        zoo.build("resnet20", (8, 8, channels), 10, weights=files["zero_padding"])


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("alexnet", (224, 224, 3), 227),
        ("alexnet", (227, 227, 1), 227),
        ("alexnet_v2", (227, 227, 3), 224),
        ("alexnet_v2", (64, 64, 3), 224),
    ],
)
def test_an_alexnet_with_weights_has_one_size(files, name, shape, size):
    with pytest.raises(UsageError, match=re.escape(f"{size}x{size}x3. Received: input_shape={shape}")):
        zoo.build(name, shape, 10, weights=files["zero_padding"])


def test_a_file_of_another_format_is_refused_by_alexnet(files):
    with pytest.raises(
        WeightsError, match=r"does not fit alexnet; missing: conv1/weights, conv1/biases, .*superfluous: "
    ):
        zoo.build("alexnet", (227, 227, 3), 2, weights=files["zero_padding"])


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


def test_other_classes_do_not_excuse_what_else_does_not_fit(tmp_path, caplog):
    model, tensors = zoo.build("resnet20", SHAPE, 4), cifar_tensors()
    fault = renamed(tensors)
    with caplog.at_level(logging.DEBUG, logger="zoo"):
        assert fault in refusal_of(model, saved(tensors, tmp_path / "renamed.safetensors"))
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


@pytest.mark.parametrize(
    ("of_file", "asked", "fault"),
    [
        ("zero_padding", "projection", r"missing: layer2\.0\.downsample\.0\.weight"),
        ("projection", "zero_padding", r"superfluous: layer2\.0\.downsample\.0\.weight"),
    ],
)
def test_shortcuts_that_contradict_the_file_are_refused(files, of_file, asked, fault):
    with pytest.raises(WeightsError, match=fault):
        zoo.build("resnet20", SHAPE, 10, weights=files[of_file], shortcut=asked)


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
