"""Every model's cases, counted by hand, and what it refuses: a new name of `zoo.list_models()` needs an entry here."""

from __future__ import annotations

import dataclasses
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest


@dataclasses.dataclass(frozen=True)
class Case:
    """One set of options; the numbers are counted by hand."""

    input_shape: tuple[int, ...]
    num_classes: int
    options: dict[str, Any]
    parameters: int  # all weights, moving statistics too
    trainable: int
    num_outputs: int
    num_losses: int
    shaken: float = 0.2  # how far `shake` moves a weight
    learning_rate: float = 0.01  # of a step that is to lower the loss


PENALTIES = {"l1": 2**-7, "l2": 2**-5}  # powers of two: Keras rounds the strengths through float32

TABLE: dict[str, list[Case]] = {
    "logistic": [
        # 2 weights, 1 bias
        Case((2,), 2, {}, 3, 3, 1, 0),
        # 64 weights, 1 bias
        Case((8, 8, 1), 2, {**PENALTIES, "penalize_bias": True}, 65, 65, 1, 2),
        Case((4, 3), 2, {"l1": 2**-3, "kernel_initializer": "he_normal"}, 13, 13, 1, 1),
    ],
    "softmax": [
        # 64 * 10 weights, 10 biases
        Case((8, 8, 1), 10, {}, 650, 650, 10, 0),
        # 2 * 3 weights, 3 biases
        Case((2,), 3, {"l2": 2**-4}, 9, 9, 3, 1),
        Case((2,), 3, {**PENALTIES, "penalize_bias": True}, 9, 9, 3, 2),
    ],
    "mlp": [
        # (64 * 128 + 128) + (128 * 128 + 128) + (128 * 10 + 10)
        Case((8, 8, 1), 10, {}, 26122, 26122, 10, 0),
        # (2 * 16 + 16) + (16 * 8 + 8) + (8 * 3 + 3)
        Case((2,), 3, {"units": (16, 8), "activation": "tanh", **PENALTIES}, 211, 211, 3, 3),
        # 2 * 12 + 48, twice 12 * 12 + 48 (each normalisation has 4 * 12, half of it not trained), 12 * 3 + 3
        Case(
            (2,),
            3,
            {"units": 12, "num_layers": 3, "batch_normalization": True, "dropout": 0.25, "l2": 2**-5},
            495,
            423,
            3,
            4,
        ),
        # width 13: (64 * 13 + 13) + (13 * 10 + 10); width 14 would be 1060
        Case((8, 8, 1), 10, {"parameter_budget": 1000, "num_layers": 1}, 985, 985, 10, 0),
        # no hidden layer: 2 * 3 + 3
        Case((2,), 3, {"units": ()}, 9, 9, 3, 0),
    ],
    "cnn": [
        # (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (2 * 2 * 64 * 128 + 128) + (128 * 10 + 10)
        Case((8, 8, 1), 10, {}, 53002, 53002, 10, 0),
        # (27 * 4 + 4) + (36 * 4 + 4) + (36 * 6 + 6) + (54 * 6 + 6) + (2 * 2 * 6 * 8 + 8) + (8 * 3 + 3)
        Case(
            (8, 8, 3),
            3,
            {"filters": (4, 6), "convolutions_per_stage": 2, "units": 8, "activation": "tanh", **PENALTIES},
            1039,
            1039,
            3,
            6,
        ),
        # (9 * 4 + 16) + (2 * 3 * 4 * 8 + 32) + (8 * 2 + 2); of the normalisations 8 + 16 are not trained
        Case(
            (5, 6, 1),
            2,
            {"filters": 4, "num_stages": 1, "units": 8, "batch_normalization": True, "dropout": 0.5, "l1": 2**-6},
            294,
            270,
            2,
            3,
        ),
    ],
    "resnet20": [
        # 9 * 3 * 16 + 6 * (9 * 16 * 16) + (9 * 16 * 32) + 5 * (9 * 32 * 32) + (9 * 32 * 64) + 5 * (9 * 64 * 64), ten outputs of
        # 64 + 1, and 4 * (7 * 16 + 6 * 32 + 6 * 64) of normalisation, half of it not trained; for 32 x 32 pixels as well.
        # Nineteen convolutions would multiply a shake of 0.2 to a million.
        Case((8, 8, 3), 10, {}, 271098, 269722, 10, 0, shaken=0.02),
        # 2 * 9 * 16 fewer in the first convolution, 7 * 65 fewer in the last layer
        Case((5, 6, 1), 3, {"kernel_initializer": "glorot_uniform", **PENALTIES}, 270355, 268979, 3, 20, shaken=0.02),
        # Two 1x1 convolutions with their normalisations: 16 * 32 + 32 * 64 + 4 * (32 + 64), half of the last not trained.
        Case((8, 8, 3), 10, {"shortcut": "projection", "l2": 2**-9}, 274042, 272474, 10, 22, shaken=0.02),
    ],
    # As above with 2 * n - 1 and 2 * n convolutions a stage, n = 5, 7, 9; 2 * (16 + 2 * n * 112) moving statistics.
    "resnet32": [Case((8, 8, 3), 10, {}, 466426, 464154, 10, 0, shaken=0.01)],
    "resnet44": [Case((8, 8, 3), 10, {}, 661754, 658586, 10, 0, shaken=0.01)],
    "resnet56": [Case((8, 8, 3), 10, {}, 857082, 853018, 10, 0, shaken=0.01)],
    # The published counts less 990 * 513 (ResNet-50: 2049) for the missing classes; 2 * 4800, 2 * 8512, 2 * 26560 moving statistics.
    "resnet18": [Case((32, 33, 3), 10, {"l2": 2**-9}, 11191242, 11181642, 10, 21, shaken=0.01)],
    "resnet34": [Case((32, 32, 3), 10, {}, 21306826, 21289802, 10, 0, shaken=0.005)],
    "resnet50": [Case((32, 32, 3), 10, {}, 23581642, 23528522, 10, 0, shaken=0.005)],
    # Convolutions 34,944 + 307,456 + 885,120 + 663,936 + 442,624; dense (256 * 4096 + 4096) + (4096 * 4096 + 4096) + 10 * 4097.
    "alexnet": [Case((67, 67, 3), 10, {"l2": 2**-9}, 20209034, 20209034, 10, 8, shaken=0.005, learning_rate=1e-5)],
    # Convolutions 23,296 + 307,392 + 663,936 + 884,992 + 590,080; dense as above.
    "alexnet_v2": [
        Case((63, 63, 3), 10, {"dropout": 0.0}, 20344650, 20344650, 10, 0, shaken=0.005, learning_rate=1e-5)
    ],
    # ResNet-20 (at random: nothing is downloaded) without its last layer, 64 * 5 + 4 * 5, half of the last not trained, 5 * 3 + 3
    "transfer": [
        Case(
            (8, 9, 1),
            3,
            {"weights": None, "image_size": 16, "units": 5, "batch_normalization": True, "dropout": 0.25},
            270806,
            269420,
            3,
            0,
            shaken=0.02,
        )
    ],
}

# What every model refuses: (input_shape, num_classes, options). `None` stands for those of its first case.
REFUSED_BY_ALL = [
    (None, 1, {}),
    (None, 0, {}),
    (None, True, {}),
    ((), None, {}),
    ((0,), None, {}),
    (None, None, {"l1": -1e-3}),
    (None, None, {"l2": -1e-3}),
    (None, None, {"l2": float("nan")}),
    (None, None, {"l1": float("inf")}),
    (None, None, {"dtype": "float16"}),
    (None, None, {"no_such_option": 1}),
]
REFUSED: dict[str, list[tuple[Any, Any, dict[str, Any]]]] = {
    "logistic": [(None, 3, {}), (None, None, {"dropout": 0.5})],
    "softmax": [(None, None, {"units": 3})],
    "mlp": [
        (None, None, {"dropout": 1.0}),
        (None, None, {"dropout": -0.1}),
        (None, None, {"dropout": float("nan")}),
        (None, None, {"units": 0}),
        (None, None, {"units": (8, 0)}),
        (None, None, {"units": True}),
        (None, None, {"num_layers": 0}),
        (None, None, {"units": (8, 8), "num_layers": 3}),
        ((2,), 3, {"parameter_budget": 10, "num_layers": 2}),  # the smallest has 1 + 7 + 3 = 11
        (None, None, {"parameter_budget": 0}),
    ],
    "cnn": [
        ((64,), None, {}),
        ((8, 8), None, {}),
        ((3, 8, 1), None, {"num_stages": 2}),
        (None, None, {"dropout": 1.0}),
        (None, None, {"filters": 0}),
        (None, None, {"filters": ()}),
        (None, None, {"filters": (4, 0)}),
        (None, None, {"filters": (4, 8), "num_stages": 3}),
        (None, None, {"num_stages": 0}),
        (None, None, {"convolutions_per_stage": 0}),
        (None, None, {"units": 0}),
    ],
    "resnet20": [
        ((64,), None, {}),
        ((8, 8), None, {}),
        ((3, 8, 3), None, {}),
        ((8, 3, 3), None, {}),
        (None, None, {"dropout": 0.5}),
        (None, None, {"num_stages": 3}),
        (None, None, {"depth": 32}),
        (None, None, {"shortcut": "identity"}),
        (None, None, {"weights": "imagenet"}),
        (None, None, {"weights": "no/such/file.th"}),
    ],
    **{
        name: [((3, 8, 3), None, {}), (None, None, {"weights": "imagenet"})]
        for name in ("resnet32", "resnet44", "resnet56")
    },
    **{
        name: [
            ((31, 32, 3), None, {}),
            ((32, 32), None, {}),
            (None, None, {"weights": "cifar10"}),
            (None, None, {"shortcut": None}),
        ]
        for name in ("resnet18", "resnet34", "resnet50")
    },
    "transfer": [
        ((64,), None, {}),
        ((8, 8, 2), None, {}),
        (None, None, {"backbone": "resnet21", "weights": None}),
        (None, None, {"backbone": "MobileNetV9", "weights": None}),
        (None, None, {"backbone": "MobileNetV2", "weights": None, "image_size": 8}),
        (None, None, {"backbone": "alexnet", "weights": None, "image_size": 32}),
        (None, None, {"backbone": keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])}),
        (None, None, {"weights": "imagenet"}),
        (None, None, {"weights": None, "units": (8, 0)}),
        (None, None, {"weights": None, "dropout": 1.0}),
        (None, None, {"weights": None, "image_size": 0}),
    ],
    **{
        name: [
            ((67, 62, 3), None, {}),
            ((67, 67), None, {}),
            (None, None, {"dropout": 1.0}),
            (None, None, {"weights": "imagenet"}),  # of images of another size
            (None, None, {"weights": "cifar10"}),
        ]
        for name in ("alexnet", "alexnet_v2")
    },
}
every_model = pytest.mark.parametrize("name", sorted(TABLE))


def shake(model: keras.Model, most: float = 0.2) -> None:
    """Gives every weight another value, so that biases and normalisations are not at 0 and 1."""
    random = np.random.default_rng(2)
    for weight in model.weights:
        if not weight.name.startswith("seed_generator"):
            weight.assign(np.asarray(weight) + random.uniform(-most, most, weight.shape))
