"""Networks of PyTorch and the files that are made of them: what goes in, and which of our layers computes which of theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the referee")


import safetensors.torch  # noqa: E402
import torch_networks  # noqa: E402

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
