"""The published networks in PyTorch's words, with the tensor names of their publishers and random weights.

Written from the papers and the names in the files. All take (N, 3, height, width), normalised as their publisher does, and
are in eval mode.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

BASIC_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK_BLOCKS = {50: (3, 4, 6, 3)}


class CaffeAlexNet(nn.Module):
    """BVLC's net of 2012. Its images are blue, green, red of 0..255 minus the mean pixel."""

    def __init__(self, num_classes: int = 1000, features: int = 256 * 6 * 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.norm1 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        self.norm2 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, stride=2) for _ in range(3))
        self.fc6 = nn.Linear(features, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.norm1(self.conv1(x).relu()))
        x = self.pool2(self.norm2(self.conv2(x).relu()))
        x = self.conv4(self.conv3(x).relu()).relu()
        x = self.pool5(self.conv5(x).relu())
        x = x.permute(0, 2, 3, 1).flatten(1)  # as TensorFlow's conversion of the file flattens it
        return self.fc8(self.fc7(self.fc6(x).relu()).relu())

    def caffe_dictionary(self) -> dict[str, list[np.ndarray]]:
        """{layer: [kernel, bias]} in TensorFlow's layout, as `bvlc_alexnet.npy` holds it."""
        arrays = {}
        for name, layer in self.named_children():
            if hasattr(layer, "weight"):
                kernel = layer.weight.detach().numpy()
                kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
                arrays[name] = [np.ascontiguousarray(kernel), layer.bias.detach().numpy().copy()]
        return arrays


class TorchvisionAlexNet(nn.Module):
    """The net with one tower: features.N and classifier.N."""

    def __init__(self, num_classes: int = 1000, side: int = 6) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        before = 3
        for filters, size, stride, padding, is_pooled in (
            (64, 11, 4, 2, True),
            (192, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ):
            parts += [nn.Conv2d(before, filters, size, stride=stride, padding=padding), nn.ReLU()]
            parts += [nn.MaxPool2d(3, stride=2)] if is_pooled else []
            before = filters
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * side**2, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


class Block(nn.Module):
    """A basic (two convolutions) or bottleneck (three) block."""

    def __init__(self, inputs: int, filters: int, stride: int, *, is_bottleneck: bool, is_projected: bool) -> None:
        super().__init__()
        outputs = 4 * filters if is_bottleneck else filters
        # (filters, size, stride); the 3x3 convolution of a bottleneck has the stride
        basic = ((filters, 3, stride), (filters, 3, 1))
        plan = ((filters, 1, 1), (filters, 3, stride), (outputs, 1, 1)) if is_bottleneck else basic
        before = inputs
        for i, (count, size, step) in enumerate(plan, start=1):
            self.add_module(f"conv{i}", nn.Conv2d(before, count, size, stride=step, padding=size // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(count))
            before = count
        self.count, self.stride, self.added = len(plan), stride, outputs - inputs
        self.downsample = None
        if is_projected and (stride > 1 or self.added):
            convolution = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.added:  # option A: every second pixel, zeros before and after the channels
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return (x + y).relu()


class ResNet(nn.Module):
    """conv1, bn1, layer1.0.conv1 ..., and a last layer called `head`."""

    def __init__(
        self,
        blocks: tuple[int, ...],
        filters: tuple[int, ...],
        num_classes: int,
        *,
        head: str = "fc",
        is_large: bool = False,
        is_bottleneck: bool = False,
        is_projected: bool = True,
    ) -> None:
        super().__init__()
        size, stride = (7, 2) if is_large else (3, 1)
        self.conv1 = nn.Conv2d(3, filters[0], size, stride=stride, padding=size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(filters[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if is_large else None
        before, self.stages, self.head = filters[0], [], head
        for stage, (count, width) in enumerate(zip(blocks, filters, strict=True), start=1):
            members = []
            for i in range(count):
                step = 2 if stage > 1 and i == 0 else 1
                members.append(Block(before, width, step, is_bottleneck=is_bottleneck, is_projected=is_projected))
                before = 4 * width if is_bottleneck else width
            self.add_module(f"layer{stage}", nn.Sequential(*members))
            self.stages.append(f"layer{stage}")
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.add_module(head, nn.Linear(before, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = x if self.maxpool is None else self.maxpool(x)
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return getattr(self, self.head)(self.avgpool(x).flatten(1))


def cifar_resnet(depth: int, *, is_projected: bool, num_classes: int = 10) -> ResNet:
    """With projections in Chen's names (fc), without in Idelbayev's (linear; his files add "module.", see `parallel`)."""
    blocks = ((depth - 2) // 6,) * 3
    head = "fc" if is_projected else "linear"
    return ResNet(blocks, (16, 32, 64), num_classes, head=head, is_projected=is_projected)


def imagenet_resnet(depth: int, num_classes: int = 1000) -> ResNet:
    """In torchvision's names, "version 1.5"."""
    is_bottleneck = depth in BOTTLENECK_BLOCKS
    blocks = (BASIC_BLOCKS | BOTTLENECK_BLOCKS)[depth]
    return ResNet(blocks, (64, 128, 256, 512), num_classes, is_large=True, is_bottleneck=is_bottleneck)


def parallel(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as `torch.nn.DataParallel` saves them."""
    return {f"module.{name}": tensor for name, tensor in state.items()}


def randomized(network: nn.Module, images: torch.Tensor, seed: int = 0) -> nn.Module:
    """Random weights with which activations keep the scale of `images`, in eval mode.

    Batch normalisations have moments near those of `images`, and not 0 and 1; logits have a deviation of 2.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    scale = images.std().item()
    normalisations = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.copy_(uniform(layer.bias, -scale, scale) / 2)
        for layer in normalisations:
            layer.weight.copy_(uniform(layer.weight, 0.5, 1.5))
            layer.bias.copy_(uniform(layer.bias, -0.5, 0.5))
            layer.momentum = 1.0
        for block in (m for m in network.modules() if isinstance(m, Block)):  # else fifty layers multiply each rounding
            getattr(block, f"bn{block.count}").weight.mul_(0.4)
        network.train(bool(normalisations))
        logits = network(images)
        network.eval()
        for layer in normalisations:
            deviation = layer.running_var.sqrt()
            layer.running_mean.add_(deviation * uniform(deviation, -0.3, 0.3))
            layer.running_var.mul_(uniform(deviation, 0.7, 1.4))
        if normalisations:
            logits = network(images)
        layers[-1].weight.mul_(2 / logits.std())
        layers[-1].bias.copy_(uniform(layers[-1].bias, -0.5, 0.5))
    return network
