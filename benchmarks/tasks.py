"""What is measured, and who takes part: tables that import no framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from zoo.errors import unknown_name

SECTIONS = ("digits", "softmax", "mlp", "cnn", "resnet20", "pipeline", "startup", "memory")  # what --only knows


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        title: what tables call it.
        module: the module of this folder that runs it, in a process of its own.
        needs: a package that may be missing.
    """

    title: str
    module: str
    needs: str = "tensorflow"


CONTESTANTS = {
    "ours": Contestant("this project", "keras_contestants"),
    "stock": Contestant("Keras `fit`", "keras_contestants"),
    "tutorial": Contestant("Keras `fit`, tutorial pipeline", "keras_contestants"),
    "pipeline": Contestant("input pipeline alone", "keras_contestants"),
    "pytorch": Contestant("PyTorch", "torch_contestants", "torch"),
    "pytorch_compiled": Contestant("PyTorch, compiled", "torch_contestants", "torch"),
    "sklearn": Contestant("scikit-learn", "sklearn_contestants", "sklearn"),
    "floor": Contestant("matrix products alone", "floors"),
}


class Entry(NamedTuple):
    """A contestant in one precision (of the input pipeline: what it does beside scaling)."""

    contestant: str
    precision: str = "float32"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A model on data of a shape, and who takes part.

    Attributes:
        section: the name of `SECTIONS` that it belongs to.
        title: the heading of its table.
        data: a name of `samples.SHAPES`.
        model: a name of `zoo.list_models()`.
        options: options of `zoo.build`; the other contestants build the same network.
        images: training images an epoch.
        quick_images: the same under --quick.
        entries: who takes part.
        kind: "train", or what a contestant does instead: "forward" or "memory".
        epochs_per_turn: epochs between two answers, so that a turn is long enough to be timed.
    """

    section: str
    title: str
    data: str
    model: str
    images: int
    quick_images: int
    entries: tuple[Entry, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 0.001
    momentum: float = 0.0
    kind: str = "train"
    epochs_per_turn: int = 1

    @property
    def units(self) -> tuple[int, ...]:
        """Widths of the hidden dense layers."""
        units = self.options.get("units", ())
        return (units,) if isinstance(units, int) else tuple(units)


def _both(*contestants: str) -> tuple[Entry, ...]:
    return tuple(Entry(name, precision) for name in contestants for precision in ("float32", "bfloat16"))


_MLP: dict[str, Any] = {"data": "mnist", "model": "mlp", "options": {"units": (512, 512)}}
_SOFTMAX: dict[str, Any] = {
    "data": "mnist",
    "model": "softmax",
    "images": 60_000,
    "optimizer": "sgd",
    "learning_rate": 0.1,
}
_RESNET: dict[str, Any] = {"section": "resnet20", "data": "cifar", "model": "resnet20", "quick_images": 256}

TASKS = {
    "digits": Task(
        section="digits",
        title="digits: mlp, 64 hidden units, batch 32, Adam, validation after each epoch",
        data="digits",
        model="mlp",
        options={"units": (64,)},
        images=1299,
        quick_images=320,
        batch_size=32,
        epochs_per_turn=20,
        entries=(*_both("ours"), Entry("stock"), *_both("pytorch")),
    ),
    "softmax": Task(
        section="softmax",
        title="softmax: one linear layer on 28x28 images, batch 128, SGD",
        quick_images=1280,
        epochs_per_turn=3,
        entries=(*_both("ours"), Entry("stock"), Entry("tutorial"), *_both("pytorch"), Entry("sklearn")),
        **_SOFTMAX,
    ),
    "mlp": Task(
        section="mlp",
        title="mlp: 512-512 relu on 28x28 images, batch 128, Adam",
        images=60_000,
        quick_images=1280,
        entries=(*_both("ours", "stock"), Entry("tutorial"), *_both("pytorch"), Entry("sklearn"), *_both("floor")),
        **_MLP,
    ),
    "cnn": Task(
        section="cnn",
        title="cnn: 3x3 convolutions with 32 and 64 filters, dense 128, on 28x28 images, batch 128, Adam",
        data="mnist",
        model="cnn",
        options={"filters": (32, 64), "units": 128},
        images=60_000,
        quick_images=640,
        entries=(*_both("ours", "stock"), Entry("tutorial"), *_both("pytorch", "floor")),
    ),
    "resnet20": Task(
        title="resnet20: training on 32x32 colour images, batch 128, SGD with momentum 0.9",
        images=5120,
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        entries=_both("ours", "stock", "pytorch"),
        **_RESNET,
    ),
    "resnet20 forward": Task(
        title="resnet20: forward passes on 32x32 colour images, batch 128",
        images=5120,
        kind="forward",
        entries=_both("ours", "stock", "pytorch"),
        **_RESNET,
    ),
    "pipeline": Task(
        section="pipeline",
        title="input pipeline alone: `split.batches(128, shuffle=True)` on 28x28 images",
        data="mnist",
        model="cnn",
        images=60_000,
        quick_images=1280,
        epochs_per_turn=3,
        entries=(Entry("pipeline", "plain"), Entry("pipeline", "flip, crop")),
    ),
    "first epoch": Task(
        section="startup",
        title="start-up: commands, and the first epoch of the mlp in a fresh process",
        images=12_800,
        quick_images=1280,
        entries=(Entry("ours"), Entry("stock")),
        **_MLP,
    ),
    "memory": Task(
        section="memory",
        title="memory: softmax, two epochs in a fresh process",
        quick_images=6000,
        kind="memory",
        entries=(Entry("ours"), Entry("stock")),
        **_SOFTMAX,
    ),
}


def with_compiled_torch(task: Task) -> Task:
    """The task with `torch.compile` beside plain PyTorch, where it trains."""
    if task.kind != "train" or not any(entry.contestant == "pytorch" for entry in task.entries):
        return task
    return dataclasses.replace(task, entries=(*task.entries, *_both("pytorch_compiled")))


def chosen_sections(only: str | None, sections: Sequence[str] = SECTIONS) -> tuple[str, ...]:
    """The sections that `--only` names, in their own order; all of them for `None`.

    Raises:
        UsageError: a name that is none of them.
    """
    if only is None:
        return tuple(sections)
    names = [name.strip() for name in only.split(",")]
    for name in names:
        if name not in sections:
            raise unknown_name("task", name, sections)
    return tuple(section for section in sections if section in names)
