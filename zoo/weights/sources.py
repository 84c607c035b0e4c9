"""The table of published weights: model -> name -> where the file lies, what it expects and what it is worth."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Normalization(NamedTuple):
    """What is subtracted from red, green, blue in [0, 1], and what the differences are divided by."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CIFAR10 = Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_CIFAR100 = Normalization((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))
# The mean pixel of BVLC's training images is (104.0069879, 116.6687676, 122.6789143) in blue, green, red of 0..255.
_CAFFE = Normalization((122.6789143 / 255, 116.6687676 / 255, 104.0069879 / 255), (1 / 255, 1 / 255, 1 / 255))


@dataclasses.dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
        url: where it is downloaded from; its last part is the file's name.
        sha256: of the file; the first eight digits where its publisher states no more, `None` where nobody states it.
        size: bytes, where `sha256` is `None`.
        image_size: height and width of the images that it was made for.
        classes: name of the class list of its outputs, see `zoo.weights.labels`.
        normalization: what the publisher does to the pixels.
        top1: published accuracy on the test (CIFAR) or validation (ImageNet) set in percent: one centre crop.
        top5: the same of five guesses, where it is published.
        licence: of the repository or model page that publishes it.
        shortcut: which shortcuts its residual network has; `None` where there is no choice.
    """

    url: str
    sha256: str | None
    image_size: int
    classes: str
    normalization: Normalization
    top1: float
    top5: float | None = None
    licence: str = "BSD-3-Clause"
    size: int | None = None
    shortcut: str | None = None

    @property
    def file_name(self) -> str:
        """The name under which the file is looked for."""
        return self.url.rpartition("/")[2]


def _torchvision(name: str, sha256: str, top1: float, top5: float) -> Source:
    """Accuracies, transforms and hashes: pytorch.org/vision/stable/models.html; 224-pixel centre crops."""
    url = f"https://download.pytorch.org/models/{name}"
    return Source(url, sha256, 224, "imagenet", _IMAGENET, top1, top5)


def _idelbayev(name: str, sha256: str, top1: float) -> Source:
    """Yerlan Idelbayev's "Proper ResNet implementation for CIFAR10/CIFAR100 in PyTorch", trained as in He et al. (2016)."""
    url = f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{name}"
    licence = "BSD-2-Clause"
    return Source(url, sha256, 32, "cifar10", _IMAGENET, top1, licence=licence, shortcut="zero_padding")


def _chen(name: str, sha256: str, top1: float, top5: float) -> Source:
    """Yaofo Chen's "PyTorch CIFAR Models"; shortcuts are 1x1 convolutions, and inputs are normalised by CIFAR's own moments."""
    url = f"https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/{name}"
    classes = name.partition("_")[0]
    moments = _CIFAR10 if classes == "cifar10" else _CIFAR100
    return Source(url, sha256, 32, classes, moments, top1, top5, shortcut="projection")


SOURCES: dict[str, dict[str, Source]] = {
    "alexnet": {
        # Caffe's bvlc_alexnet, converted for TensorFlow (University of Toronto); its hash is published nowhere.
        "imagenet": Source(
            "https://www.cs.toronto.edu/~guerzhoy/tf_alexnet/bvlc_alexnet.npy",
            None,
            227,
            "imagenet",
            _CAFFE,
            top1=57.1,
            top5=80.2,
            licence="unrestricted use (BVLC)",
            size=243_861_814,
        ),
    },
    "alexnet_v2": {
        "imagenet": _torchvision(
            "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            56.522,
            79.066,
        ),
    },
    "resnet18": {
        "imagenet": _torchvision(
            "resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 69.758, 89.078
        ),
    },
    "resnet34": {
        "imagenet": _torchvision(
            "resnet34-b627a593.pth", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", 73.314, 91.420
        ),
    },
    "resnet50": {
        "imagenet": _torchvision(
            "resnet50-0676ba61.pth", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 76.130, 92.862
        ),
        "imagenet_v2": _torchvision(
            "resnet50-11ad3fa6.pth", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca", 80.858, 95.434
        ),
    },
    "resnet20": {
        "cifar10": _idelbayev(
            "resnet20-12fca82f.th", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", 91.73
        ),
        "cifar10_projection": _chen(
            "cifar10_resnet20-4118986f.pt",
            "4118986f0df73003d572b0e397f0ac7b3f60af1f31aff3d2da164536e36f6ec8",
            92.60,
            99.81,
        ),
        "cifar100": _chen(
            "cifar100_resnet20-23dac2f1.pt",
            "23dac2f1bc53fd65b9fd0bd30a46f91ab39fa16505430cc7999662237598209d",
            68.83,
            91.01,
        ),
    },
    "resnet32": {
        "cifar10": _idelbayev(
            "resnet32-d509ac18.th", "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850", 92.63
        ),
        "cifar10_projection": _chen(
            "cifar10_resnet32-ef93fc4d.pt",
            "ef93fc4d3ea83c08d75bfd6fc31af56047cfa241608c9ba3a1f6dc11cca20dd9",
            93.53,
            99.77,
        ),
        "cifar100": _chen(
            "cifar100_resnet32-84213ce6.pt",
            "84213ce69c556d1e3b983dc13d154a92d4132113592eae55215a656f62bfb896",
            70.16,
            90.89,
        ),
    },
    "resnet44": {
        "cifar10": _idelbayev(
            "resnet44-014dd654.th", "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4", 93.10
        ),
        "cifar10_projection": _chen("cifar10_resnet44-2a3cabcb.pt", "2a3cabcb", 94.01, 99.77),
        "cifar100": _chen("cifar100_resnet44-ffe32858.pt", "ffe32858", 71.63, 91.58),
    },
    "resnet56": {
        "cifar10": _idelbayev(
            "resnet56-4bfd9763.th", "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367", 93.39
        ),
        "cifar10_projection": _chen(
            "cifar10_resnet56-187c023a.pt",
            "187c023aee0c9cf3093a682d9447a538cbaf5489f7ae78a7df4edf2246ce380b",
            94.37,
            99.83,
        ),
        "cifar100": _chen(
            "cifar100_resnet56-f2eff4c8.pt",
            "f2eff4c8461ca1e0d39af83a65f7243bf7d29ec421efee3064bcee93a3caaa73",
            72.63,
            91.94,
        ),
    },
}
