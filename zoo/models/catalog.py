"""The table of builders, and `build`: a name, shapes and options -> an uncompiled functional keras.Model."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import numbers
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError, check_count, check_seed, one_line, unknown_name
from zoo.plain import plain

if TYPE_CHECKING:
    import keras

# name -> (module, function in it, options that the name decides, what it is)
MODELS: dict[str, tuple[str, str, dict[str, int], str]] = {
    "logistic": ("zoo.models.linear", "logistic", {}, "logistic regression: one sigmoid unit, two classes"),
    "softmax": ("zoo.models.linear", "softmax", {}, "softmax regression: one linear layer"),
    "mlp": ("zoo.models.mlp", "mlp", {}, "multi-layer perceptron: widths, or a parameter budget"),
    "cnn": ("zoo.models.cnn", "cnn", {}, "stages of 3x3 convolutions and max-pooling, VGG-style where asked"),
    "alexnet": ("zoo.models.alexnet", "alexnet", {}, "AlexNet of 2012 as Caffe published it: two groups, LRN"),
    "alexnet_v2": ("zoo.models.alexnet", "alexnet_v2", {}, "AlexNet with one tower, as in torchvision"),
    **{
        f"resnet{n}": (
            "zoo.models.resnet",
            "resnet_cifar",
            {"depth": n},
            f"ResNet-{n} for small images such as CIFAR's",
        )
        for n in (20, 32, 44, 56)
    },
    **{
        f"resnet{n}": (
            "zoo.models.resnet",
            "resnet_imagenet",
            {"depth": n},
            f"ResNet-{n} for photographs, torchvision's",
        )
        for n in (18, 34, 50)
    },
    "transfer": ("zoo.models.transfer", "transfer", {}, "a new head on a backbone that was trained before"),
}


def list_models() -> list[str]:
    """The names of all builders, sorted."""
    return sorted(MODELS)


def build(name: str, input_shape: Sequence[int], num_classes: int, *, seed: int = 0, **options: Any) -> keras.Model:
    """Builds an uncompiled functional model that maps float inputs to class probabilities.

    Args:
        name: a name of `list_models()`.
        input_shape: shape of one example, without the batch axis, e.g. `(28, 28, 1)`.
        num_classes: number of classes, 2 or more.
        seed: decides the initial weights. The builders themselves, called directly, draw them from Keras's global seed.
        **options: keyword-only options of the builder, see e.g. `zoo.models.cnn.cnn`.

    Returns:
        A model of (N, *input_shape) inputs. Its output is (N, num_classes), or (N, 1), the probability of class 1, for
        "logistic".

    Raises:
        UsageError: an unknown name or option (the nearest ones are named), or a value out of range.
        WeightsError: published weights cannot be had or read, or do not fit.

    Examples:
        >>> build("cnn", (28, 28, 1), 10, l2=1e-4, dropout=0.3).output_shape
        (None, 10)
    """
    check_count("num_classes", num_classes, least=2)
    check_seed(seed)
    seed, options = plain(seed), {k: plain(v) for k, v in options.items()}
    shape = checked_shape(input_shape)
    check_options(name, options)
    with seeded(seed):
        drawn = {k: _redrawn(v) for k, v in options.items()}
        try:
            model = builder(name)(shape, int(num_classes), **drawn)
        except (TypeError, ValueError) as error:  # Keras's words for a wrong activation or initializer
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{name}: {one_line(error, 300)}") from error
        except Exception as error:  # TensorFlow is only known here once a builder has loaded it
            if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
                raise UsageError(f"{name}: its weights do not fit into memory; make it smaller") from error
            raise
    model.zoo_build = {  # what a run's config.json says of the model
        "name": name,
        "input_shape": list(shape),
        "num_classes": int(num_classes),
        "seed": seed,
        "options": {k: _recorded(k, v) for k, v in options.items()},
        **getattr(model, "zoo_weights", {}),
    }
    return model


def checked_shape(input_shape: Any) -> tuple[int, ...]:
    """The shape of one example as plain numbers; a UsageError unless it is one or more positive sizes."""
    try:
        shape = tuple(input_shape)  # of a list, an array, the shape of a tensor
    except (TypeError, ValueError):
        shape = ()
    if not shape or not all(isinstance(n, numbers.Integral) and int(n) > 0 for n in shape):
        raise UsageError(f"input_shape must be positive sizes. Received: input_shape={input_shape!r:.80}")
    return tuple(map(int, shape))


def _recorded(name: str, value: Any) -> Any:
    """An option as it is written down; of a model its description, for a model that is held would be tracked as a layer."""
    if name == "weights":
        return _lasting(value)
    if not hasattr(value, "get_weights"):
        return value
    digest = hashlib.sha256()
    for array in value.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    kinds = [type(layer).__name__ for layer in value.layers]  # without names: some are counted through a process
    return {"layers": kinds, "weights_sha256": digest.hexdigest()}


def _lasting(weights: str | os.PathLike[str] | None) -> str | None:
    """`weights` as another working directory understands it: a name stays, a file's path becomes absolute."""
    if weights is None or weights == "published":
        return weights
    path = Path(weights).expanduser()
    is_name = isinstance(weights, str) and path.name == weights and not path.exists()
    return os.fspath(weights) if is_name else str(path.resolve())


def _redrawn(value: Any) -> Any:
    """An initializer object without a seed of its own draws one again, from the seed of `build`."""
    if hasattr(value, "get_config") and hasattr(type(value), "from_config") and not hasattr(value, "weights"):
        return type(value).from_config(value.get_config())
    return value


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes Keras's default seeds, which it draws from Python's `random`, a function of `seed`, and puts `random` back."""
    state = random.getstate()
    random.seed(int(seed))
    try:
        yield
    finally:
        random.setstate(state)


def builder(name: str) -> Callable[..., keras.Model]:
    """The function behind a name; it takes (input_shape, num_classes) and keyword-only options."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    module, function, decided, _ = MODELS[name]
    return functools.partial(getattr(importlib.import_module(module), function), **decided)


def builder_options(name: str) -> dict[str, Any]:
    """Option name -> default value of a builder."""
    parameters = inspect.signature(builder(name)).parameters.values()
    decided = MODELS[name][2]
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in decided}


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises a UsageError, naming the nearest ones, when a builder has no such option."""
    known = builder_options(name)
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
