"""Published formats into our models, layer by layer against PyTorch, and against what the published networks answered."""

from __future__ import annotations

import os
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from parity_cases import CASES, Case, normalized

import zoo
from zoo.models.fusing import fuse_model

torch = pytest.importorskip("torch", reason="PyTorch is the referee")


import safetensors.torch  # noqa: E402
import torch_networks  # noqa: E402

SHARED = Path(__file__).parents[4] / "shared"
WEIGHTS = Path(os.environ.get("ZOO_WEIGHTS_DIR", SHARED / "weights"))
GOLDEN = SHARED / "golden"
CLOSE = 1e-4  # of a layer's largest activation; of a probability, absolute
EXPORTED = 1e-5  # of a probability


def photographs(count: int, size: int, seed: int = 0) -> np.ndarray:
    """RGB in [0, 1] with shapes at all scales and colours that differ."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, size, size, 3))
    for cells in (1, 2, 4, 8, 16):
        coarse = random.normal(size=(count, cells, cells, 3))
        rows = np.arange(size) * cells // size
        images += coarse[:, rows][:, :, rows]
    images += random.normal(0, 0.3, images.shape) + np.array([0.8, 0, -0.8])
    return (1 / (1 + np.exp(-images))).astype(np.float32)


def in_case(case: Case):
    """The PyTorch network of a case, randomised."""
    return torch_networks.randomized(case.make(), case.prepare(photographs(8, case.calibration or case.size, seed=1)))


def torch_outputs(network, images: torch.Tensor, names: list[str]) -> dict[str, np.ndarray]:
    """Module name -> its output as Keras arranges it; copies, because what follows may work in place."""
    modules, found = dict(network.named_modules()), {}

    def keep(name: str):
        def hook(module, inputs, output) -> None:
            array = output.detach().clone().numpy()
            found[name] = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return found


def softmax(logits) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def relative_differences(model: keras.Model, network, case: Case, images: np.ndarray) -> dict[str, float]:
    """Our layer -> the largest difference from PyTorch's, as a part of the largest activation."""
    theirs = torch_outputs(network, case.prepare(images), list(case.layers.values()))
    ours = keras.Model(model.input, {name: model.get_layer(name).output for name in case.layers})(images)
    differences = {}
    for name, module in case.layers.items():
        expected = theirs[module]
        expected = expected[:, 0, 0] if module == "avgpool" else expected
        found = np.asarray(ours[name])
        assert found.shape == expected.shape, name
        largest = np.abs(expected).max()
        assert 1e-3 < largest < 1e4, f"{name}: no scale to compare at, {largest}"
        differences[name] = float(np.abs(found - expected).max() / largest)
    return differences


@pytest.mark.parametrize("name", CASES)
def test_a_published_file_makes_every_layer_compute_what_pytorch_computes(name, tmp_path, record_property):
    case = CASES[name]
    network, path = in_case(case), tmp_path / case.file_name
    case.save(network, path)
    images = photographs(case.count, case.size)
    num_classes = 10 if case.size == 32 else 1000
    model = zoo.build(
        case.model,
        (case.size, case.size, 3),
        num_classes,
        weights=path,
        classifier_activation=None,
        **case.options,
    )
    path.unlink()
    if len(case.layers) > 1:  # else only the output is asked for
        weighted = {layer.name for layer in model.layers if layer.weights and "dropout" not in layer.name}
        assert weighted - {"normalization"} <= set(case.layers)
    differences = relative_differences(model, network, case, images)
    record_property("largest_relative_difference", max(differences.values()))
    assert max(differences.values()) < CLOSE, {k: v for k, v in differences.items() if v >= CLOSE}
    with torch.no_grad():
        expected = softmax(network(case.prepare(images)))
    assert expected.max() > 3 / num_classes
    assert np.ptp(expected, axis=0).max() > 1e-3, "the images are all one to it"
    np.testing.assert_allclose(softmax(model(images)), expected, rtol=0, atol=CLOSE)


# One file, several ways to use it


@pytest.fixture(scope="module")
def resnet20(tmp_path_factory):
    """A file in Idelbayev's format, images and PyTorch's probabilities."""
    case = CASES["resnet20, Idelbayev"]
    network, path = in_case(case), tmp_path_factory.mktemp("resnet20") / case.file_name
    case.save(network, path)
    images = photographs(32, 32)
    with torch.no_grad():
        return path, images, softmax(network(normalized(images)))


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-5), ("mixed_bfloat16", 0.05)])
def test_pretrained_models_of_other_precisions_answer_nearly_the_same(resnet20, dtype, close):
    path, images, expected = resnet20
    model = zoo.build("resnet20", (32, 32, 3), 10, weights=path, dtype=dtype)
    found = model(images)
    assert found.dtype == ("float64" if dtype == "float64" else "float32")
    assert model.get_layer("conv1").compute_dtype == dtype.removeprefix("mixed_")
    assert model.get_layer("normalization").compute_dtype == found.dtype
    assert np.abs(found - expected).max() < close
    assert np.mean(np.argmax(found, axis=1) == expected.argmax(axis=1)) > 0.9
    kernel = np.asarray(model.get_layer("conv1").kernel)
    assert kernel.dtype == ("float64" if dtype == "float64" else "float32")


def test_the_kind_of_file_makes_no_difference(resnet20, tmp_path):
    path, images, expected = resnet20
    state = torch.load(path, weights_only=False)["state_dict"]
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "zip.th")
    torch.save(plain, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(plain, tmp_path / "tensors.safetensors")
    kernels = []
    for name in ("zip.th", "legacy.pt", "tensors.safetensors"):
        model = zoo.build("resnet20", (32, 32, 3), 10, weights=tmp_path / name)
        np.testing.assert_allclose(model(images), expected, rtol=0, atol=CLOSE)
        kernels.append(model.get_weights())
    for others in kernels[1:]:
        for one, other in zip(kernels[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def assert_files_answer_alike(model: keras.Model, images: np.ndarray, directory: Path) -> None:
    """Saved as .keras and exported, the model gives the probabilities that it gives."""
    expected = np.asarray(model(images))
    model.save(directory / "model.keras")
    loaded = keras.saving.load_model(directory / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(images), expected, rtol=0, atol=EXPORTED)
    np.testing.assert_allclose(fuse_model(loaded)(images), expected, rtol=0, atol=EXPORTED)
    model.export(str(directory / "exported"), format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(str(directory / "exported"))
    np.testing.assert_allclose(exported.serve(images), expected, rtol=0, atol=EXPORTED)


def test_a_pretrained_resnet20_answers_alike_from_its_files(resnet20, tmp_path):
    path, images, expected = resnet20
    model = zoo.build("resnet20", (32, 32, 3), 10, weights=path)
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=CLOSE)
    assert_files_answer_alike(model, images, tmp_path)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_v2"])
def test_an_alexnet_answers_alike_from_its_files(name, tmp_path):
    model = zoo.build(name, (67, 67, 3), 5, kernel_initializer="glorot_uniform")
    images = photographs(4, 67) * 100  # so that the response normalisation counts
    probabilities = np.asarray(model(images))
    assert np.ptp(probabilities, axis=0).max() > 1e-3
    assert_files_answer_alike(model, images, tmp_path)
    (tmp_path / "model.keras").unlink()


# The published files themselves


@pytest.mark.parametrize(("depth", "file_name"), [(20, "resnet20-12fca82f.th"), (56, "resnet56-4bfd9763.th")])
def test_a_published_network_answers_what_it_answered_in_pytorch(depth, file_name):
    path, golden = WEIGHTS / file_name, GOLDEN / f"resnet{depth}_cifar10.npz"
    for needed in (path, golden):
        if not needed.is_file():
            pytest.skip(f"needs {needed}")
    with np.load(golden) as file:
        images, labels, logits = file["images"], file["labels"], file["logits"]
    model = zoo.build(f"resnet{depth}", (32, 32, 3), 10, weights=path)
    found = np.asarray(model(images.astype(np.float32) / 255))
    np.testing.assert_allclose(found, softmax(logits), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), logits.argmax(axis=1))
    assert np.mean(found.argmax(axis=1) == labels) > 0.7  # these images are strong JPEG; the published ones give 0.92
