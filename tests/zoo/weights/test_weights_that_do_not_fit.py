"""What does not fit a model: by name, shape and kind, all or nothing."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from resnet_files import SHAPE, cifar_tensors, saved

import zoo
from zoo.errors import UsageError, WeightsError
from zoo.weights.convert import load_weights
from zoo.weights.fetch import find_weights


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


def test_other_classes_do_not_excuse_what_else_does_not_fit(tmp_path, caplog):
    model, tensors = zoo.build("resnet20", SHAPE, 4), cifar_tensors()
    fault = renamed(tensors)
    with caplog.at_level(logging.DEBUG, logger="zoo"):
        assert fault in refusal_of(model, saved(tensors, tmp_path / "renamed.safetensors"))
    assert not [r for r in caplog.records if r.name == "zoo"]


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
