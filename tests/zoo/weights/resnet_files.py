"""Files with the weights of a ResNet for small images, in torchvision's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy

SHAPE = (8, 8, 3)  # the weights of these networks do not depend on it


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
