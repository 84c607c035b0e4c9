"""What the searches are, and who runs them: tables that import no framework."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

from tuning.oracles.cost import hyperband_cost

SECTIONS = ("softmax", "cnn", "hyperband", "memory")  # what --only knows
_QUICK_VALUES = 2  # of each list that --quick keeps
_QUICK_IMAGES = 300


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An engine.

    Attributes:
        title: what tables call it.
        module: the module of this folder that runs it, in a process of its own.
        needs: packages that may be missing.
        is_accountable: whether the work of all its processes can be told from that of other programs.
    """

    title: str
    module: str
    needs: tuple[str, ...]
    is_accountable: bool = True


CONTESTANTS = {
    "ours": Contestant("this project", "search_ours", ("tensorflow",)),
    "stock": Contestant("Keras Tuner", "search_stock", ("tensorflow", "keras_tuner")),
    "optuna": Contestant("Optuna", "search_optuna", ("tensorflow", "optuna")),
    # Ray's daemon ends its workers unseen; pydantic comes with ray[tune], not with ray.
    "ray": Contestant("Ray Tune", "search_ray", ("tensorflow", "ray", "pydantic"), is_accountable=False),
}


class Entry(NamedTuple):
    """An engine, the precision of its models, how many processes run trials, and whether ours may stack small models."""

    contestant: str
    precision: str = "float32"
    at_once: int = 1
    stacked: bool = True

    @property
    def title(self) -> str:
        """What a table calls it."""
        title = CONTESTANTS[self.contestant].title
        title += "" if self.stacked else ", one by one"
        return title if self.at_once == 1 else f"{title}, {self.at_once} at once"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One search, the same for everyone.

    Attributes:
        section: the name of `SECTIONS` that it belongs to.
        title: the heading of its table.
        data: a name of `zoo.load_dataset`.
        limit: training images, those for validation included; `None` is all.
        model: a name of `zoo.list_models()`; the peers build the same network of stock layers.
        method: "grid" or "hyperband".
        space: name -> list of values, `(low, high)` or `(low, high, "log")`.
        combinations: where given, the only hyper-parameter is `combination`, an index of this list.
        epochs: of a trial; for "hyperband" of one in the last rung.
        optimizer: "sgd" or "adam".
        batch_size: examples a gradient step.
        factor: of Hyperband: one in so many trials is promoted, to so many times the epochs.
        tolerance: points (hundredths of accuracy) by which our best score may fall below stock's.
        entries: who takes part.
    """

    section: str
    title: str
    data: str
    model: str
    method: str
    space: dict[str, Any]
    epochs: int
    entries: tuple[Entry, ...]
    limit: int | None = None
    combinations: tuple[dict[str, Any], ...] = ()
    optimizer: str = "sgd"
    batch_size: int = 128
    factor: int = 3
    tolerance: float = 0.5

    @property
    def cells(self) -> int:
        """Cells of a grid."""
        return math.prod(len(values) for values in self.space.values())

    @property
    def trials(self) -> int:
        """Trials of the whole search; in Hyperband a promoted one counts once a rung."""
        return self._cost[0]

    @property
    def budget(self) -> int:
        """Epochs of the whole search."""
        return self._cost[1]

    @property
    def _cost(self) -> tuple[int, int]:
        if self.method == "hyperband":
            return hyperband_cost(self.epochs, factor=self.factor)
        return self.cells, self.cells * self.epochs

    def options(self, values: dict[str, Any]) -> dict[str, Any]:
        """The network's options and its learning rate that a trial's values stand for."""
        return dict(self.combinations[values["combination"]]) if self.combinations else dict(values)

    def shortened(self) -> Task:
        """The same with next to nothing to do, on data that everyone has."""
        space = {k: v[:_QUICK_VALUES] if isinstance(v, list) else v for k, v in self.space.items()}
        epochs = self.factor if self.method == "hyperband" else 1
        return dataclasses.replace(self, space=space, epochs=epochs, data="digits", limit=_QUICK_IMAGES)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a contestant is asked to do.

    Attributes:
        task: the search.
        entry: who is asked.
        seed: of this repeat.
        folder: an empty folder for what the engine writes.
    """

    task: Task
    entry: Entry
    seed: int
    folder: Path

    @property
    def dtype(self) -> str:
        """The precision as a Keras dtype policy."""
        return "mixed_bfloat16" if self.entry.precision == "bfloat16" else "float32"


@dataclasses.dataclass
class Trial:
    """A trial that has ended.

    Attributes:
        values: its hyper-parameters.
        score: accuracy on the validation images after its last epoch.
        epochs: that it trained; of a promoted trial without those before.
    """

    values: dict[str, Any]
    score: float
    epochs: int


@dataclasses.dataclass
class Found:
    """What a search leaves.

    Attributes:
        trials: in the order in which they ended.
        curve: resident memory of the process in MB after each trial, where the task asks for it.
        workers: the same task's largest resident memory of each worker process in MB.
        traces: programs that were traced, where an engine counts them.
        signatures: structures among the trials, where it counts them.
    """

    trials: list[Trial]
    curve: list[float] = dataclasses.field(default_factory=list)
    workers: list[float] = dataclasses.field(default_factory=list)
    traces: int | None = None
    signatures: int | None = None


_PEERS = (Entry("optuna"), Entry("ray"), Entry("ray", at_once=2))
_ALL = (Entry("ours"), Entry("ours", at_once=2), Entry("ours", stacked=False), Entry("stock"), *_PEERS)
# Written down by hand, so that everyone trains the same: spread over the space that a random search would draw from.
_SIX_CNNS: tuple[dict[str, Any], ...] = (
    {"filters": 16, "units": 64, "dropout": 0.25, "l2": 1e-4, "learning_rate": 0.003},
    {"filters": 32, "units": 128, "dropout": 0.4, "l2": 1e-5, "learning_rate": 0.001},
    {"filters": 8, "units": 32, "dropout": 0.1, "l2": 3e-4, "learning_rate": 0.01},
    {"filters": 16, "units": 128, "dropout": 0.5, "l2": 3e-5, "learning_rate": 0.002},
    {"filters": 32, "units": 64, "dropout": 0.15, "l2": 1e-3, "learning_rate": 0.0015},
    {"filters": 8, "units": 96, "dropout": 0.3, "l2": 3e-6, "learning_rate": 0.005},
)

TASKS = {
    "softmax": Task(
        section="softmax",
        title="softmax: a grid of 4 learning rates and 5 strengths of L2, 5 epochs each, 20,000 MNIST images",
        data="mnist",
        limit=20_000,
        model="softmax",
        method="grid",
        space={"learning_rate": [0.01, 0.03, 0.1, 0.3], "l2": [0.0, 1e-5, 1e-4, 1e-3, 1e-2]},
        epochs=5,
        entries=_ALL,
    ),
    "cnn": Task(
        section="cnn",
        title="cnn: six combinations as a random search draws them, 3 epochs each, 20,000 MNIST images",
        data="mnist",
        limit=20_000,
        model="cnn",
        method="grid",
        space={"combination": list(range(len(_SIX_CNNS)))},
        combinations=_SIX_CNNS,
        optimizer="adam",
        epochs=3,
        entries=(Entry("ours"), Entry("ours", "bfloat16"), Entry("stock"), Entry("stock", "bfloat16"), *_PEERS),
    ),
    "hyperband": Task(
        section="hyperband",
        title="hyperband: an mlp on scikit-learn's digits, up to 27 epochs",
        data="digits",
        model="mlp",
        method="hyperband",
        space={
            "num_layers": [1, 2],
            "units": [32, 64],
            "dropout": (0.0, 0.5),
            "learning_rate": (1e-4, 3e-2, "log"),
        },
        optimizer="adam",
        batch_size=32,
        epochs=27,
        tolerance=0.7,  # one of the 144 validation images
        entries=_ALL,
    ),
    "memory": Task(
        section="memory",
        title="memory: 50 softmax trials of one epoch, 2,000 MNIST images",
        data="mnist",
        limit=2000,
        model="softmax",
        method="grid",
        space={
            "learning_rate": [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3],
            "l2": [0.0, 1e-5, 1e-4, 1e-3, 1e-2],
        },
        epochs=1,
        # One by one: trials of one program end at the same moment, so that there is no first one to compare with.
        entries=(Entry("ours", stacked=False), Entry("ours", at_once=2, stacked=False), Entry("stock")),
    ),
}
