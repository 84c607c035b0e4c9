"""Pictures of three tints, and a ResNet that is as small as they are."""

from __future__ import annotations

import numpy as np
import pytest

import zoo


def tinted_pictures() -> zoo.DataSplits:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.integers(0, 90, (60, 8, 8, 3)) + 80 * (np.arange(3) == labels[:, None])[:, None, None]
    return zoo.DataSplits.from_arrays((images.astype(np.uint8), labels), validation=0.2)


def make_shallow(patch: pytest.MonkeyPatch) -> None:
    """ResNet-8 under the name of ResNet-20: the same blocks, one a stage, so that a graph is made in a third of the time."""
    from zoo.models import catalog

    module, function, _, what = catalog.MODELS["resnet20"]
    patch.setitem(catalog.MODELS, "resnet20", (module, function, {"depth": 8}, what))
    patch.setattr("zoo.models.resnet._CIFAR_DEPTHS", (8,))
