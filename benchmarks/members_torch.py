"""PyTorch: a plain loop for each member, or members stacked by hand, which its users write where many models are small.

Stacked, the first layer is one matrix product for all members if they share the order; the others are batched products.
torch.optim has one rate for all weights of a tensor, so the steps are written out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from members_tasks import Member, Task
from torch import nn
from torch.nn import functional
from torch_contestants import batch, dense, epoch, score

import zoo
from zoo.cores import num_cores

_VALIDATION_BATCH = 512
_MOST_MEMBERS = 64  # in one stack: more of them are slower here, too
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Arrays(NamedTuple):
    """uint8 images, flat, and labels."""

    train: tuple[torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor]
    widths: list[int]


def contestant(task: Task, name: str, folder: Path) -> Callable[[Sequence[Member]], list[float]]:
    """What trains members and gives the accuracy of each."""
    torch.set_num_threads(num_cores())
    arrays = read(task)

    def train(members: Sequence[Member]) -> list[float]:
        if name == "pytorch":
            return [One(task, arrays, member).train() for member in members]
        groups = [members[first : first + _MOST_MEMBERS] for first in range(0, len(members), _MOST_MEMBERS)]
        return [accuracy for group in groups for accuracy in Stack(task, arrays, group).train()]

    train(task.members(1))
    return train


def read(task: Task) -> Arrays:
    """The same images as everyone's, and the widths of the network."""
    data = zoo.load_dataset(task.data, limit=task.limit, classes=task.classes)
    assert data.validation is not None
    pairs = []
    for split in (data.train, data.validation):
        assert split.inputs is not None
        assert split.labels is not None
        pairs.append((torch.from_numpy(split.inputs.reshape(len(split), -1)), torch.from_numpy(split.labels).long()))
    outputs = 1 if task.model == "logistic" else data.num_classes
    widths = [int(np.prod(data.input_shape)), *([task.units] if task.units else []), outputs]
    return Arrays(pairs[0], pairs[1], widths)


class One:
    """A model of its own, trained by the plain loop."""

    def __init__(self, task: Task, arrays: Arrays, member: Member) -> None:
        torch.manual_seed(member.seed)
        self._task, self._arrays = task, arrays
        layers = dense(arrays.widths)
        if "dropout" in member.values:
            layers.insert(2, nn.Dropout(member.values["dropout"]))
        self.model = nn.Sequential(*layers)
        kernels, biases = [[w for w in self.model.parameters() if w.ndim == axes] for axes in (2, 1)]
        for kernel, bias in zip(kernels, biases, strict=True):
            nn.init.xavier_uniform_(kernel)
            nn.init.zeros_(bias)
        groups = [{"params": kernels, "weight_decay": 2 * member.values.get("l2", 0.0)}, {"params": biases}]
        make = torch.optim.Adam if task.optimizer == "adam" else torch.optim.SGD
        self._optimizer = make(groups, member.values["learning_rate"], fused=True)

    def train(self) -> float:
        """All epochs: the validation accuracy after the last one."""
        accuracy = 0.0
        for _ in range(self._task.epochs):
            epoch(self._arrays.train, self._task.batch_size, self._losses, self._optimizer)
            _, accuracy = score(self.model, self._arrays.validation, self._losses)
        return accuracy

    def _losses(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.model(x)
        if self._task.model != "logistic":
            return functional.cross_entropy(scores, y), scores
        loss = functional.binary_cross_entropy_with_logits(scores[:, 0], y.to(scores.dtype))
        return loss, torch.cat([torch.zeros_like(scores), scores], 1)


class Stack:
    """Members as one model: kernels (M, inputs, outputs), but the first one (inputs, M·outputs) where all see the same batch."""

    def __init__(self, task: Task, arrays: Arrays, members: Sequence[Member]) -> None:
        torch.manual_seed(0)
        self._task, self._arrays, self._count = task, arrays, len(members)
        self._dropout = self._column(members, "dropout")
        rate, l2 = self._column(members, "learning_rate"), self._column(members, "l2")
        self.weights: list[torch.Tensor] = []
        self._rates: list[torch.Tensor] = []
        self._decays: list[torch.Tensor | None] = []
        for number, (before, after) in enumerate(itertools.pairwise(arrays.widths)):
            bound = (6 / (before + after)) ** 0.5  # as Glorot and Bengio (2010)
            is_wide = number == 0 and not task.has_own_orders
            kernel = (before, self._count * after) if is_wide else (self._count, before, after)
            bias = (self._count * after,) if is_wide else (self._count, 1, after)
            of_kernel, of_l2 = (part.repeat_interleave(after) if is_wide else part for part in (rate, l2))
            self.weights += [torch.empty(kernel).uniform_(-bound, bound), torch.zeros(bias)]
            self._rates += [of_kernel if is_wide else of_kernel[:, None, None]] * 2
            decay = 2 * of_l2 if is_wide else 2 * of_l2[:, None, None]
            self._decays += [decay if "l2" in members[0].values else None, None]
        for weight in self.weights:
            weight.requires_grad_()
        self._slots = [(torch.zeros_like(w), torch.zeros_like(w)) for w in self.weights if task.optimizer == "adam"]
        self._steps = 0

    def train(self) -> list[float]:
        """All epochs: the accuracy of each member after the last one."""
        accuracy = torch.zeros(self._count)
        for _ in range(self._task.epochs):
            self._epoch()
            accuracy = self._validate()
        return [float(value) for value in accuracy]

    def _epoch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass in a new order, or an order for each: mean losses and accuracies."""
        (x, y), size = self._arrays.train, self._task.batch_size
        orders = [torch.randperm(len(x)) for _ in range(self._count if self._task.has_own_orders else 1)]
        order = torch.stack(orders) if self._task.has_own_orders else orders[0]
        total, correct = torch.zeros(self._count), torch.zeros(self._count, dtype=torch.int64)
        for indices in order.split(size, dim=-1):
            targets = y[indices]
            images = batch(x.index_select(0, indices.reshape(-1))).reshape(*indices.shape, -1)
            logits = self._logits(images, training=True)
            losses = self._losses(logits, targets)
            losses.sum().backward()
            self._step()
            total += losses.detach() * indices.shape[-1]
            correct += self._num_correct(logits.detach(), targets)
        return total / len(x), correct / len(x)

    @torch.inference_mode()
    def _validate(self) -> torch.Tensor:
        x, y = self._arrays.validation
        correct, total = torch.zeros(self._count, dtype=torch.int64), torch.zeros(self._count)
        for stored, targets in zip(x.split(_VALIDATION_BATCH), y.split(_VALIDATION_BATCH), strict=True):
            images = batch(stored)
            logits = self._logits(images.expand(self._count, -1, -1) if self._task.has_own_orders else images)
            total += self._losses(logits, targets) * len(targets)
            correct += self._num_correct(logits, targets)
        return correct / len(x)

    def _logits(self, x: torch.Tensor, *, training: bool = False) -> torch.Tensor:
        """(M, B, outputs) from (B, inputs), or (M, B, inputs) where each has its own batch."""
        for number in range(0, len(self.weights), 2):
            kernel, bias = self.weights[number : number + 2]
            if kernel.ndim == 2:
                x = torch.addmm(bias, x, kernel).view(len(x), self._count, -1).transpose(0, 1)
            else:
                x = torch.baddbmm(bias, x, kernel)
            if number + 2 < len(self.weights):
                x = functional.relu(x)
                if training and "dropout" in self._task.other:
                    rate = self._dropout[:, None, None]
                    x = torch.where(torch.rand_like(x) >= rate, x / (1 - rate), 0.0)
        return x

    def _losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(M,) mean cross entropies."""
        targets = targets.expand(logits.shape[:2])
        if self._task.model == "logistic":
            loss = functional.binary_cross_entropy_with_logits(
                logits[..., 0], targets.to(logits.dtype), reduction="none"
            )
        else:
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return loss.view(self._count, -1).mean(1)

    def _num_correct(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        predicted = (logits[..., 0] > 0).long() if self._task.model == "logistic" else logits.argmax(-1)
        return (predicted == targets).sum(1)

    @torch.no_grad()
    def _step(self) -> None:
        """SGD, or Adam (Kingma and Ba, 2015), with a rate for each member."""
        self._steps += 1
        correction = (1 - _BETA_2**self._steps) ** 0.5 / (1 - _BETA_1**self._steps)
        for number, (weight, rate, decay) in enumerate(zip(self.weights, self._rates, self._decays, strict=True)):
            gradient = weight.grad
            assert gradient is not None
            if decay is not None:
                gradient.addcmul_(weight, decay)
            if self._slots:
                first, second = self._slots[number]
                first.lerp_(gradient, 1 - _BETA_1)
                second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
                weight.addcdiv_(first * (rate * -correction), second.sqrt().add_(_EPSILON))
            else:
                weight.addcmul_(gradient, rate, value=-1)
            weight.grad = None

    def _column(self, members: Sequence[Member], name: str) -> torch.Tensor:
        return torch.tensor([member.values.get(name, 0.0) for member in members])
