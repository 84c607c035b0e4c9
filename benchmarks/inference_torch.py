"""The same networks in PyTorch, in inference mode, channels last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from inference_tasks import SHAPES
from tasks import TASKS
from torch_contestants import batch, network

Run = Callable[[np.ndarray], np.ndarray]


class _Classifier(torch.nn.Module):
    """uint8 images as they are stored -> probabilities."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self._is_flat = task == "softmax"
        self._network = network(TASKS[task], SHAPES[task])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled = batch(images.flatten(1) if self._is_flat else images)
        return self._network(scaled).softmax(1)


def contestant(task: str, name: str) -> Run:
    """A function from uint8 images to probabilities."""
    model = _Classifier(task).eval()
    if name == "pytorch_traced":
        model = torch.jit.freeze(torch.jit.trace(model, torch.zeros((1, *SHAPES[task]), dtype=torch.uint8)))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            probabilities: np.ndarray = model(torch.from_numpy(images)).numpy()
            return probabilities

    return run
