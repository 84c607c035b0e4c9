"""`Recipe`: how a model is trained, as plain values."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

from zoo.errors import UsageError, check_count, check_seed, unknown_name
from zoo.plain import plain

OPTIMIZERS = ("sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SCHEDULES = ("cosine", "step")
LOSSES = (
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_from_logits",
    "binary_crossentropy",
    "binary_crossentropy_from_logits",
)
AUGMENTATIONS = ("flip", "crop", "rotation", "blur", "noise", "cutout")  # of zoo.data.augment, which imports TensorFlow
_TOO_MANY = 2**31  # of epochs, steps or examples, for TensorFlow
MONITORS = {"val_loss": "min", "val_data_loss": "min", "val_accuracy": "max"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained, as plain values. Several recipes in a row are phases.

    Attributes:
        optimizer: "sgd", "nesterov" (SGD with Nesterov momentum), "adagrad", "rmsprop", "adam" or "adamw".
        learning_rate: step size at the start.
        schedule: `None` (constant), "cosine" (to zero over all steps; Loshchilov and Hutter, 2017) or "step" (a tenth
            after half of the steps, a hundredth after three quarters; He et al., 2016).
        momentum: of "sgd", "nesterov" and "rmsprop": v <- momentum·v - rate·g, w <- w + v.
        weight_decay: decoupled decay, w <- w - rate·weight_decay·w; `None` is Keras's default (0.004 for AdamW, else 0).
        loss: a name of `LOSSES`; `None` decides by the model's output: a softmax, or one sigmoid unit.
        batch_size: examples a gradient step.
        epochs: passes over the training data, at most.
        shuffle: whether every epoch has a new order.
        drop_remainder: whether a last partial batch is left out.
        augment: names of `zoo.data.augment.AUGMENTATIONS`, applied to training batches.
        augment_draws: how many augmentations of each example there are, epoch e taking number e mod `augment_draws`; for
            phases that train behind a frozen backbone, which then computes each once. `None` draws anew in every epoch,
            and the backbone computes in every step.
        class_weight: how much an example of each class counts in the training loss: `None` (all the same), "balanced" (a class
            with n of N examples and K classes: N / (K·n), as in scikit-learn), or one number a class. Validation and the
            recorded accuracy count all the same.
        validation_freq: epochs between validations (Keras's term).
        validate_every_steps: instead, validate after each global step that is a multiple of this; steps are counted from 0
            through all epochs.
        patience: stop after this many validations in a row without improvement, and restore the best weights; `None`
            trains all epochs and keeps the last weights.
        monitor: what early stopping watches: "val_loss" (with penalties), "val_data_loss" (without) or "val_accuracy".
        trainable: which layers learn: `None` (as the model is), "all", "head" (the last layer with weights, and what
            `transfer` put before it), "backbone" (all others), or names with wildcards, e.g. `("stage2_*", "predictions")`.
            A frozen batch normalisation uses and keeps its moving statistics.
        seed: decides the order of the examples, augmentation and dropout.

    Raises:
        UsageError: a value out of range or an unknown name.
    """

    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str | None = None
    momentum: float = 0.0
    weight_decay: float | None = None
    loss: str | None = None
    batch_size: int = 128
    epochs: int = 10
    shuffle: bool = True
    drop_remainder: bool = False
    augment: Sequence[str] = ()
    augment_draws: int | None = None
    class_weight: str | Sequence[float] | None = None
    validation_freq: int = 1
    validate_every_steps: int | None = None
    patience: int | None = None
    monitor: str = "val_loss"
    trainable: str | Sequence[str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))
        _check_name("optimizer", self.optimizer, OPTIMIZERS)
        _check_name("monitor", self.monitor, MONITORS)
        if self.schedule is not None:
            _check_name("schedule", self.schedule, SCHEDULES)
        if self.loss is not None:
            _check_name("loss", self.loss, LOSSES)
        _check_range("learning_rate", self.learning_rate, above=0)
        _check_range("momentum", self.momentum, least=0, below=1)
        if self.momentum and self.optimizer not in ("sgd", "nesterov", "rmsprop"):
            raise UsageError(f"momentum has no meaning for {self.optimizer!r}. Received: momentum={self.momentum}")
        if self.weight_decay is not None:
            _check_range("weight_decay", self.weight_decay, least=0)
        for name in ("batch_size", "epochs", "validation_freq"):
            check_count(name, getattr(self, name), below=_TOO_MANY)
        for name in ("validate_every_steps", "patience"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), below=_TOO_MANY)
        for name in ("shuffle", "drop_remainder"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} must be True or False. Received: {name}={getattr(self, name)!r:.80}")
        check_seed(self.seed)
        if self.validate_every_steps is not None and self.validation_freq != 1:
            raise UsageError("give validation_freq (epochs) or validate_every_steps (global steps), not both")
        # Tuples, so that a recipe read from JSON equals the one written.
        names = _checked_augmentations(self.augment)
        _check_draws(self.augment_draws, names)
        object.__setattr__(self, "class_weight", _checked_weights(self.class_weight))
        object.__setattr__(self, "augment", names)
        object.__setattr__(self, "trainable", _checked_trainable(self.trainable))

    @property
    def decay(self) -> float | None:
        """The weight decay with Keras's default; `None` where there is none."""
        return 0.004 if self.optimizer == "adamw" and self.weight_decay is None else self.weight_decay

    def without_augmentation(self) -> Recipe:
        """This recipe for examples that were augmented before."""
        return dataclasses.replace(self, augment=(), augment_draws=None)

    def as_config(self) -> dict[str, Any]:
        """The values as JSON takes them; `Recipe(**config)` is the same recipe."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def as_recipes(recipe: Recipe | Sequence[Recipe]) -> tuple[Recipe, ...]:
    """One recipe or a sequence of phases, as a tuple."""
    recipes = (recipe,) if isinstance(recipe, Recipe) else tuple(recipe) if isinstance(recipe, Sequence) else ()
    if not recipes or not all(isinstance(r, Recipe) for r in recipes):
        raise UsageError(f"recipe must be a Recipe or a sequence of them. Received: {recipe!r:.80}")
    return recipes


def _checked_trainable(trainable: Any) -> str | tuple[str, ...] | None:
    if trainable is None or isinstance(trainable, str):
        return trainable
    names = trainable if isinstance(trainable, Sequence) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"trainable must be a name or names of layers. Received: trainable={trainable!r}")
    return tuple(names)


def _checked_augmentations(augment: Any) -> tuple[str, ...]:
    names = (augment,) if isinstance(augment, str) else augment or ()
    if not isinstance(names, Sequence):
        raise UsageError(f"augment must be names, e.g. ('flip', 'crop'). Received: augment={augment!r:.80}")
    for name in names:
        _check_name("augmentation", name, AUGMENTATIONS)
    return tuple(names)


def _check_draws(draws: int | None, names: Sequence[str]) -> None:
    if draws is not None:
        check_count("augment_draws", draws)
        if not names:
            raise UsageError("augment_draws counts augmentations; give augment=, e.g. augment=('flip', 'crop')")


def _checked_weights(weights: Any) -> str | tuple[float, ...] | None:
    weights = weights.tolist() if hasattr(weights, "tolist") else weights
    if weights is None or (isinstance(weights, str) and weights == "balanced"):
        return weights
    if isinstance(weights, str | bytes) or not isinstance(weights, Sequence) or len(weights) < 2:
        raise UsageError(f"class_weight must be 'balanced' or one number a class. Received: class_weight={weights!r}")
    checked = []
    for weight in weights:
        _check_range("class_weight", weight, least=0)
        checked.append(float(weight))
    return tuple(checked)


def _check_name(kind: str, name: object, known: Sequence[str] | dict[str, str]) -> None:
    if not isinstance(name, str) or name not in known:
        raise unknown_name(kind, name, known)


def _check_range(
    name: str, value: float, *, least: float = float("-inf"), above: float = float("-inf"), below: float = float("inf")
) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not (least <= value < below and value > above):
        kind = "number" if below < float("inf") else "finite number"
        wanted = f"above {above:g}" if above == 0 else f"at least {least:g}"
        wanted += f" and below {below:g}" if below < float("inf") else ""
        raise UsageError(f"{name} must be a {kind} {wanted}. Received: {name}={value!r:.80}")
