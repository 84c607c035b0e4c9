"""The table of published weights tells of each file what it should."""

from __future__ import annotations

import re

import pytest

import zoo
from zoo.weights.labels import list_classes
from zoo.weights.sources import SOURCES, Source

EVERY = [(model, name) for model, sources in SOURCES.items() for name in sources]


def test_file_names_are_unique():
    names = [SOURCES[model][name].file_name for model, name in EVERY]
    assert len(set(names)) == len(names)


def test_every_model_of_the_table_is_one_of_the_catalog():
    assert set(SOURCES) <= set(zoo.list_models())
    assert all(sources for sources in SOURCES.values())


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_every_source_is_told_as_it_should_be(model, name):
    source = SOURCES[model][name]
    assert isinstance(source, Source)
    assert re.fullmatch(r"https://[\w.-]+/[\w./~-]+", source.url)
    assert re.fullmatch(r"[\w-]+\.(npy|pth|th|pt)", source.file_name)
    digits = re.search(r"-([0-9a-f]{8})\.", source.file_name)
    if source.sha256 is None:
        assert source.size > 2**20
        assert digits is None
    else:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{8}", source.sha256)
        assert source.size is None
        assert digits is not None
        assert source.sha256.startswith(digits[1])
    assert source.licence
    assert source.shortcut in (None, "projection", "zero_padding")
    assert (source.shortcut is not None) == source.classes.startswith("cifar")


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_classes_and_accuracies_are_plausible(model, name):
    source = SOURCES[model][name]
    classes = len(list_classes(source.classes))
    assert name.startswith(source.classes)
    assert 100 / classes < source.top1 < 100
    assert source.top5 is None or source.top1 < source.top5 < 100


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_normalizations_are_those_of_natural_images(model, name):
    mean, std = SOURCES[model][name].normalization
    assert all(0.4 < m < 0.52 for m in mean)
    assert mean[0] > mean[1] > mean[2]  # photographs are warm: this would be wrong in blue, green, red
    if model == "alexnet":
        assert std == pytest.approx((1 / 255,) * 3)  # Caffe divides by nothing
    else:
        assert all(0.19 < s < 0.29 for s in std)


@pytest.mark.parametrize(
    ("model", "name", "mean", "std"),
    [
        ("resnet50", "imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("alexnet_v2", "imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet20", "cifar10", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet20", "cifar10_projection", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("resnet20", "cifar100", (0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)),
    ],
)
def test_normalizations_are_those_of_the_publishers(model, name, mean, std):
    assert SOURCES[model][name].normalization == (mean, std)


def test_deeper_networks_are_better():
    for models in (["resnet20", "resnet32", "resnet44", "resnet56"], ["resnet18", "resnet34", "resnet50"]):
        for name in SOURCES[models[0]]:
            accuracies = [SOURCES[model][name].top1 for model in models]
            assert accuracies == sorted(accuracies)
