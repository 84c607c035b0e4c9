"""Published formats into our models, layer by layer against PyTorch, and against what the published networks answered."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

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

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of red, green, blue
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CAFFE_MEAN = (104.0069879, 116.6687676, 122.6789143)  # of blue, green, red


def normalized(images: np.ndarray, moments=IMAGENET) -> torch.Tensor:
    """RGB in [0, 1] -> what torchvision's and Idelbayev's networks take."""
    mean, deviation = moments
    return torch.tensor((images - np.float32(mean)) / np.float32(deviation)).permute(0, 3, 1, 2)


def normalized_as_by_chen(images: np.ndarray) -> torch.Tensor:
    return normalized(images, CIFAR10)


def caffe_input(images: np.ndarray) -> torch.Tensor:
    """RGB in [0, 1] -> what Caffe's network takes."""
    return torch.tensor(images[..., ::-1] * np.float32(255) - np.float32(CAFFE_MEAN)).permute(0, 3, 1, 2)


# our layer -> the PyTorch module whose output it has

CAFFE_LAYERS = {
    "conv1": "conv1",
    "conv1_response_normalization": "norm1",
    "conv1_pool": "pool1",
    "conv2": "conv2",
    "conv2_response_normalization": "norm2",
    "conv2_pool": "pool2",
    "conv3": "conv3",
    "conv4": "conv4",
    "conv5": "conv5",
    "conv5_pool": "pool5",
    "fc6": "fc6",
    "fc7": "fc7",
    "predictions": "fc8",
}

TORCHVISION_ALEXNET_LAYERS = {
    "conv1": "features.0",
    "conv1_activation": "features.1",
    "conv1_pool": "features.2",
    "conv2": "features.3",
    "conv2_activation": "features.4",
    "conv2_pool": "features.5",
    "conv3": "features.6",
    "conv3_activation": "features.7",
    "conv4": "features.8",
    "conv4_activation": "features.9",
    "conv5": "features.10",
    "conv5_activation": "features.11",
    "conv5_pool": "features.12",
    "fc6": "classifier.1",
    "fc6_activation": "classifier.2",
    "fc7": "classifier.4",
    "fc7_activation": "classifier.5",
    "predictions": "classifier.6",
}


def resnet_layers(blocks: tuple[int, ...], convolutions: int, head: str, *, projected: tuple[int, ...], is_large: bool):
    """The map of a residual network; stages in `projected` begin with a 1x1 convolution around the block."""
    layers = {"conv1": "conv1", "conv1_batch_normalization": "bn1", "pool": "avgpool", "predictions": head}
    if is_large:
        layers["conv1_pool"] = "maxpool"
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            ours, theirs = f"stage{stage}_block{block}", f"layer{stage}.{block - 1}"
            for i in range(1, convolutions + 1):
                layers[f"{ours}_conv{i}"] = f"{theirs}.conv{i}"
                layers[f"{ours}_conv{i}_batch_normalization"] = f"{theirs}.bn{i}"
            if block == 1 and stage in projected:
                layers[f"{ours}_shortcut"] = f"{theirs}.downsample.0"
                layers[f"{ours}_shortcut_batch_normalization"] = f"{theirs}.downsample.1"
            layers[f"{ours}_activation"] = theirs
    return layers


def cifar_layers(depth: int, *, is_projected: bool) -> dict[str, str]:
    head, projected = ("fc", (2, 3)) if is_projected else ("linear", ())
    return resnet_layers(((depth - 2) // 6,) * 3, 2, head, projected=projected, is_large=False)


# state -> file


def save_zip(network, path: Path) -> None:
    torch.save(network.state_dict(), path)


def save_legacy(network, path: Path) -> None:
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)


def save_idelbayev(network, path: Path) -> None:
    """A legacy checkpoint with other things beside the dictionary."""
    checkpoint = {"state_dict": torch_networks.parallel(network.state_dict()), "best_prec1": 91.5}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


def save_safetensors(network, path: Path) -> None:
    safetensors.torch.save_file(network.state_dict(), path)


def save_caffe(network, path: Path) -> None:
    np.save(path, np.array(network.caffe_dictionary(), dtype=object), allow_pickle=True)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network as it is published."""

    model: str
    size: int
    count: int
    make: Callable[[], torch.nn.Module]
    layers: dict[str, str]
    save: Callable[[torch.nn.Module, Path], None]
    file_name: str
    options: dict = dataclasses.field(default_factory=dict)
    prepare: Callable[[np.ndarray], torch.Tensor] = normalized
    calibration: int = 0  # side of the images that randomise it, where it need not be its own


def cifar_case(depth: int, *, is_projected: bool, save: Callable, file_name: str) -> Case:
    return Case(
        f"resnet{depth}",
        32,
        16,
        lambda: torch_networks.cifar_resnet(depth, is_projected=is_projected),
        cifar_layers(depth, is_projected=is_projected),
        save,
        file_name,
        prepare=normalized_as_by_chen if is_projected else normalized,
    )


def imagenet_case(depth: int, layers: dict[str, str], save: Callable, file_name: str) -> Case:
    make = lambda: torch_networks.imagenet_resnet(depth)  # noqa: E731
    return Case(f"resnet{depth}", 224, 2, make, layers, save, file_name, calibration=96)


CASES = {
    "alexnet, Caffe": Case(
        "alexnet",
        227,
        2,
        torch_networks.CaffeAlexNet,
        CAFFE_LAYERS,
        save_caffe,
        "caffe.npy",
        prepare=caffe_input,
    ),
    "alexnet_v2, torchvision": Case(
        "alexnet_v2",
        224,
        2,
        torch_networks.TorchvisionAlexNet,
        TORCHVISION_ALEXNET_LAYERS,
        save_legacy,
        "alexnet.pth",
    ),
    "resnet18, torchvision": imagenet_case(
        18,
        resnet_layers((2, 2, 2, 2), 2, "fc", projected=(2, 3, 4), is_large=True),
        save_legacy,
        "resnet18.pth",
    ),
    "resnet34, torchvision": imagenet_case(34, {"predictions": "fc"}, save_safetensors, "resnet34.safetensors"),
    "resnet50, torchvision": imagenet_case(
        50,
        resnet_layers((3, 4, 6, 3), 3, "fc", projected=(1, 2, 3, 4), is_large=True),
        save_zip,
        "resnet50.pth",
    ),
    "resnet20, Idelbayev": cifar_case(20, is_projected=False, save=save_idelbayev, file_name="resnet20.th"),
    "resnet20, Chen": cifar_case(20, is_projected=True, save=save_zip, file_name="resnet20.pt"),
    "resnet32, Chen": cifar_case(32, is_projected=True, save=save_safetensors, file_name="resnet32.safetensors"),
    "resnet44, Idelbayev": cifar_case(44, is_projected=False, save=save_idelbayev, file_name="resnet44.th"),
    "resnet56, Idelbayev": cifar_case(56, is_projected=False, save=save_idelbayev, file_name="resnet56.th"),
    "resnet56, Chen": cifar_case(56, is_projected=True, save=save_zip, file_name="resnet56.pt"),
}


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
