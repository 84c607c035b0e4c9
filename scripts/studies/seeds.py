"""Several settings, each trained with several seeds, for the studies that compare them; this is no study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

import zoo


def fit_groups(
    builder: str,
    data: zoo.DataSplits,
    groups: Mapping[str, tuple[Mapping[str, Any], zoo.Recipe]],
    seeds: Sequence[int],
    *,
    verbose: bool,
) -> tuple[dict[str, list[pd.DataFrame]], pd.DataFrame]:
    """Trains each group's options and recipe with all seeds: group -> histories, and one row a group and seed."""
    histories: dict[str, list[pd.DataFrame]] = {name: [] for name in groups}
    rows = []
    for name, (options, recipe) in groups.items():
        for seed in seeds:
            model = zoo.build(builder, data.input_shape, data.num_classes, seed=seed, **options)
            run = zoo.train(model, data, dataclasses.replace(recipe, seed=seed), verbose=verbose)
            histories[name].append(run.history)
            scores = {
                "val_accuracy": run.metrics["val_accuracy"],
                "test_accuracy": zoo.evaluate(model, data.test).accuracy,
            }
            rows.append({"group": name, "seed": seed, "parameters": model.count_params(), **scores})
    return histories, pd.DataFrame(rows)
