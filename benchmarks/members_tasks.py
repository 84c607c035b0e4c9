"""What the members are, and who trains them: tables that import no framework."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

_SAMPLE = 4  # members that are trained one at a time; more of them would be as fast each, and only take longer
_QUICK_SIZES = (1, 8)
_QUICK_IMAGES = 300


class Contestant(NamedTuple):
    """Who trains: what tables call it, its module of this folder, whether one at a time, and a package that may be missing."""

    title: str
    module: str
    one_at_a_time: bool
    needs: str


CONTESTANTS = {
    "together": Contestant("this project, members of one program", "members_ours", False, "tensorflow"),
    "ours": Contestant("this project, one at a time", "members_ours", True, "tensorflow"),
    "pytorch": Contestant("PyTorch, one at a time", "members_torch", True, "torch"),
    "pytorch_stacked": Contestant("PyTorch, stacked by hand", "members_torch", False, "torch"),
}


class Member(NamedTuple):
    """One model: its learning rate, its L2 strength or dropout rate, and the seed of its weights and order."""

    values: dict[str, float]
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Models of one structure on the same data.

    Attributes:
        title: the heading of its table.
        data: a name of `zoo.load_dataset`.
        model: a name of `zoo.list_models()`; PyTorch builds the same network.
        rates: the smallest and the largest learning rate among the members.
        optimizer: "sgd" or "adam".
        target: times our own speed one at a time that 64 members must have.
        limit: training images, those for validation included; `None` is all.
        classes: that are kept; `None` is all.
        units: width of the one hidden layer of an mlp.
        batch_size: examples a gradient step.
        epochs: of every member.
        has_own_orders: whether every member has its own seed, and so its own order and dropout.
        other: ("l2" or "dropout", its smallest and largest value).
        sizes: numbers of members.
    """

    title: str
    data: str
    model: str
    rates: tuple[float, float]
    optimizer: str
    target: float
    limit: int | None = None
    classes: tuple[int, ...] | None = None
    units: int = 0
    batch_size: int = 128
    epochs: int = 2
    has_own_orders: bool = False
    other: tuple[str, float, float] = ("l2", 1e-6, 1e-3)
    sizes: tuple[int, ...] = (1, 8, 64, 256)

    @property
    def space(self) -> dict[str, Any]:
        """The space of `tuning.space` that holds all members."""
        name, _, highest = self.other
        space: dict[str, Any] = {"learning_rate": (1e-6, 1.0, "log"), name: (0.0, max(highest, 0.5))}
        return space | ({"num_layers": [1], "units": [self.units]} if self.units else {})

    def members(self, count: int) -> list[Member]:
        """So many of them, spread evenly (the learning rates by their logarithms)."""
        low, high = self.rates
        name, least, most = self.other
        found = []
        for number in range(count):
            share = (number + 0.5) / count
            values = {"learning_rate": low * (high / low) ** share, name: least + (most - least) * share}
            found.append(Member(values, number if self.has_own_orders else 0))
        return found

    def shortened(self) -> Task:
        """The same with next to nothing to do, on data that everyone has."""
        return dataclasses.replace(self, data="digits", limit=_QUICK_IMAGES, sizes=_QUICK_SIZES, epochs=2)


def sample(count: int) -> list[int]:
    """The places of the members, of so many, that are trained one at a time and whose accuracy is told."""
    chosen = min(count, _SAMPLE)
    return [number * count // chosen for number in range(chosen)]


_MLP: dict[str, Any] = {"data": "mnist", "limit": 20_000, "model": "mlp", "units": 32, "target": 2}

TASKS = {
    "logistic": Task(
        title="logistic: digits 3 and 2 among the first 20,000 MNIST images (about 4,000), L2, SGD, batch 128",
        data="mnist",
        limit=20_000,
        classes=(3, 2),
        model="logistic",
        rates=(0.01, 0.3),
        optimizer="sgd",
        epochs=5,
        target=5,
    ),
    "softmax": Task(
        title="softmax: 20,000 MNIST images, L2, SGD, batch 128",
        data="mnist",
        limit=20_000,
        model="softmax",
        rates=(0.01, 0.3),
        optimizer="sgd",
        target=5,
    ),
    "mlp-sgd": Task(
        title="mlp: 32 hidden units, 20,000 MNIST images, L2, SGD, batch 128",
        rates=(0.03, 0.3),
        optimizer="sgd",
        **_MLP,
    ),
    "mlp-adam": Task(
        title="mlp: 32 hidden units, 20,000 MNIST images, L2, Adam, batch 128",
        rates=(3e-4, 1e-2),
        optimizer="adam",
        **_MLP,
    ),
    "digits": Task(
        title="mlp: 32 hidden units, scikit-learn's digits, dropout, Adam, batch 32, every member with its own seed",
        data="digits",
        model="mlp",
        units=32,
        rates=(1e-3, 1e-2),
        optimizer="adam",
        other=("dropout", 0.1, 0.5),
        batch_size=32,
        epochs=8,
        has_own_orders=True,
        target=2,
    ),
}
SECTIONS = tuple(TASKS)  # what --only knows
