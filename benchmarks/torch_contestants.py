"""PyTorch's side of the race: the plain loop that its users write, with what makes it fast on a CPU.

Data are one uint8 tensor, batches are picked by indices and scaled at once, images lie channels last, optimizers are fused.
Like `fit`, the loop keeps the epoch's mean loss and accuracy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from samples import CLASSES
from stopwatch import Job, Stopwatch
from tasks import Task
from torch import nn
from torch.nn import functional

from zoo.cores import num_cores

Losses = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def pytorch(job: Job, watch: Stopwatch, compile_: bool = False) -> float:
    """A training loop, with validation after each epoch where the task has it."""
    arrays = job.arrays()
    model = network(job.task, arrays.x.shape[1:])
    train, test = (_tensors(x, y, job.task) for x, y in ((arrays.x, arrays.y), (arrays.x_test, arrays.y_test)))
    held_out = arrays.validation and _tensors(*arrays.validation, job.task)
    optimizer = _optimizer(model, job.task)

    def losses(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bfloat16"):
            scores = model(x)
            return functional.cross_entropy(scores, y), scores

    train_losses = torch.compile(losses) if compile_ else losses
    watch.ready(sum(weight.numel() for weight in model.parameters()))
    for _ in range(watch.epochs):
        epoch(train, job.task.batch_size, train_losses, optimizer)
        if held_out:
            score(model, held_out, losses)
        watch.lap()
    return score(model, test, losses)[1]


def pytorch_compiled(job: Job, watch: Stopwatch) -> float:
    """The same loop with its forward pass through `torch.compile`, which writes the backward pass too."""
    return pytorch(job, watch, compile_=True)


def pytorch_forward(job: Job, watch: Stopwatch) -> None:
    """Forward passes in inference mode."""
    arrays = job.arrays()
    model = network(job.task, arrays.x.shape[1:]).eval()
    x, _ = _tensors(arrays.x, arrays.y, job.task)
    watch.ready(sum(weight.numel() for weight in model.parameters()))
    for _ in range(watch.epochs):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bfloat16"):
            torch.cat([model(batch(stored)) for stored in x.split(job.task.batch_size)])
        watch.lap()


def epoch(
    data: tuple[torch.Tensor, torch.Tensor], batch_size: int, losses: Losses, optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    """One pass in a new order: the mean loss and the accuracy."""
    x, y = data
    total, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for indices in torch.randperm(len(x)).split(batch_size):
        targets = y[indices]
        loss, scores = losses(batch(x.index_select(0, indices)), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total += loss.detach() * len(indices)
        correct += (scores.detach().argmax(1) == targets).sum()
    return float(total) / len(x), int(correct) / len(x)


def score(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor], losses: Losses) -> tuple[float, float]:
    """Mean loss and accuracy on held-out data."""
    x, y = data
    total, correct = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for stored, targets in zip(x.split(512), y.split(512), strict=True):
            loss, scores = losses(batch(stored), targets)
            total += float(loss) * len(targets)
            correct += int((scores.argmax(1) == targets).sum())
    model.train()
    return total / len(x), correct / len(x)


def _tensors(x: np.ndarray, y: np.ndarray, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """Stored images, flat for networks without convolutions, and labels."""
    flat = task.model in ("softmax", "mlp")
    return torch.from_numpy(x.reshape(len(x), -1) if flat else x), torch.from_numpy(y).long()


def batch(stored: torch.Tensor) -> torch.Tensor:
    """uint8 as stored -> float32 in 0..1; an image's channels stay last in memory."""
    scaled = stored.to(torch.float32).div_(255)
    return scaled.permute(0, 3, 1, 2) if scaled.ndim == 4 else scaled


def _optimizer(model: nn.Module, task: Task) -> torch.optim.Optimizer:
    if task.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), task.learning_rate, fused=True)
    return torch.optim.SGD(model.parameters(), task.learning_rate, task.momentum, fused=True)


def network(task: Task, input_shape: Sequence[int]) -> nn.Module:
    """The task's network, its weights channels last, up to the logits."""
    torch.set_num_threads(num_cores())
    torch.manual_seed(0)
    height, width, channels = input_shape
    layers: list[nn.Module] = []
    if task.model == "resnet20":
        layers = [_resnet20(channels)]
    else:
        for filters in task.options.get("filters", ()):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            height, width, channels = height // 2, width // 2, filters
        widths = [height * width * channels, *task.units, CLASSES]
        layers += [nn.Flatten(), *dense(widths)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def dense(widths: list[int]) -> list[nn.Module]:
    """Linear layers with relu between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers[:-1]


class _Block(nn.Module):
    """Two convolutions beside a shortcut without weights."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.strides, self.padding = after // before, (after - before) // 2
        self.convolution1 = nn.Conv2d(before, after, 3, self.strides, padding=1, bias=False)
        self.convolution2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.normalization1, self.normalization2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.normalization1(self.convolution1(x)), inplace=True)
        y = self.normalization2(self.convolution2(y))
        if self.strides > 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(y + x, inplace=True)


def _resnet20(channels: int) -> nn.Module:
    """The CIFAR network of He et al. (2016) with n = 3 and shortcuts without weights (their option A)."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    start = [nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    blocks = [_Block(before, after) for before, after in itertools.pairwise(widths)]
    return nn.Sequential(*start, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))
